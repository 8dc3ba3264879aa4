"""Every limit at n, at n + 1, and at n + 1 where it hides: in a fragment, in a variable, in one of two operations."""

from typing import Any, cast

import pytest
from graphql import get_introspection_query
from strawberry.types.base import StrawberryObjectDefinition

from db.documents import DocumentStore
from errors import SmartFinError
from gateway.documents import Documents, Operation
from gateway.limits.costs import COSTS
from gateway.request import GraphQLRequest
from schema.build import build_schema
from settings import Settings
from tests.gateway.serving import NOBODY, NoStore

SCHEMA = build_schema()
LIMITS: dict[str, Any] = {
    "max_document_length": 400,
    "max_tokens": 100,
    "max_comments": 3,
    "max_directives": 3,
    "max_depth": 3,
    "max_fields": 12,
    "max_root_fields": 4,
    "max_aliases": 5,
    "max_repeats": 2,
    "max_variables_bytes": 300,
    "max_list_items": 4,
    "max_cost": 40,
}


async def prepared(query: str, limits: dict[str, Any], **variables: Any) -> Operation:
    documents = Documents(SCHEMA, Settings(**limits), cast(DocumentStore, NoStore()))
    name = "A" if "query A" in query else None
    return await documents.prepare(NOBODY, GraphQLRequest(query=query, operation_name=name, variables=variables))


def aliases(count: int) -> str:
    return " ".join(f"a{number}: __typename" for number in range(count))


def depth(count: int) -> str:
    """Fields of `quote`, so many deep and none of them alone."""
    below = ["symbol", "asset { symbol }", "asset { quote { symbol } }", "asset { quote { asset { symbol } } }"]
    return below[count - 1]


ROOTS = ["r1: __typename", "r2: __typename", "r3: __typename", "r4: __typename", "__typename"]
QUOTE_FIELDS = ["symbol", "price", "open", "high", "low", "change", "volume", "turnover", "bid", "ask", "bidSize"]
SYMBOLS = '"A", "B", "C", "D"'
SKIPPED = "@skip(if: false)"
Q = 'quote(symbol: "A")'

AT_MOST = [
    pytest.param("{ __typename }" + " " * 386, {}, id="length"),
    pytest.param("{ " + "... { " * 32 + "__typename __typename" + " }" * 33, {}, id="tokens"),
    pytest.param("#\n#\n{ __typename #\n}", {}, id="comments"),
    pytest.param(f"{{ __typename {SKIPPED} ... {SKIPPED} {{ a: __typename {SKIPPED} }} }}", {}, id="directives"),
    pytest.param(f"{{ {Q} {{ {depth(2)} }} }}", {}, id="depth"),
    pytest.param(f"{{ {Q} {{ {' '.join(QUOTE_FIELDS)} }} }}", {}, id="fields"),
    pytest.param(f"{{ {' '.join(ROOTS[:4])} }}", {}, id="root fields"),
    pytest.param(f"{{ {Q} {{ {aliases(5)} }} }}", {}, id="aliases"),
    pytest.param("{ __typename __typename __typename }", {}, id="repeats"),
    pytest.param(f"{{ quotes(symbols: [{SYMBOLS}]) {{ symbol }} }}", {}, id="list"),
    pytest.param("query ($s: [Symbol!]!) { quotes(symbols: $s) { symbol } }", {"s": list("ABCD")}, id="list variable"),
    pytest.param("query ($s: Symbol!) { quote(symbol: $s) { symbol } }", {"s": "x" * 292}, id="variables"),
    pytest.param("{ assets(first: 40) { totalCount } }", {}, id="cost"),
    pytest.param("query ($n: Int!) { assets(first: $n) { totalCount } }", {"n": 40}, id="cost variable"),
    pytest.param("query ($n: Int! = 40) { assets(first: $n) { totalCount } }", {}, id="cost default"),
]


@pytest.mark.parametrize(("query", "variables"), AT_MOST)
async def test_what_is_at_a_limit_is_taken(query: str, variables: dict[str, Any]) -> None:
    assert await prepared(query, LIMITS, **variables)


