"""The variables of an operation: coerced by functions compiled for their types, as graphql-core coerces them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from graphql import (
    GraphQLError,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    get_variable_values,
    is_leaf_type,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource

Coerce: TypeAlias = Callable[[Any], Any]
"""What a value that is not null becomes. Raises whatever its type raises, and TypeError for a null or a single item."""

MAX_ERRORS = 5


class Variables:
    """The variables that an operation declares."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._nodes = operation.variable_definitions or ()
        self._compiled = [
            (signature.name, signature, _compiled(signature.type))
            for node in self._nodes
            if not isinstance(signature := get_variable_signature(schema, node), GraphQLError)
        ]
        self._is_compiled = len(self._compiled) == len(self._nodes) and all(each for _, _, each in self._compiled)

    def coerced(self, given: Mapping[str, Any], *, hide_suggestions: bool) -> VariableValues | list[GraphQLError]:
        """The values by name, or what is wrong with them."""
        if self._is_compiled:
            with suppress(Exception):  # graphql-core meets it again, and says what it is
                sources = {name: VariableValueSource(signature, given[name]) for name, signature, _ in self._compiled}
                return VariableValues(sources, {name: coerce(given[name]) for name, _, coerce in self._compiled})  # type: ignore[misc]
        return get_variable_values(
            self._schema, self._nodes, dict(given), max_errors=MAX_ERRORS, hide_suggestions=hide_suggestions
        )


def _compiled(of: GraphQLInputType) -> Coerce | None:
    """None for what may hold an input object: those are graphql-core's."""
    is_nullable = not isinstance(of, GraphQLNonNull)
    inner = of.of_type if isinstance(of, GraphQLNonNull) else of
    if isinstance(inner, GraphQLList):
        item = _compiled(inner.of_type)
        coerce = _list_of(item) if item else None
    elif is_leaf_type(inner):
        coerce = _leaf(inner.coerce_input_value)
    else:
        coerce = None
    if coerce is None:
        return None
    return _or_none(coerce) if is_nullable else coerce


def _or_none(coerce: Coerce) -> Coerce:
    return lambda value: None if value is None else coerce(value)


def _list_of(item: Coerce) -> Coerce:
    def coerce(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError
        return [item(each) for each in value]

    return coerce


def _leaf(parse: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        if value is None or (parsed := parse(value)) is Undefined:
            raise TypeError
        return parsed

    return coerce
