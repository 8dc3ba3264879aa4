"""What the execution of a subscription's events depends on, read off its document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
    print_ast,
    visit,
)
from graphql.language import Visitor


@dataclass(frozen=True, slots=True)
class Reach:
    """The text without the root field's arguments, and what is named in it; its fragments' included."""

    text: str
    variables: tuple[str, ...]
    """In the order of their names."""
    fields: frozenset[str]


def reach_of(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Reach:
    """The reach of an operation in a valid document, of which these are the fragments."""
    reached = _Reached()
    nodes: list[Node] = [*(operation.directives or ()), *map(_without_arguments, operation.selection_set.selections)]
    for node in nodes:
        visit(node, reached)
    spread: dict[str, FragmentDefinitionNode] = {}
    while reached.fragments:
        name = reached.fragments.pop()
        if name not in spread:
            spread[name] = fragments[name]
            visit(fragments[name], reached)
    text = "\n".join(map(print_ast, [*nodes, *(spread[name] for name in sorted(spread))]))
    return Reach(text, tuple(sorted(reached.variables)), frozenset(reached.fields))


def _without_arguments(node: SelectionNode) -> SelectionNode:
    if not isinstance(node, FieldNode):
        return node
    return FieldNode(
        alias=node.alias, name=node.name, directives=node.directives, selection_set=node.selection_set, arguments=()
    )


class _Reached(Visitor):
    """Names of the variables, the fields and the fragments in what is visited."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: set[str] = set()
        self.fields: set[str] = set()
        self.fragments: list[str] = []

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.variables.add(node.name.value)

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.fields.add(node.name.value)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        self.fragments.append(node.name.value)
