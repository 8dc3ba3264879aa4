"""What an operation costs, from the prices of its fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from errors import TooCostly
from gateway.limits.costs import COSTS, FREE
from gateway.limits.fields import Fragments
from settings import Settings


@dataclass(frozen=True, slots=True)
class Variable:
    """A number of times that the request says, or `default` where it does not."""

    name: str
    default: int


@dataclass(frozen=True, slots=True)
class Priced:
    """A field that costs something, and those below it."""

    amount: int
    times: int | Variable
    below: Sequence["Priced"]


def priced(schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Fragments) -> Sequence[Priced]:
    """The priced fields of a valid operation, whose fields were counted before: it opens every fragment."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    return _Prices(schema, operation, fragments).of(root, operation.selection_set, set())


def check_cost(fields: Sequence[Priced], variables: Mapping[str, Any], limits: Settings) -> int:
    """A request's cost with its variables. Raises TooCostly."""
    cost = _cost(fields, variables)
    if cost > limits.max_cost:
        raise TooCostly(
            f"The operation costs {cost}; at most {limits.max_cost} is answered. Ask for less at once.",
            cost=cost,
            limit=limits.max_cost,
        )
    return cost


def _cost(fields: Sequence[Priced], variables: Mapping[str, Any]) -> int:
    return sum(_times(field.times, variables) * (field.amount + _cost(field.below, variables)) for field in fields)


def _times(times: int | Variable, variables: Mapping[str, Any]) -> int:
    if isinstance(times, int):
        return times
    value = variables.get(times.name)
    if isinstance(value, list):
        return len(value)
    # Whatever is no number here is refused as the variables are coerced.
    return max(value, 0) if isinstance(value, int) else times.default


class _Prices:
    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Fragments) -> None:
        self._schema = schema
        self._fragments = fragments
        self._defaults = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
        }

    def of(self, parent: GraphQLNamedType, selections: SelectionSetNode, visited: set[str]) -> list[Priced]:
        found: list[Priced] = []
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                found += self._field(parent, selection)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in visited:
                    visited.add(name)
                    found += self._fragment(parent, self._fragments[name], visited)
            elif isinstance(selection, InlineFragmentNode):
                found += self._fragment(parent, selection, visited)
        return found

    def _fragment(
        self, parent: GraphQLNamedType, fragment: FragmentDefinitionNode | InlineFragmentNode, visited: set[str]
    ) -> list[Priced]:
        condition = fragment.type_condition
        kind = self._schema.get_type(condition.name.value) if condition else parent
        assert kind is not None
        return self.of(kind, fragment.selection_set, visited)

    def _field(self, parent: GraphQLNamedType, node: FieldNode) -> Sequence[Priced]:
        name = node.name.value
        if name.startswith("__"):
            return ()  # nothing is looked up for introspection, and its depth has a limit
        definition = parent.fields[name]  # type: ignore[attr-defined]
        cost = COSTS.get(f"{parent.name}.{name}") or COSTS.get(f"{parent.name}.*") or FREE
        below = self.of(get_named_type(definition.type), node.selection_set, set()) if node.selection_set else []
        if cost.times is None:
            return below if cost.amount == 0 else [Priced(cost.amount, 1, below)]
        given = next((one.value for one in node.arguments or () if one.name.value == cost.times), None)
        return [Priced(cost.amount, self._count(given, definition.args[cost.times]), below)]

    def _count(self, given: ValueNode | None, argument: GraphQLArgument) -> int | Variable:
        default = argument.default_value if isinstance(argument.default_value, int) else 1
        if isinstance(given, VariableNode):
            return Variable(given.name.value, _written(self._defaults.get(given.name.value), default))
        return _written(given, default)


def _written(value: ValueNode | None, otherwise: int) -> int:
    """The number, or the length, that a document writes."""
    if isinstance(value, IntValueNode):
        return max(int(value.value), 0)
    return len(value.values) if isinstance(value, ListValueNode) else otherwise
