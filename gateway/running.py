"""One operation of a client under way, whatever it travels on: prepared, answered or streamed, and ended."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any, Protocol

import orjson
from graphql import ExecutionResult, GraphQLError, OperationType
from graphql.execution import create_source_event_stream

import logs
import tracing
from errors import SmartFinError, TookTooLong, TooManyOperations, TooManySymbols
from gateway.documents import Operation
from gateway.execution import encoded, executed, invalid, refusal
from gateway.masking import masked
from gateway.meter import Meter
from gateway.outbox import Outbox, Traffic
from gateway.request import GraphQLRequest
from gateway.selections import Selection, Selections, failed
from live.mailbox import Event, Mailbox
from live.tending import is_ending
from people import Tier
from resolvers.world import Context
from settings import Settings

Prepare = Callable[[Context, GraphQLRequest], Awaitable[Operation]]
"""Finds the operation of a request. Raises a SmartFinError where it is not served."""


class Sink(Protocol):
    """Where the answers to one operation go; each payload is JSON."""

    outbox: Outbox
    """Through which they go: has it no room, what can be replaced by a later state waits."""

    def next(self, payloads: Sequence[bytes]) -> None:
        """Send results."""
        ...

    def error(self, payload: bytes) -> None:
        """Send the errors for which it was not executed, or cannot go on; nothing follows."""
        ...

    def complete(self) -> None:
        """Say that nothing follows."""
        ...


class Runner:
    """What all operations of a process share: the settings, the selections, the counts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.selections = Selections()
        self.traffic = Traffic()
        self.meter = Meter()
        self._most_operations = {
            Tier.GUEST: settings.guest_subscriptions,
            Tier.REGISTERED: settings.registered_subscriptions,
            Tier.VIP: settings.vip_subscriptions,
            Tier.ADMIN: settings.admin_subscriptions,
        }
        self._most_symbols = {
            Tier.GUEST: settings.guest_symbols,
            Tier.REGISTERED: settings.registered_symbols,
            Tier.VIP: settings.vip_symbols,
            Tier.ADMIN: settings.admin_symbols,
        }

    def may_begin(self, tier: Tier, under_way: int, sink: Sink) -> bool:
        """Whether a viewer who has so many operations under way may begin another; if not, the client is told."""
        most = self._most_operations[tier]
        if under_way < most:
            return True
        self.refuse(TooManyOperations(f"{most} operations are under way; complete one first.", limit=most), sink)
        self.meter.unknown.whole.observe(0.0)
        return False

    def refuse(self, error: SmartFinError, sink: Sink) -> None:
        """Tell the client why an operation is not executed."""
        told = refusal(error)
        self.meter.refused(told)
        sink.error(orjson.dumps(told))

    def check_symbols(self, tier: Tier, watched: int, more: int) -> None:
        """Raises TooManySymbols where a client that watches so many symbols may not watch more."""
        most = self._most_symbols[tier]
        if watched + more > most:
            raise TooManySymbols(
                f"{watched} symbols are watched already; with these {more} it would be more than {most}.",
                limit=most,
            )

    def start(
        self, request: GraphQLRequest, prepare: Prepare, context: Context, sink: Sink, client: "Collection[Run]"
    ) -> "Run":
        """The operation, under way; `client` has all that its client has under way, now and later."""
        run = Run(self, sink, client)
        run.task = asyncio.create_task(run.go(request, prepare, context))
        return run


