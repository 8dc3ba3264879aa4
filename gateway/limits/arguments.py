"""What arguments, variables and directives may amount to."""

from typing import Any

import orjson
from graphql import DirectiveNode, DocumentNode, ListValueNode, Visitor, visit

from errors import ListTooLong, TooManyDirectives, VariablesTooLarge
from settings import Settings


def check_written(document: DocumentNode, limits: Settings) -> None:
    """Count what the document itself writes, fragments included. Raises TooManyDirectives, ListTooLong."""
    visit(document, _Written(limits))


class _Written(Visitor):
    def __init__(self, limits: Settings) -> None:
        super().__init__()
        self._limits = limits
        self._directives = 0

    def enter_directive(self, *_: DirectiveNode) -> None:
        self._directives += 1
        if self._directives > self._limits.max_directives:
            limit = self._limits.max_directives
            raise TooManyDirectives(f"The document has more than {limit} directives.", limit=limit)

    def enter_list_value(self, node: ListValueNode, *_: object) -> None:
        _check_list(len(node.values), self._limits)


def check_variables(variables: dict[str, Any], limits: Settings) -> None:
    """Measure the values of a request. Raises VariablesTooLarge, ListTooLong."""
    size = len(orjson.dumps(variables))
    if size > limits.max_variables_bytes:
        raise VariablesTooLarge(
            f"The variables have {size} bytes; at most {limits.max_variables_bytes} are taken.",
            limit=limits.max_variables_bytes,
        )
    values = list(variables.values())
    while values:
        value = values.pop()
        if isinstance(value, list):
            _check_list(len(value), limits)
            values += value
        elif isinstance(value, dict):
            values += value.values()


def _check_list(length: int, limits: Settings) -> None:
    if length > limits.max_list_items:
        raise ListTooLong(
            f"A list has {length} items; at most {limits.max_list_items} are taken.", limit=limits.max_list_items
        )
