"""Execution: graphql-core's, with what does not depend on a request's values done once for each operation."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from graphql import (
    DocumentNode,
    Executor,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLResolveInfoHelpers,
    GraphQLSchema,
    OperationDefinitionNode,
    default_field_resolver,
    default_type_resolver,
    get_nullable_type,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails, collect_fields
from graphql.language import ArgumentNode, DirectiveNode, VariableNode, Visitor, visit
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.execution import optimized_is_awaitable

from gateway.asking import Asking, compile_asking
from gateway.plain import Reader, compile_reader
from gateway.reach import Reach, reach_of
from gateway.variables import Variables

MAX_READERS = 100
"""Of one document: its variables may switch its fields on and off in more ways than are worth keeping."""


class Readers:
    """The compiled readers of one document, kept with it."""

    def __init__(self, document: DocumentNode) -> None:
        self._document = document  # kept alive: the keys are identities of its nodes
        switches = _Switches()
        visit(document, switches)
        self._switches = sorted(switches.names)
        self._readers: dict[object, Reader | Asking | None] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def switched(self, variables: Mapping[str, Any]) -> tuple[object, ...]:
        """The values of the variables on which it depends what is selected."""
        return tuple(variables.get(name) for name in self._switches)

    def get(self, key: object, compile_: Callable[[], Reader | Asking | None]) -> Reader | Asking | None:
        """The reader under the key, compiled where there is none yet."""
        try:
            return self._readers[key]
        except KeyError:
            if len(self._readers) >= MAX_READERS:
                self._readers.clear()
            reader = self._readers[key] = compile_()
            return reader


class _Switches(Visitor):
    """Finds the variables that @skip and @include take."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        for argument in node.arguments or ():
            if isinstance(argument, ArgumentNode) and isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)


class CompiledOperation:
    """An operation of a valid document, made ready to be executed again and again."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.schema = schema
        self.node = operation
        self.readers = Readers(document)
        self._variables = Variables(schema, operation)
        self._definitions = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }
        self._fragments = {name: FragmentDetails(one) for name, one in self._definitions.items()}

    def executor(
        self, given: Mapping[str, Any], context: object, root: object = None, *, hide_suggestions: bool = False
    ) -> "CompiledExecutor | list[GraphQLError]":
        """What executes it with these variables; or what is wrong with them."""
        variables = self._variables.coerced(given, hide_suggestions=hide_suggestions)
        if isinstance(variables, list):
            return variables
        return CompiledExecutor(
            self.schema,
            self._definitions,
            self._fragments,
            root,
            context,
            self.node,
            variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=optimized_is_awaitable,
            hide_suggestions=hide_suggestions,
            compiled=self,
        )

    @cached_property
    def reach(self) -> Reach:
        """What its events' execution depends on."""
        return reach_of(self.node, self._definitions)


class CompiledExecutor(Executor[Any]):
    """Completes what is plain in one go; all else, and all that goes wrong, is graphql-core's.

    Made by `CompiledOperation.executor`.
    """

    def __init__(self, *args: Any, compiled: CompiledOperation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.compiled = compiled
        self._readers = compiled.readers
        self._switched = self._readers.switched(self.variable_values.coerced)

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """Made when asked for: kept, they would lead back here, and leave each executor to garbage collection."""
        return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, _: GraphQLResolveInfoHelpers) -> None: ...

    def event_reader(self) -> Reader | None:
        """The reader of the `data` of a subscription's event, where it is plain; None where it is not."""
        root = self.schema.subscription_type
        with suppress(Exception):  # graphql-core meets it again, and says where it is
            assert root is not None
            [(key, selected)] = collect_fields(
                self.schema, self.fragments, self.variable_values, root, self.operation, self.hide_suggestions
            ).grouped_field_set.items()
            read = self._reader(get_nullable_type(root.fields[selected[0].node.name.value].type), selected)
            return None if read is None or isinstance(read, Asking) else lambda event: {key: read(event)}
        return None

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any]:
        """The list, read in one go where its items are plain."""
        reader = self._reader(return_type, field_details_list)
        if reader is not None and not isinstance(reader, Asking):
            with suppress(Exception):  # as above
                return reader(result)
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """The object, read in one go where it is plain, or where it answers all its fields together."""
        reader = self._reader(return_type, field_details_list)
        complete = partial(
            super().complete_object_value, return_type, field_details_list, info, path, result, position_context
        )
        with suppress(Exception):  # as above
            if isinstance(reader, Asking):
                return self._answered(reader, result, reader.questions(result, self.variable_values), complete)
            if reader is not None:
                return reader(result)  # type: ignore[no-any-return]
        return complete()

    async def _answered(
        self, asking: Asking, source: Any, questions: list[Any], complete: Callable[[], AwaitableOrValue[Any]]
    ) -> Any:
        with suppress(Exception):  # as above
            return asking.read(await source.answers(questions))
        completed = complete()
        return await completed if self.is_awaitable(completed) else completed

    def _reader(self, of: GraphQLOutputType, selected: FieldDetailsList) -> Reader | Asking | None:
        key = (id(of), self._switched, *[id(details.node) for details in selected])
        return self._readers.get(key, lambda: self._compiled(of, selected))

    def _compiled(self, of: GraphQLOutputType, selected: FieldDetailsList) -> Reader | Asking | None:
        with suppress(Exception):  # graphql-core meets it again, too
            return compile_reader(of, selected, self._fields_of) or compile_asking(of, selected, self._fields_of)
        return None

    def _fields_of(self, of: GraphQLObjectType, selected: FieldDetailsList) -> Mapping[str, FieldDetailsList]:
        return self.collect_subfields(of, selected).grouped_field_set
