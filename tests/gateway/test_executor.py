"""The compiled executor gives what graphql-core gives, whatever is asked and whatever goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

import orjson
import polars as pl
import pytest
import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLObjectType,
    OperationDefinitionNode,
    execute,
    get_named_type,
    parse,
    validate,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from errors import InvalidSymbol
from gateway.execution import as_json
from gateway.executor import MAX_READERS, CompiledExecutor, CompiledOperation
from gateway.plain import FRAGMENT_ROWS
from market import Symbol
from resolvers.rows import Rows
from schema.scalars import SCALARS, Timestamp, asked_by


@strawberry.enum
class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@strawberry.type
class Leaves:
    a_float: float
    a_text: str
    an_int: int
    a_flag: bool
    a_colour: Colour
    an_instant: datetime
    maybe_float: float | None
    maybe_text: str | None
    maybe_int: int | None
    maybe_colour: Colour | None
    maybe_symbol: Symbol | None
    maybe_day: date | None


@strawberry.type
class Row:
    time: datetime
    epoch: Timestamp
    day: date
    open: float
    count: int
    is_final: bool
    volume: float | None
    name: str | None


@strawberry.type
class Columns:
    time: list[datetime]
    open: list[float]
    volume: list[float | None]
    maybe: list[float] | None


ORDER = Random(0)
MOST_TURNS = [1]
"""What is awaited takes so many turns of the loop at most, as the order has it."""


async def take_turns() -> None:
    for _ in range(ORDER.randint(1, MOST_TURNS[0])):
        await asyncio.sleep(0)


async def later(root: Any) -> Any:
    await take_turns()
    return root.leaves


def asking(kind: str) -> Any:
    def ask(root: Any, by: int = 1) -> Any:
        if by > 8:
            raise InvalidSymbol(f"{by} is too many")
        return kind, root.step * by

    return asked_by(ask, "")


@strawberry.type
class Inner:
    number: float = asking("number")


@strawberry.type
class Answering:
    number: float = asking("number")
    maybe_number: float | None = asking("number")
    series: list[float | None] = asking("series")
    columns: Columns = asking("columns")
    inner: Inner


@strawberry.type
class Tree:
    name: str
    leaves: Leaves
    maybe_leaves: Leaves | None
    all_leaves: list[Leaves]
    some_leaves: list[Leaves | None]
    maybe_all_leaves: list[Leaves] | None
    grid: list[list[float | None]]
    colours: list[Colour]
    rows: list[Row]
    columns: Columns
    answering: Answering
    asked: Leaves = strawberry.field(resolver=later)
    maybe_asked: Leaves | None = strawberry.field(resolver=later)


@strawberry.type
class Query:
    tree: Tree | None
    trees: list[Tree | None]
    leaves: Leaves | None


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))
CORE = SCHEMA._schema
MANY = FRAGMENT_ROWS + 1


@dataclass
class LeavesSource:
    a_float: Any = 1.5
    a_text: Any = "text"
    an_int: Any = 7
    a_flag: Any = True
    a_colour: Any = Colour.RED
    an_instant: Any = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)
    maybe_float: Any = None
    maybe_text: Any = None
    maybe_int: Any = None
    maybe_colour: Any = None
    maybe_symbol: Any = None
    maybe_day: Any = None


@dataclass
class ColumnsSource:
    time: Any
    open: Any
    volume: Any
    maybe: Any = None


@dataclass
class AnsweringSource:
    """Answers a question with what it has of the kind, and fails where that is an error."""

    step: Any
    made: Any

    @property
    def inner(self) -> Any:
        return AnsweringSource(2, self.made)

    async def answers(self, questions: Sequence[Any]) -> list[Any]:
        await take_turns()
        answers = [self.made[kind][int(by) % len(self.made[kind])] for kind, by in questions]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


@dataclass
class TreeSource:
    leaves: Any
    maybe_leaves: Any
    all_leaves: Any
    some_leaves: Any
    maybe_all_leaves: Any
    rows: Any
    columns: Any
    answering: Any = None
    name: Any = "tree"
    grid: Any = ((1.0, None), ())
    colours: Any = (Colour.BLUE, Colour.RED)


@dataclass
class QuerySource:
    tree: Any
    trees: Any
    leaves: Any


class Awaited:
    """An awaitable that has the attributes of what it gives, and may be awaited again and again."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return self._value


