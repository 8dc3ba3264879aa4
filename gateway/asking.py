"""Objects that answer their fields together: what is asked of one, all at once, and what leaves for the answers.

A type asks where the fields selected of it are made by `schema.scalars.asked_by`, or are objects of such fields,
whose questions it answers, too. graphql-core has a task wait for each field; where something goes wrong, it still does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLOutputType, get_nullable_type
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language import Visitor, visit

from gateway.plain import Collect, Reader, compile_reader, plain_attribute
from schema.scalars import ASK

Question: TypeAlias = Callable[[Any, VariableValues], Any]
"""What a field asks of the object, with these variables. Raises whatever is wrong with its arguments."""

Part: TypeAlias = Callable[[Sequence[Any]], Any]
"""What leaves for a field, of the answers to all questions."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How such an object is read. `read` raises NotPlain, or whatever reading an answer raises."""

    fields: Sequence[Question]
    read: Part

    def questions(self, source: Any, variables: VariableValues) -> list[Any]:
        """What is to be asked of the object, in the order in which `read` takes the answers."""
        return [field(source, variables) for field in self.fields]


def compile_asking(of: GraphQLOutputType, selected: FieldDetailsList, collect: Collect) -> Asking | None:
    """How the type is read with what is selected of it; None where a field of it is not answered with the others."""
    fields: list[Question] = []
    read = _object(of, selected, collect, lambda source: source, fields)
    return Asking(fields, read) if read is not None and fields else None


def _object(
    of: GraphQLOutputType,
    selected: FieldDetailsList,
    collect: Collect,
    place: Callable[[Any], Any],
    fields: list[Question],
) -> Part | None:
    """What leaves for the object that is at this place in the one asked; adds to `fields` what it asks."""
    if not isinstance(of, GraphQLObjectType) or of.is_type_of is not None:
        return None
    parts: dict[str, Part] = {}
    for key, details in collect(of, selected).items():
        node = details[0].node
        part: Part | None = None
        if node.name.value == "__typename":
            part = _constant(of.name)
        elif (field := of.fields.get(node.name.value)) is not None:
            inner = get_nullable_type(field.type)
            if ask := _ask_of(field):
                reader = compile_reader(inner, details, collect)
                if reader is None or details[0].fragment_variable_values:
                    return None
                part = _answer(len(fields), reader)
                fields.append(_question(field, node, ask, place))
            elif attribute := plain_attribute(field):
                part = _object(inner, details, collect, _at(place, attribute), fields)
        if part is None:
            return None
        parts[key] = part
    return lambda answers: {key: part(answers) for key, part in parts.items()}


def _ask_of(field: GraphQLField) -> Callable[..., Any] | None:
    definition = field.extensions.get("strawberry-definition")
    return definition.metadata.get(ASK) if definition is not None else None


def _at(place: Callable[[Any], Any], attribute: str) -> Callable[[Any], Any]:
    get = attrgetter(attribute)
    return lambda source: get(place(source))


def _constant(value: str) -> Part:
    return lambda answers: value


def _answer(index: int, reader: Reader) -> Part:
    return lambda answers: reader(answers[index])


def _question(field: GraphQLField, node: FieldNode, ask: Callable[..., Any], place: Callable[[Any], Any]) -> Question:
    names = {name: argument.extensions["strawberry-definition"].python_name for name, argument in field.args.items()}

    def arguments(variables: VariableValues | None) -> dict[str, Any]:
        return {names[name]: value for name, value in get_argument_values(field, node, variables).items()}

    variable = _Variable()
    visit(node, variable)
    if variable.is_there:
        return lambda source, variables: ask(place(source), **arguments(variables))
    given = arguments(None)
    return lambda source, variables: ask(place(source), **given)


class _Variable(Visitor):
    """Finds out whether there is a variable."""

    is_there = False

    def enter_variable(self, *_: object) -> None:
        self.is_there = True
