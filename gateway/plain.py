"""Readers of plain values: one function for all that a selection takes from an object, a list or a frame.

A type is plain where the fields selected of it are attributes of its objects, without a resolver, all the way
down. What a reader returns is what graphql-core would, but for instants in UTC, whose text `gateway.execution.as_json`
writes. Wherever a value is not one that its type takes, it raises NotPlain, and graphql-core goes through it again, to
find what is wrong and to say where.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypeAlias

import orjson
import polars as pl
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from strawberry.types.field import StrawberryField

from gateway.columns import ColumnRule, column_rule
from resolvers.rows import Rows

Reader: TypeAlias = Callable[[Any], Any]
"""What leaves for a value that is not null. Raises NotPlain, or whatever reading the value raises."""

Collect: TypeAlias = Callable[[GraphQLObjectType, FieldDetailsList], Mapping[str, FieldDetailsList]]
"""The fields that a selection takes of a type, by the name that each has in the answer."""

FRAGMENT_ROWS = 200
"""From so many rows on, Polars writes the JSON; below, what it takes to begin outweighs what it saves."""

_TYPENAME = "__typename"
_INERT = frozenset({str, int, float, bool, datetime, date})
"""Classes of which no value is an error or awaitable."""


class NotPlain(Exception):
    """Such a value is for graphql-core to complete."""


def plain_attribute(field: GraphQLField) -> str | None:
    """The attribute that the field is, where it is one."""
    definition = field.extensions.get("strawberry-definition")
    if isinstance(definition, StrawberryField) and definition.is_basic_field and not field.args:
        return definition.python_name
    return None


def compile_reader(of: GraphQLOutputType, selected: FieldDetailsList, collect: Collect) -> Reader | None:
    """The reader of the type, not null, with what is selected of it; None where it is not plain."""
    if is_leaf_type(of):
        return leaf_reader(of)
    if isinstance(of, GraphQLObjectType) and of.is_type_of is None:
        return _object_reader(of, selected, collect)
    if isinstance(of, GraphQLList):
        return _list_reader(of.of_type, selected, collect)
    return None


def leaf_reader(leaf: GraphQLLeafType) -> Reader:
    """The reader of one value."""
    return _enum_reader(leaf) if isinstance(leaf, GraphQLEnumType) else _coercing_reader(leaf)


def _coercing_reader(leaf: GraphQLLeafType) -> Reader:
    coerce = leaf.coerce_output_value

    def read(value: Any) -> Any:
        if value is None or (value.__class__ not in _INERT and isinstance(value, Exception | Awaitable)):
            raise NotPlain
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise NotPlain
        return coerced

    return read


def _enum_reader(leaf: GraphQLEnumType) -> Reader:
    coerce = _coercing_reader(leaf)
    names: dict[object, str] = {}

    def read(value: Any) -> Any:
        # By identity: members live as long as their enum, and a text that equals one is another case.
        name = names.get(id(value))
        if name is None:
            name = coerce(value)
            if value.__class__ is getattr(leaf, "wrapped_cls", None):
                names[id(value)] = name
        return name

    return read


class _Field(NamedTuple):
    """A selected field: its name in the answer, its type, what is selected of it, and the attribute that it is."""

    key: str
    of: GraphQLOutputType
    is_nullable: bool
    details: FieldDetailsList
    attribute: str


def _fields(of: GraphQLObjectType, selected: FieldDetailsList, collect: Collect) -> list[_Field] | None:
    """What is selected of the type, in order; None where a field of it is not an attribute."""
    found: list[_Field] = []
    for key, details in collect(of, selected).items():
        name = details[0].node.name.value
        if name == _TYPENAME:
            found.append(_Field(key, GraphQLString, False, details, _TYPENAME))
            continue
        field = of.fields.get(name)
        attribute = plain_attribute(field) if field else None
        if field is None or attribute is None:
            return None
        found.append(_Field(key, *_nullability(field.type), details, attribute))
    return found


def _nullability(of: GraphQLOutputType) -> tuple[GraphQLOutputType, bool]:
    """The type without its exclamation mark, and whether it had none."""
    return (of.of_type, False) if isinstance(of, GraphQLNonNull) else (of, True)


def _object_reader(of: GraphQLObjectType, selected: FieldDetailsList, collect: Collect) -> Reader | None:
    """The reader of one object, as a function written for it: a loop over its fields takes three times as long."""
    fields = _fields(of, selected, collect)
    if fields is None:
        return None
    names: dict[str, Any] = {"NotPlain": NotPlain, "datetime": datetime, "UTC": UTC}
    lines = [
        "def read(source):",
        "    if source is None or isinstance(source, Exception) or hasattr(source, '__await__'): raise NotPlain",
    ]
    values: list[str] = []
    for index, field in enumerate(fields):
        if field.attribute == _TYPENAME:
            values.append(f"{field.key!r}: {of.name!r}")
            continue
        reader = compile_reader(field.of, field.details, collect)
        if reader is None:
            return None
        value = f"value{index}"
        names[f"read{index}"] = reader
        lines += [
            f"    {value} = source.{field.attribute}",
            f"    if {_as_it_is(field.of).format(value)}: pass",
            f"    elif {value} is not None: {value} = read{index}({value})",
        ]
        if not field.is_nullable:
            lines.append("    else: raise NotPlain")
        values.append(f"{field.key!r}: {value}")
    lines.append(f"    return {{{', '.join(values)}}}")
    exec("\n".join(lines), names)  # names of GraphQL and attributes of ours, nothing else  # noqa: S102
    return names["read"]  # type: ignore[no-any-return]


_AS_IT_IS: Mapping[str, str] = {
    "Float": "{0}.__class__ is float and {0} - {0} == 0",
    "String": "{0}.__class__ is str",
    "Int": "{0}.__class__ is int and -0x80000000 <= {0} < 0x80000000",
    "Boolean": "{0} is True or {0} is False",
    "Symbol": "{0}.__class__ is str",
    "Timestamp": "{0}.__class__ is int",
    "DateTime": "{0}.__class__ is datetime and {0}.tzinfo is UTC",
}
"""By the name of its type, what holds for a value that leaves as it is."""


def _as_it_is(of: GraphQLOutputType) -> str:
    return _AS_IT_IS.get(of.name, "False") if is_leaf_type(of) else "False"


def _list_reader(of: GraphQLOutputType, selected: FieldDetailsList, collect: Collect) -> Reader | None:
    """The reader of a list of the type, whether it is one in Python, a column, or the rows of a frame."""
    inner, nullable = _nullability(of)
    item = compile_reader(inner, selected, collect)
    if item is None:
        return None
    columns = None
    if is_leaf_type(inner):
        columns = _series_reader(inner, nullable)
    elif isinstance(inner, GraphQLObjectType):
        columns = _rows_reader(inner, selected, collect)

    def read(value: Any) -> Any:
        if value.__class__ is list or value.__class__ is tuple:
            if nullable:
                return [None if each is None else item(each) for each in value]
            return [item(each) for each in value]
        if columns is not None:
            return columns(value)
        raise NotPlain

    return read


def _series_reader(leaf: GraphQLLeafType, nullable: bool) -> Reader | None:
    rule = column_rule(leaf)
    if rule is None:
        return None

    def read(series: Any) -> list[Any]:
        column = rule.json(series, nullable=nullable) if isinstance(series, pl.Series) else None
        if column is None:
            raise NotPlain
        return column.to_list()

    return read


def _rows_reader(of: GraphQLObjectType, selected: FieldDetailsList, collect: Collect) -> Reader | None:
    fields = _fields(of, selected, collect)
    if not fields:  # of rows without a column, none would know how many they are
        return None
    rules: list[tuple[_Field, ColumnRule]] = []
    for field in fields:
        rule = column_rule(field.of) if is_leaf_type(field.of) else None
        if rule is None:
            return None
        rules.append((field, rule))
    attributes = list(dict.fromkeys(field.attribute for field in fields if field.attribute != _TYPENAME))

    def read(rows: Any) -> Any:
        if not isinstance(rows, Rows):
            raise NotPlain
        taken = rows.columns(attributes or rows.frame.columns[:1])  # which may be for their number alone
        columns: dict[str, pl.Series | pl.Expr] = {}
        for field, rule in rules:
            if field.attribute == _TYPENAME:
                columns[field.key] = pl.lit(of.name)
                continue
            column = rule.json(taken[field.attribute], nullable=field.is_nullable)
            if column is None:
                raise NotPlain
            columns[field.key] = column
        answer = taken.with_columns(**columns).select(*columns)
        return orjson.Fragment(answer.write_json()) if answer.height >= FRAGMENT_ROWS else answer.to_dicts()

    return read