BEYOND: list[tuple[str, dict[str, Any], str]] = [
    ("{ __typename }" + " " * 387, {}, "DOCUMENT_TOO_LONG"),
    ("#" * 387 + "\n{ __typename }", {}, "DOCUMENT_TOO_LONG"),
    ("{ " + "a " * 99 + "}", {}, "TOO_MANY_TOKENS"),
    ("{ ...F } fragment F on Query { " + "a " * 98 + "}", {}, "TOO_MANY_TOKENS"),
    ("#\n#\n#\n#\n{ __typename }", {}, "TOO_MANY_COMMENTS"),
    ("{ ...F } fragment F on Query { #\n#\n#\n__typename #\n}", {}, "TOO_MANY_COMMENTS"),
    (f"{{ __typename {SKIPPED * 4} }}", {}, "TOO_MANY_DIRECTIVES"),
    (f"{{ ...F {SKIPPED} }} fragment F on Query @a @b {{ __typename {SKIPPED} }}", {}, "TOO_MANY_DIRECTIVES"),
    ("query ($a: Int @a @a @a @a) { __typename }", {}, "TOO_MANY_DIRECTIVES"),
    (f"{{ {Q} {{ {depth(3)} }} }}", {}, "DOCUMENT_TOO_DEEP"),
    (f"{{ {Q} {{ ...F }} }} fragment F on Quote {{ {depth(3)} }}", {}, "DOCUMENT_TOO_DEEP"),
    (f"{{ ... {{ {Q} {{ ... on Quote {{ {depth(3)} }} }} }} }}", {}, "DOCUMENT_TOO_DEEP"),
    (f"query A {{ __typename }} query B {{ {Q} {{ {depth(3)} }} }}", {}, "DOCUMENT_TOO_DEEP"),
    (f"{{ {Q} {{ ...F }} }} fragment F on Quote {{ asset {{ quote {{ ...F }} }} }}", {}, "DOCUMENT_TOO_DEEP"),
    (f"{{ {Q} {{ {' '.join(QUOTE_FIELDS)} askSize }} }}", {}, "TOO_MANY_FIELDS"),
    (
        f"{{ a: {Q} {{ ...F }} b: {Q} {{ ...F }} }} fragment F on Quote {{ {' '.join(QUOTE_FIELDS[:6])} }}",
        {},
        "TOO_MANY_FIELDS",
    ),
    (f"{{ {' '.join(ROOTS)} }}", {}, "TOO_MANY_ROOT_FIELDS"),
    (f"{{ {' '.join(ROOTS[:3])} ...F }} fragment F on Query {{ {' '.join(ROOTS[3:])} }}", {}, "TOO_MANY_ROOT_FIELDS"),
    (f"{{ {Q} {{ {aliases(6)} }} }}", {}, "TOO_MANY_ALIASES"),
    (f"{{ a: {Q} {{ ...F }} b: {Q} {{ ...F }} }} fragment F on Quote {{ {aliases(2)} }}", {}, "TOO_MANY_ALIASES"),
    ("{ " + "__typename " * 4 + "}", {}, "TOO_MANY_REPEATS"),
    (
        "{ __typename ...F ...G ...H } fragment F on Query { __typename } fragment G on Query { __typename }"
        " fragment H on Query { __typename }",
        {},
        "TOO_MANY_REPEATS",
    ),
    (f'{{ quotes(symbols: [{SYMBOLS}, "E"]) {{ symbol }} }}', {}, "LIST_TOO_LONG"),
    (f'{{ ...F }} fragment F on Query {{ quotes(symbols: [{SYMBOLS}, "E"]) {{ symbol }} }}', {}, "LIST_TOO_LONG"),
    ("query ($s: [Symbol!]!) { quotes(symbols: $s) { symbol } }", {"s": list("ABCDE")}, "LIST_TOO_LONG"),
    ("query ($s: [Symbol!]!) { quotes(symbols: $s) { symbol } }", {"s": {"a": [list("ABCDE")]}}, "LIST_TOO_LONG"),
    (f'query ($s: [Symbol!]! = [{SYMBOLS}, "E"]) {{ quotes(symbols: $s) {{ symbol }} }}', {}, "LIST_TOO_LONG"),
    ("query ($s: Symbol!) { quote(symbol: $s) { symbol } }", {"s": "x" * 293}, "VARIABLES_TOO_LARGE"),
    ("{ __typename }", {"unused": "x" * 300}, "VARIABLES_TOO_LARGE"),
    ("{ assets(first: 41) { totalCount } }", {}, "OPERATION_TOO_COSTLY"),
    ("{ ...F } fragment F on Query { assets(first: 41) { totalCount } }", {}, "OPERATION_TOO_COSTLY"),
    ("{ ... on Query { a: assets { totalCount } b: assets(first: 21) { totalCount } } }", {}, "OPERATION_TOO_COSTLY"),
    ("query ($n: Int!) { assets(first: $n) { totalCount } }", {"n": 41}, "OPERATION_TOO_COSTLY"),
    ("query ($n: Int! = 41) { assets(first: $n) { totalCount } }", {}, "OPERATION_TOO_COSTLY"),
    ("query ($n: Int! = 1) { assets(first: $n) { totalCount } }", {"n": 41}, "OPERATION_TOO_COSTLY"),
]


