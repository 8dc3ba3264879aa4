"""Executing an operation, and its result as bytes."""

from collections.abc import Mapping, Sequence
from functools import partial
from inspect import isawaitable
from time import perf_counter
from typing import Any, Final

import orjson
from graphql import ExecutionResult, GraphQLError

import tracing
from errors import DocumentError, InvalidVariables, SmartFinError
from gateway.documents import Operation
from gateway.masking import masked
from gateway.meter import Timed
from resolvers.world import Context

as_json: Final = partial(orjson.dumps, option=orjson.OPT_UTC_Z)
"""JSON as it leaves: an instant, which a result may hold as it is, ends with Z, as the scalar's own text does."""


async def executed(
    operation: Operation, variables: Mapping[str, Any] | None, context: Context, *, suggestions: bool
) -> ExecutionResult:
    """The result of a query or a mutation, its unexpected errors masked. Raises InvalidVariables."""
    start = perf_counter()
    executor = operation.compiled.executor(variables or {}, context, hide_suggestions=not suggestions)
    if isinstance(executor, list):
        raise invalid(executor)
    with tracing.span(operation.timed.type, operation=operation.timed.operation):
        result = executor.execute_operation()
        if isawaitable(result):
            result = await result
    assert isinstance(result, ExecutionResult)  # nothing here is delivered in increments
    if result.errors:
        if result.data is None and not any(error.path for error in result.errors):
            raise invalid(result.errors)  # nothing was resolved: @skip or @include got what is no Boolean
        result.errors = masked(result.errors, context.request_id)
        operation.timed.failed(result.errors)
    operation.timed.execute.observe(perf_counter() - start)
    return result


def encoded(result: ExecutionResult, timed: Timed | None = None) -> bytes:
    """The result as JSON; NaN, which no answer may hold, would come out as null."""
    start = perf_counter()
    if result.errors:
        answer = as_json({"errors": [error.formatted for error in result.errors], "data": result.data})
    else:
        answer = as_json({"data": result.data})
    if timed is not None:
        timed.encode.observe(perf_counter() - start)
    return answer


def encoded_refusal(error: SmartFinError) -> bytes:
    """An answer without data, whose errors say why nothing was executed."""
    return orjson.dumps({"errors": refusal(error)})


def refusal(error: SmartFinError) -> list[dict[str, Any]]:
    """The entries of `errors` for what was not executed."""
    if isinstance(error, DocumentError) and error.faults:
        return list(error.faults)
    return [{"message": str(error), "extensions": error.extensions}]


def invalid(errors: Sequence[GraphQLError]) -> InvalidVariables:
    """What GraphQL says before it resolves a field, of a valid document: the variables do not fit."""
    faults = [error.formatted for error in errors]
    return InvalidVariables(
        errors[0].message,
        [{**fault, "extensions": {"code": InvalidVariables.code, **fault.get("extensions", {})}} for fault in faults],
    )
