"""The schema, put together."""

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, get_named_type, is_leaf_type
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, Info
from strawberry.types.field import StrawberryField

from schema.access import guard
from schema.root import Mutation, Query, Subscription
from schema.scalars import SCALARS


class Schema(strawberry.Schema):
    """Strawberry's schema, whose resolvers graphql-core calls without what Strawberry puts around them.

    Where all arguments are scalars, enums or lists of them, graphql-core has made of them what the resolver takes;
    converting them once more took longer than to resolve many a field. The logging of errors is `gateway.masking`'s.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        for of in self.core.type_map.values():
            if isinstance(of, GraphQLObjectType) and of is not self.core.subscription_type:
                for field in of.fields.values():
                    definition = field.extensions.get("strawberry-definition")
                    if isinstance(definition, StrawberryField) and all(
                        is_leaf_type(get_named_type(argument.type)) for argument in field.args.values()
                    ):
                        field.resolve = self._directly(definition) or field.resolve

    def _directly(self, definition: StrawberryField) -> Callable[..., Any] | None:
        """What calls the resolver of the field; None where there is none, or it is not a plain function."""
        resolver = definition.base_resolver
        if resolver is None or definition.extensions or resolver.self_parameter or resolver.parent_parameter:
            return None
        name_of = self.config.name_converter.from_argument
        names = {name_of(argument): argument.python_name for argument in resolver.arguments}
        function = resolver.wrapped_func
        root, info = resolver.root_parameter, resolver.info_parameter

        def resolve(source: Any, asked: GraphQLResolveInfo[Any], **given: Any) -> Any:
            arguments = {names[name]: value for name, value in given.items()}
            if root:
                arguments[root.name] = source
            if info:
                arguments[info.name] = Info(_raw_info=asked, _field=definition)
            return function(**arguments)  # type: ignore[operator]

        return resolve

    @property
    def core(self) -> GraphQLSchema:
        """As graphql-core has it, which parses, validates and executes."""
        return self._schema

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: an error of the caller is not worth a line, and `gateway.masking` logs the others."""


def build_schema(extensions: list[type[SchemaExtension]] | None = None) -> Schema:
    """The schema with the gateway's extensions."""
    schema = Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=extensions or [],
    )
    guard(schema.core)
    return schema