@pytest.mark.parametrize(("query", "variables", "code"), BEYOND)
async def test_what_is_beyond_a_limit_is_refused_with_its_code(
    query: str, variables: dict[str, Any], code: str
) -> None:
    with pytest.raises(SmartFinError) as refused:
        await prepared(query, LIMITS, **variables)
    assert refused.value.code == code
    assert isinstance(refused.value.details["limit"], int)


def chain(link: str, last: str, count: int) -> str:
    """Fragments that each open the next one as `link` says."""
    links = [f"fragment F{number} on Quote {{ {link.replace('NEXT', f'F{number + 1}')} }}" for number in range(count)]
    return f"{{ {Q} {{ ...F0 }} }} {' '.join(links)} fragment F{count} on Quote {{ {last} }}"


BOMBS = [
    pytest.param(chain("...NEXT ...NEXT", "symbol", 100), None, id="spreads of spreads"),
    pytest.param(chain("asset { quote { ...NEXT } }", "symbol", 100), "DOCUMENT_TOO_DEEP", id="a chain"),
    pytest.param(
        chain("a: asset { quote { ...NEXT } } b: asset { quote { ...NEXT } }", "symbol", 5),
        "TOO_MANY_ALIASES",
        id="twice as many at each level",
    ),
    pytest.param(
        chain(" ".join(f"f{number} {{ ...NEXT }}" for number in range(20)), "symbol", 10),
        "TOO_MANY_FIELDS",
        id="twenty times as many at each level, of fields that do not exist",
    ),
    pytest.param(chain("asset { quote { ...F0 } }", "symbol", 1), "DOCUMENT_TOO_DEEP", id="a circle"),
    pytest.param("{" * 1990 + "a" + "}" * 1990, "GRAPHQL_PARSE_FAILED", id="braces"),
    pytest.param("{ a(b: " + "[" * 1500 + "]" * 1500 + ") }", "GRAPHQL_PARSE_FAILED", id="brackets"),
]


@pytest.mark.parametrize(("query", "code"), BOMBS)
@pytest.mark.timeout(20)
async def test_a_small_document_that_means_a_large_one_takes_no_time(query: str, code: str | None) -> None:
    if code is None:
        assert await prepared(query, {})
        return
    with pytest.raises(SmartFinError) as refused:
        await prepared(query, {})
    assert refused.value.code == code


PER_ASSET = "query ($n: Int!) { assets(first: $n) { edges { node { history { count } } } } }"


async def test_what_lies_below_a_list_counts_as_often_as_the_list_is_long() -> None:
    assert await prepared(PER_ASSET, {"max_cost": 110}, n=10)  # each 1 for the asset and 10 for its history
    with pytest.raises(SmartFinError) as refused:
        await prepared(PER_ASSET, {"max_cost": 109}, n=10)
    assert refused.value.details == {"cost": 110, "limit": 109}


async def test_the_document_of_graphiql_is_within_the_limits() -> None:
    assert await prepared(get_introspection_query(input_value_deprecation=True, specified_by_url=True), {})


def test_every_field_that_is_resolved_has_its_price_and_every_price_its_field() -> None:
    resolved: set[str] = set()
    fields: set[str] = set()
    for kind in SCHEMA.core.type_map.values():
        definition = kind.extensions.get("strawberry-definition")
        if isinstance(definition, StrawberryObjectDefinition):
            names = {SCHEMA.config.name_converter.get_graphql_name(field): field for field in definition.fields}
            fields |= {f"{kind.name}.{name}" for name in names} | {f"{kind.name}.*"}
            resolved |= {f"{kind.name}.{name}" for name, field in names.items() if field.base_resolver}
    assert {one for one in resolved if one not in COSTS and f"{one.split('.')[0]}.*" not in COSTS} == set()
    assert set(COSTS) - fields == set()
