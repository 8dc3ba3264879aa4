"""How many fields an operation may select, how deep, and under how many names."""

from collections.abc import Iterator, Mapping, Sequence

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, OperationDefinitionNode, SelectionSetNode

from errors import LimitExceeded, TooDeep, TooManyAliases, TooManyFields, TooManyRepeats, TooManyRootFields
from settings import Settings

Fragments = Mapping[str, FragmentDefinitionNode]

_INTROSPECTION = ("__schema", "__type")


def check_fields(operation: OperationDefinitionNode, fragments: Fragments, limits: Settings) -> None:
    """Count what an operation selects, with fragments opened wherever they are spread.

    Raises TooDeep, TooManyRootFields, TooManyFields, TooManyAliases, TooManyRepeats. It stops at the first limit that
    is passed, so what a document may cost here is bounded whatever its fragments multiply to, in circles too.
    """
    total = aliases = repeats = 0
    for depth, fields in _levels(operation, fragments):
        _refuse_over(limits.max_depth, depth, TooDeep, "The document has fields {} deep")
        aliases += sum(field.alias is not None for field in fields)
        _refuse_over(limits.max_aliases, aliases, TooManyAliases, "The operation has {} aliases or more")
        repeats += len(fields) - len({_key(field) for field in fields})
        _refuse_over(limits.max_repeats, repeats, TooManyRepeats, "The operation repeats {} fields or more")
        if depth == 1:
            _refuse_over(limits.max_root_fields, len(fields), TooManyRootFields, "The operation asks {} questions")
        total += len(fields)
        _refuse_over(limits.max_fields, total, TooManyFields, "The operation selects {} fields or more")


def opened(selections: SelectionSetNode, fragments: Fragments) -> list[FieldNode]:
    """The fields of a selection set, each fragment in it opened once, as execution collects them."""
    fields: list[FieldNode] = []
    visited: set[str] = set()
    open_ones = [selections]
    while open_ones:
        for selection in open_ones.pop().selections:
            if isinstance(selection, FieldNode):
                fields.append(selection)
            elif isinstance(selection, FragmentSpreadNode):
                fragment = fragments.get(selection.name.value)
                if fragment is not None and fragment.name.value not in visited:
                    visited.add(fragment.name.value)
                    open_ones.append(fragment.selection_set)
            else:
                open_ones.append(selection.selection_set)  # type: ignore[attr-defined]
    return fields


def _levels(operation: OperationDefinitionNode, fragments: Fragments) -> Iterator[tuple[int, Sequence[FieldNode]]]:
    """Each selection set of an operation, and how deep its fields lie; all of introspection lies as deep as its root.

    Introspection is deep by nature: GraphiQL's own question is; graphql-core's rule keeps it from going in circles.
    """
    levels = [(1, 1, operation.selection_set)]
    while levels:
        depth, step, selections = levels.pop()
        fields = opened(selections, fragments)
        yield depth, fields
        for field in fields:
            if field.selection_set is not None:
                below = 0 if field.name.value in _INTROSPECTION else step
                levels.append((depth + below, below, field.selection_set))


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value


def _refuse_over(limit: int, count: int, error: type[LimitExceeded], said: str) -> None:
    if count > limit:
        raise error(f"{said.format(count)}; at most {limit} are taken.", limit=limit)
