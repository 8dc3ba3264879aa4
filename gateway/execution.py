"""Executing an operation, and its result as bytes."""

from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

import orjson
from graphql import ExecutionResult, GraphQLError, execute
from strawberry.execution import optimized_is_awaitable

from errors import DocumentError, InvalidVariables, SmartFinError
from gateway.documents import Operation
from gateway.executor import CompiledExecutor
from gateway.masking import masked
from resolvers.world import Context
from schema.build import Schema


async def executed(
    schema: Schema, operation: Operation, variables: Mapping[str, Any] | None, context: Context, *, suggestions: bool
) -> ExecutionResult:
    """The result of a query or a mutation, its unexpected errors masked. Raises InvalidVariables."""
    result = execute(
        schema.core,
        operation.document,
        variable_values=dict(variables) if variables else None,
        operation_name=operation.name,
        context_value=context,
        executor_class=CompiledExecutor,
        is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        hide_suggestions=not suggestions,
        readers=operation.readers,
    )
    if isawaitable(result):
        result = await result
    if result.errors:
        if result.data is None and not any(error.path for error in result.errors):
            raise _invalid(result.errors)
        result.errors = masked(result.errors, context.request_id)
    return result


def encoded(result: ExecutionResult) -> bytes:
    """The result as JSON; NaN, which no answer may hold, would come out as null."""
    if result.errors:
        return orjson.dumps({"errors": [error.formatted for error in result.errors], "data": result.data})
    return orjson.dumps({"data": result.data})


def encoded_refusal(error: SmartFinError) -> bytes:
    """An answer without data, whose errors say why nothing was executed."""
    return orjson.dumps({"errors": refusal(error)})


def refusal(error: SmartFinError) -> list[dict[str, Any]]:
    """The entries of `errors` for what was not executed."""
    if isinstance(error, DocumentError) and error.faults:
        return list(error.faults)
    return [{"message": str(error), "extensions": error.extensions}]


def _invalid(errors: list[GraphQLError]) -> InvalidVariables:
    """What GraphQL says before it resolves a field, of a valid document: the variables do not fit."""
    faults = [error.formatted for error in errors]
    return InvalidVariables(
        errors[0].message,
        [{**fault, "extensions": {"code": InvalidVariables.code, **fault.get("extensions", {})}} for fault in faults],
    )