NAN = float("nan")
ODD: list[Any] = [
    *(None, NAN, float("inf"), -0.0, 1e300, 3, 2**31, 2**53, True, "7", "", "red", "é\n\u2028", b"x", [], {}),
    *(Colour.BLUE, date(2024, 2, 29), datetime(2024, 1, 1, 0, 0, 0, 5, UTC), datetime(2024, 1, 1)),  # noqa: DTZ001
    *(datetime(2024, 1, 1, tzinfo=UTC).astimezone(), object, pl.Series([1.0, None]), LeavesSource()),
    *(InvalidSymbol("one is wrong"), ValueError("wrong"), Awaited(1.5), Awaited(None), LeavesSource.__init__),
]


def frame(height: int, odd: Sequence[tuple[str, int, Any]]) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    columns: dict[str, list[Any]] = {
        "time": [start + timedelta(minutes=n) for n in range(height)],
        "day": [start.date()] * height,
        "open": [100 + n / 8 for n in range(height)],
        "count": list(range(height)),
        "is_final": [n % 2 == 0 for n in range(height)],
        "volume": [None if n % 3 == 0 else float(n) for n in range(height)],
        "name": [None if n % 5 == 0 else f'"{n}\n' for n in range(height)],
    }
    for name, index, value in odd:
        if height:
            columns[name][index % height] = value
    schema: dict[str, Any] = {
        "time": pl.Datetime("us", "UTC"),
        "day": pl.Date,
        "open": pl.Float64,
        "count": pl.Int64,
        "is_final": pl.Boolean,
        "volume": pl.Float64,
        "name": pl.String,
    }
    return pl.DataFrame(columns, schema=schema)


ODD_CELLS = st.lists(
    st.tuples(st.sampled_from(["open", "volume"]), st.integers(0, MANY), st.sampled_from([None, NAN, -NAN, 1e308]))
    | st.tuples(st.just("count"), st.integers(0, MANY), st.sampled_from([None, 2**31, -(2**31)]))
    | st.tuples(st.just("time"), st.integers(0, MANY), st.just(datetime(2024, 1, 1, 0, 0, 0, 500, UTC)))
    | st.tuples(st.sampled_from(["is_final", "day", "name"]), st.integers(0, MANY), st.none()),
    max_size=2,
)


@st.composite
def leaves(draw: Any) -> Any:
    source = LeavesSource()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        setattr(source, draw(st.sampled_from([field.name for field in fields(source)])), draw(st.sampled_from(ODD)))
    return draw(st.sampled_from([source] * 12 + [Awaited(source), *ODD[:1], *ODD[-5:]]))


SERIES = [[1.0, None], pl.Series([2.0, None]), pl.Series([NAN]), ()]
ANSWERS = st.fixed_dictionaries(
    {
        "number": st.just([0.5, 1.5, 2, 3.5]) | st.lists(st.sampled_from(ODD), min_size=1, max_size=3),
        "series": st.lists(st.sampled_from(SERIES), min_size=1, max_size=3),
        "columns": st.lists(st.builds(ColumnsSource, *[st.sampled_from(SERIES)] * 3), min_size=1, max_size=2),
    }
)


@st.composite
def answering(draw: Any) -> Any:
    return AnsweringSource(draw(st.sampled_from([1] * 6 + [2, None, "x", NAN])), draw(ANSWERS))


@st.composite
def trees(draw: Any) -> Any:
    held = frame(draw(st.sampled_from([0, 1, 3, MANY])), draw(ODD_CELLS))
    rows = Rows(held, {"epoch": pl.col("time").dt.epoch("s")})
    maybe_list = st.lists(leaves(), max_size=3) | st.none()
    source = TreeSource(
        leaves=draw(leaves()),
        maybe_leaves=draw(leaves() | st.none()),
        all_leaves=draw(st.lists(leaves(), max_size=3)),
        some_leaves=draw(st.lists(leaves() | st.none(), max_size=3).map(tuple)),
        maybe_all_leaves=draw(maybe_list),
        rows=rows,
        columns=ColumnsSource(held["time"], held["open"], held["volume"], draw(st.sampled_from([None, held["open"]]))),
        answering=draw(answering()),
    )
    if draw(st.booleans()) and draw(st.booleans()):
        setattr(source, draw(st.sampled_from([field.name for field in fields(source)])), draw(st.sampled_from(ODD)))
    return source


SOURCES = st.builds(
    QuerySource, tree=trees() | st.none(), trees=st.lists(trees() | st.none(), max_size=2), leaves=leaves()
)

