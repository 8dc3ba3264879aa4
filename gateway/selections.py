"""Subscriptions that select the same share the work: an event is executed and encoded once for all of them."""

import asyncio
import inspect
from typing import Any
from weakref import WeakValueDictionary

import orjson
from graphql import ExecutionResult, GraphQLError

from gateway.execution import as_json, encoded
from gateway.executor import CompiledExecutor
from gateway.masking import masked
from live.mailbox import Event
from resolvers.world import Context
from schema.access import OWN


class Selection:
    """What a document takes of each event, whoever asked, whatever symbols they named."""

    __slots__ = ("__weakref__", "_executor", "_read", "_request_id")

    def __init__(self, executor: CompiledExecutor, request_id: str) -> None:
        self._executor = executor
        self._read = executor.event_reader()
        self._request_id = request_id

    def answer(self, event: Event) -> "bytes | asyncio.Task[bytes]":
        """The payload of a `next` message, made at the first call for an event; a task, where it has to wait."""
        answer: bytes | asyncio.Task[bytes] | None
        answer = event.answer if event.asker is self else event.answers.get(self)
        if answer is None:
            answer = self._made(event)
            event.keep(self, answer)
        elif not isinstance(answer, bytes) and answer.done():
            answer = answer.result()
        return answer

    def _made(self, event: Event) -> "bytes | asyncio.Task[bytes]":
        if self._read is not None:
            try:
                return as_json({"data": self._read(event.payload)})
            except Exception:  # noqa: BLE001, S110 - graphql-core meets it again, and says where it is
                pass
        try:
            result = self._executor.build_per_event_executor(event.payload).execute_operation(False)
        except Exception as error:  # noqa: BLE001 - as in a query, whatever it is goes to the log and not further
            return self._encoded(failed(error))
        if inspect.isawaitable(result):
            return asyncio.ensure_future(self._awaited(result))
        return self._encoded(result)

    async def _awaited(self, result: Any) -> bytes:
        try:
            return self._encoded(await result)
        except Exception as error:  # noqa: BLE001 - as above
            return self._encoded(failed(error))

    def _encoded(self, result: Any) -> bytes:
        if result.errors:
            result.errors = masked(result.errors, self._request_id)
        return encoded(result)


class Selections:
    """Every selection that somebody is subscribed to, once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[str, str, bytes], Selection] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, executor: CompiledExecutor) -> Selection:
        """The selection of an operation, for all callers of one tier; its root field's arguments do not matter."""
        context: Context = executor.context_value
        reach = executor.compiled.reach
        variables = {name: executor.variable_values.coerced.get(name) for name in reach.variables}
        scope = context.viewer.tier if OWN.isdisjoint(reach.fields) else str(context.viewer.user_id)
        key = (scope, reach.text, orjson.dumps(variables, default=repr))
        selection = self._known.get(key)
        if selection is None:
            selection = self._known[key] = Selection(executor, context.request_id)
        return selection


def failed(error: Exception) -> ExecutionResult:
    """A result of nothing but the error."""
    located = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
    return ExecutionResult(None, [located])