class Run:
    """One operation under way; as a subscription it is the reader of its mailbox, and needs no task to wait."""

    __slots__ = ("_client", "_is_answering", "_mailbox", "_room", "_runner", "_selection", "_sink", "task")

    def __init__(self, runner: Runner, sink: Sink, client: "Collection[Run]") -> None:
        self.task: asyncio.Task[None] | None = None
        self._client = client
        self._runner = runner
        self._sink = sink
        self._mailbox: Mailbox | None = None
        self._selection: Selection | None = None
        self._room: asyncio.Future[None] | None = None
        self._is_answering = False

    @property
    def symbols(self) -> int:
        """How many symbols it watches."""
        return 0 if self._mailbox is None else self._mailbox.symbols

    async def go(self, request: GraphQLRequest, prepare: Prepare, context: Context) -> None:
        """Answer, or stream until there is a mailbox to read from."""
        logs.of_request(context.request_id)
        start = perf_counter()
        timed = self._runner.meter.unknown
        source: AsyncGenerator[Any, None] | None = None
        try:
            try:
                with tracing.request():
                    operation = await prepare(context, request)
                    timed = operation.timed
                    if operation.type is OperationType.SUBSCRIPTION:
                        source = await self._subscribe(operation, request, context)
                    else:
                        await self._answer(operation, request, context)
            finally:
                timed.answered(start)
            if source is not None:
                await self._send_each(source)
        except SmartFinError as error:
            self._runner.refuse(error, self._sink)
        except Exception as error:  # noqa: BLE001 - it is masked and logged, as in a query
            self._fail(masked(failed(error).errors or [], context.request_id))
            self.close()
        finally:
            self.task = None

    def take(self, events: Sequence[Event]) -> int:
        """Send what the events mean to this client, as far as there is room; as a mailbox's reader."""
        if self._is_answering:
            return 0
        selection, outbox = self._selection, self._sink.outbox
        room = outbox.room if outbox.is_writable else 0
        taken = 0
        answers: list[bytes] = []
        for event in events:
            if room <= 0:
                outbox.wait(self)
                break
            taken += 1
            # Without a call, where another client had it made.
            answer = event.answer if event.asker is selection else event.answers.get(selection)
            if answer.__class__ is not bytes:
                answer = self._made(event)
                if not isinstance(answer, bytes):
                    self._is_answering = True
                    answer.add_done_callback(self._answered)
                    break
            answers.append(answer)
            room -= len(answer)
        if answers:
            self._sink.next(answers)
        return taken

    def end(self) -> None:
        """Nothing more will come; as a mailbox's reader."""
        if not self._is_answering:
            self.close()
            self._sink.complete()

    def drain(self) -> None:
        """There is room again."""
        if self._mailbox is not None:
            self._mailbox.drain()
        elif self._room is not None and not self._room.done():
            self._room.set_result(None)

    def close(self) -> None:
        """End it without a word: the client has, or is gone."""
        if self.task is not None:
            self.task.cancel()
        if self._mailbox is not None:
            self._runner.traffic.closed_mailbox(self._mailbox)
            self._mailbox.close()
            self._sink.outbox.forget(self._mailbox)
            self._mailbox = None
        self._sink.outbox.forget(self)

    def _made(self, event: Event) -> "bytes | asyncio.Task[bytes]":
        assert self._selection is not None
        if event.came_at is not None:  # the first of those who watch it times its way for all of them
            self._runner.traffic.unsent.append(event.came_at)
            event.came_at = None
        return self._selection.answer(event)

    async def _answer(self, operation: Operation, request: GraphQLRequest, context: Context) -> None:
        settings = self._runner.settings
        limit_s = settings.request_timeout_seconds
        try:
            async with asyncio.timeout(limit_s):
                result = await executed(operation, request.variables, context, suggestions=settings.suggestions)
        except TimeoutError:
            raise TookTooLong(f"It took longer than {limit_s:g} s; ask for less.", limit=limit_s) from None
        self._sink.next([encoded(result, operation.timed)])
        self._sink.complete()

    async def _subscribe(
        self, operation: Operation, request: GraphQLRequest, context: Context
    ) -> AsyncGenerator[Any, None] | None:
        """What is to be sent each by each; None where a mailbox brings it, or nothing comes."""
        executor = operation.compiled.executor(
            request.variables or {}, context, hide_suggestions=not self._runner.settings.suggestions
        )
        if isinstance(executor, list):
            raise invalid(executor)
        source: Any = create_source_event_stream(executor)
        if executor.is_awaitable(source):
            source = await source
        if is_ending():  # the client is gone, and what was awaited has swallowed that
            await _leave(source)
            return None
        if isinstance(source, ExecutionResult):
            self._fail(masked(source.errors or [], context.request_id))
            return None
        self._selection = self._runner.selections.of(executor)
        if isinstance(source, Mailbox):
            watched = sum(run.symbols for run in self._client)
            try:
                self._runner.check_symbols(context.viewer.tier, watched, source.symbols)
            except TooManySymbols:
                source.close()
                raise
            self._mailbox = source
            self._runner.traffic.mailboxes.add(source)
            source.read_by(self, self._sink.outbox.wake)
            return None
        streaming: AsyncGenerator[Any, None] = source
        return streaming

    def _fail(self, errors: Sequence[GraphQLError]) -> None:
        """Tell the client of errors after which nothing follows."""
        self._runner.meter.unknown.failed(errors)
        self._sink.error(orjson.dumps([error.formatted for error in errors]))

    async def _send_each(self, source: AsyncGenerator[Any, None]) -> None:
        """Send every one of them: the source waits while the client is slow, so none is dropped and none piles up."""
        assert self._selection is not None
        self._runner.traffic.streams += 1
        try:
            async with aclosing(source):
                async for payload in source:
                    while not self._sink.outbox.has_room:
                        self._room = asyncio.get_running_loop().create_future()
                        self._sink.outbox.wait(self)
                        await self._room
                    answer = self._selection.answer(Event("", (0, 0), payload))
                    self._sink.next([answer if isinstance(answer, bytes) else await answer])
            self._sink.complete()
        finally:
            self._runner.traffic.streams -= 1

    def _answered(self, answer: "asyncio.Task[bytes]") -> None:
        self._is_answering = False
        if self._mailbox is not None and not answer.cancelled():
            self._sink.next([answer.result()])
            self._mailbox.drain()


async def _leave(source: Any) -> None:
    """End a source that nobody reads."""
    if isinstance(source, Mailbox):
        source.close()
    elif isinstance(source, AsyncGenerator):
        await source.aclose()