OBJECTS = {
    name: {field: get_named_type(of.type) for field, of in type_.fields.items()}
    for name, type_ in CORE.type_map.items()
    if isinstance(type_, GraphQLObjectType) and not name.startswith("__")
}
FIELDS = {
    (name, field): of
    for name, type_ in CORE.type_map.items()
    if isinstance(type_, GraphQLObjectType)
    for field, of in type_.fields.items()
}
SWITCHES = [
    "",
    "",
    "",
    "",
    " @include(if: $on)",
    " @skip(if: $on)",
    " @skip(if: $off) @include(if: $on)",
    " @skip(if: true)",
]


@st.composite
def selections(draw: Any, name: str, depth: int, fragments: list[str]) -> str:
    """A selection set of the type; adds to `fragments` the definitions that it spreads."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        switch = draw(st.sampled_from(SWITCHES))
        kind = draw(st.sampled_from(["field"] * 6 + ["inline", "bare", "spread"])) if depth else "field"
        if kind != "field":
            inner = draw(selections(name, depth - 1, fragments))
            if kind == "spread":
                fragments.append(f"fragment F{len(fragments)} on {name} {inner}")
                parts.append(f"... F{len(fragments) - 1}{switch}")
            else:
                parts.append(f"...{f' on {name}' if kind == 'inline' else ''}{switch} {inner}")
            continue
        field = draw(st.sampled_from(["__typename", *OBJECTS[name]]))
        of = OBJECTS[name].get(field)
        if of is not None and of.name in OBJECTS and not depth:
            field, of = "__typename", None
        alias, arguments = draw(st.sampled_from(["", "", f"{field}_1: ", f"{field}_2: "])), ""
        if "by" in getattr(FIELDS.get((name, field)), "args", ()):
            # Under a name of its own for each argument, as fields of one name must ask the same.
            by = draw(st.sampled_from(["2", "3", "9", "$by", ""]))
            alias, arguments = (f"{field}_{by.strip('$')}: ", f"(by: {by})") if by else ("", "")
        inner = f" {draw(selections(of.name, depth - 1, fragments))}" if of is not None and of.name in OBJECTS else ""
        parts.append(f"{alias}{field}{arguments}{switch}{inner}")
    return f"{{ {' '.join(parts)} }}"


@st.composite
def documents(draw: Any) -> str:
    fragments: list[str] = []
    query = draw(selections("Query", 5, fragments))
    uses = "@include(if: $on) @skip(if: $off)"  # so that no variable is one too many
    asked = "tree { answering { number number_by: number(by: $by) series inner { number } } }"
    variables = "$on: Boolean!, $off: Boolean = false, $by: Int! = 2"
    return "\n".join([f"query ({variables}) {{ ... {uses} {query} ... {{ {asked} }} ... {query} }}", *fragments])


async def stock(document: DocumentNode, source: Any, variables: dict[str, Any]) -> ExecutionResult:
    result = execute(CORE, document, source, variable_values=variables)
    return result if isinstance(result, ExecutionResult) else await result


def compiled(document: DocumentNode) -> CompiledOperation:
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return CompiledOperation(CORE, document, operation)


async def ours(operation: CompiledOperation, source: Any, variables: dict[str, Any]) -> ExecutionResult:
    executor = operation.executor(variables, None, source)
    assert isinstance(executor, CompiledExecutor)
    result = executor.execute_operation()
    return result if isinstance(result, ExecutionResult) else await result  # type: ignore[misc]


def answer(result: ExecutionResult) -> tuple[Any, list[Any]]:
    """What a client gets, in its order; errors of one list may come in any, as what is awaited goes on in any."""
    data = orjson.loads(as_json(result.data)) if result.data is not None else None
    errors = [orjson.dumps(error.formatted, default=str) for error in result.errors or []]
    return orjson.dumps(data), sorted(errors)


async def compare(text: str, sources: list[Any], first: bool) -> None:
    """Asserts that one compiled operation, executed again and again, answers as graphql-core does each time."""
    document = parse(text)
    assert validate(CORE, document) == []
    operation = compiled(document)
    for source, on in [(source, on) for source in sources for on in (first, not first, first)]:
        expected = answer(await stock(document, source, {"on": on}))
        given = answer(await ours(operation, source, {"on": on}))
        # Of two that are awaited, one may leave null what the other would fail within: it depends on which comes first.
        await end_of_all()
        if given != expected:
            assert given in [answer(each) async for each in in_some_orders(document, source, {"on": on})], expected


async def in_some_orders(
    document: DocumentNode, source: Any, variables: dict[str, Any]
) -> AsyncIterator[ExecutionResult]:
    """What graphql-core gives, whichever of what is awaited comes first."""
    MOST_TURNS[0] = 20
    try:
        for seed in range(100):
            ORDER.seed(seed)
            yield await stock(document, source, variables)
            await end_of_all()
    finally:
        MOST_TURNS[0] = 1


async def end_of_all() -> None:
    """Wait: graphql-core lets what another field's failure has left over come to its end in the background."""
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left)


