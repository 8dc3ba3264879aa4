"""The schema, put together."""

import strawberry
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from schema.root import Mutation, Query, Subscription
from schema.scalars import SCALARS


class Schema(strawberry.Schema):
    """Strawberry's schema, which leaves the logging of errors to the extension that masks them."""

    @property
    def core(self) -> GraphQLSchema:
        """As graphql-core has it, which parses, validates and executes."""
        return self._schema

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: an error of the caller is not worth a line, and `gateway.masking` logs the others."""


def build_schema(extensions: list[type[SchemaExtension]] | None = None) -> Schema:
    """The schema with the gateway's extensions."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=extensions or [],
    )