ANYTHING = given(documents(), st.lists(SOURCES, min_size=1, max_size=2), st.booleans())
# Without shrinking: it takes minutes, and the document that failed is small enough to read.
SETTINGS = settings(
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@settings(SETTINGS, max_examples=200)
@ANYTHING
def test_it_gives_what_graphql_core_gives(text: str, sources: list[Any], first: bool) -> None:
    asyncio.run(compare(text, sources, first))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(SETTINGS, max_examples=10_000)
@ANYTHING
def test_it_gives_what_graphql_core_gives_however_often(text: str, sources: list[Any], first: bool) -> None:
    asyncio.run(compare(text, sources, first))


ROWS = Rows(frame(MANY, []), {"epoch": pl.col("time").dt.epoch("s")})


async def test_many_rows_leave_as_json_that_polars_wrote() -> None:
    source = QuerySource(TreeSource(None, None, [], [], None, ROWS, None), [], None)
    document = parse("{ tree { rows { time open } } }")
    result = await ours(compiled(document), source, {})
    assert result.data is not None
    assert isinstance(result.data["tree"]["rows"], orjson.Fragment)


async def test_what_fields_ask_of_an_object_is_asked_at_once() -> None:
    asked: list[Sequence[Any]] = []

    class Source(AnsweringSource):
        async def answers(self, questions: Sequence[Any]) -> list[Any]:
            asked.append(questions)
            return await super().answers(questions)

    text = "query ($by: Int!) { tree { answering { a: number inner { number } b: number(by: $by) c: number(by: 3) } } }"
    operation = compiled(parse(text))
    for by in (2, 3):
        source = QuerySource(
            TreeSource(None, None, [], [], None, None, None, Source(1, {"number": [0, 1, 2, 3]})), [], None
        )
        result = await ours(operation, source, {"by": by})
        assert result.data == {"tree": {"answering": {"a": 1, "inner": {"number": 2}, "b": by, "c": 3}}}
    assert asked == [[("number", n) for n in (1, 2, by, 3)] for by in (2, 3)]


async def test_a_document_is_compiled_once_for_each_way_that_its_switches_stand() -> None:
    text = "query ($a: Boolean = true) { leaves { aFloat aText @include(if: $a) } }"
    operation = compiled(parse(text))
    for a, keys in [(True, ["aFloat", "aText"]), (False, ["aFloat"]), (True, ["aFloat", "aText"])]:
        source = QuerySource(None, [], LeavesSource())
        result = await ours(operation, source, {"a": a})
        assert result.data is not None
        assert list(result.data["leaves"]) == keys
    assert len(operation.readers) == 2


async def test_readers_are_bounded() -> None:
    names = [f"v{number}" for number in range(12)]
    variables = ", ".join(f"${name}: Boolean!" for name in names)
    document = parse(f"query ({variables}) {{ leaves {{ {' '.join(f'{n}: aText @skip(if: ${n})' for n in names)} }} }}")
    operation = compiled(document)
    source = QuerySource(None, [], LeavesSource())
    most = 0
    for number in range(2 * MAX_READERS):
        switched = {name: bool(number >> bit & 1) for bit, name in enumerate(names)}
        await ours(operation, source, switched)
        most = max(most, len(operation.readers))
    assert most == MAX_READERS


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
@pytest.mark.parametrize("height", [1, MANY])
async def test_an_instant_leaves_in_utc_whatever_zone_its_column_is_in(zone: str | None, height: int) -> None:
    held = frame(height, [])
    time = held["time"].dt.convert_time_zone(zone) if zone else held["time"].dt.replace_time_zone(None)
    source = QuerySource(
        TreeSource(None, None, [], [], None, Rows(held.with_columns(time)), ColumnsSource(time, None, None)), [], None
    )
    document = parse("{ tree { rows { time } columns { time } } }")
    expected = answer(await stock(document, source, {}))
    assert answer(await ours(compiled(document), source, {})) == expected
    if zone:
        assert expected[0].startswith(b'{"tree":{"rows":[{"time":"2024-01-01T00:00:00Z"}')
