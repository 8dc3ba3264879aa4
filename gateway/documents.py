"""Documents: parsed, limited, validated and priced once, then kept; found by text, by hash or by published id."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    specified_rules,
    validate,
)

from db.documents import DocumentStore, document_hash
from db.spending import Spending
from errors import (
    DocumentError,
    DocumentNotAllowed,
    DocumentNotFound,
    IntrospectionDisabled,
    LimitExceeded,
    OperationNotFound,
    PersistedQueryMismatch,
    PersistedQueryNotFound,
    StoreUnavailable,
    ValidationFailed,
)
from gateway.executor import CompiledOperation
from gateway.limits.arguments import check_variables, check_written
from gateway.limits.cost import Priced, check_cost, priced
from gateway.limits.fields import check_fields, opened
from gateway.limits.text import parsed
from gateway.meter import Meter, Timed
from gateway.request import GraphQLRequest
from resolvers.world import Context
from schema.build import Schema
from settings import Settings

logger = logging.getLogger(__name__)

LEAST_COST = 1
"""What the cheapest operation costs of a viewer's budget."""

REFUSED_COST = 5
"""What a document costs that is not served: reading and validating it is work, too."""

MAX_VALIDATION_ERRORS = 5
"""More than a person reads at once; the next one ends the validation, and says so."""

_TOKEN_BYTES = 700
"""What a token of a document takes, parsed and priced; measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation that may be executed: one object for as long as its document is kept."""

    document: DocumentNode
    node: OperationDefinitionNode
    root_fields: int
    prices: Sequence[Priced]
    compiled: CompiledOperation
    timed: Timed

    @property
    def type(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.node.operation

    @property
    def name(self) -> str | None:
        """Its name in the document; None for the only one of a document."""
        return self.node.name.value if self.node.name else None


@dataclass(frozen=True, slots=True)
class _Document:
    operations: Mapping[str | None, Operation]
    size_bytes: int


class Documents:
    """The door for every operation, whatever carried it."""

    def __init__(
        self,
        schema: Schema,
        settings: Settings,
        store: DocumentStore,
        meter: Meter | None = None,
        spending: Spending | None = None,
    ) -> None:
        self._schema = schema.core
        self._settings = settings
        self._store = store
        self._meter = meter or Meter()
        self._spending = spending
        introspection = () if settings.introspection else (_NoIntrospection,)
        self._rules = (*introspection, *specified_rules)
        self._kept: OrderedDict[str, _Document] = OrderedDict()
        self._hashes: OrderedDict[str, str] = OrderedDict()
        self.kept_bytes = 0
        self.hits = 0
        self.misses = 0

    async def prepare(self, context: Context, request: GraphQLRequest) -> Operation:
        """The operation that a request names, paid for and ready to be executed with the request's variables.

        Raises DocumentError and LimitExceeded for what is wrong with it, RateLimited where the viewer's budget does
        not reach, StoreUnavailable where a document must be looked up and Redis does not answer.
        """
        start = perf_counter()
        try:
            document = await self._document(request)
        except (DocumentError, LimitExceeded):
            await self._pay(context, REFUSED_COST)
            raise
        return await self._ready(context, document, request, start)

    async def prepare_own(self, context: Context, request: GraphQLRequest) -> Operation:
        """As `prepare`, for the text of a door of ours, which is served also where only published documents are."""
        assert request.query is not None
        start = perf_counter()
        sha256 = document_hash(request.query)
        return await self._ready(context, self._named(sha256, self._of(sha256, request.query)), request, start)

    def __len__(self) -> int:
        """How many documents are kept."""
        return len(self._kept)

    def check(self, text: str) -> None:
        """Raises what `prepare` would raise for the text, for each of its operations without variables."""
        for operation in self._prepared(text).operations.values():
            check_cost(operation.prices, {}, self._settings)

    async def _ready(self, context: Context, document: _Document, request: GraphQLRequest, start: float) -> Operation:
        operation = _chosen(document, request.operation_name)
        variables = request.variables or {}
        if variables:
            check_variables(variables, self._settings)
        cost = check_cost(operation.prices, variables, self._settings)
        await self._pay(context, max(cost, LEAST_COST))
        operation.timed.prepare.observe(perf_counter() - start)
        return operation

    async def _pay(self, context: Context, cost: int) -> None:
        if self._spending is not None:
            context.spent = await self._spending.spend(context.viewer, context.address, cost)

    async def _document(self, request: GraphQLRequest) -> _Document:
        if request.document_id is not None:
            return await self._published(request.document_id)
        if self._settings.documents_only:
            if request.sha256_hash is None:
                raise DocumentNotAllowed("Only published documents are served here; name one by its `documentId`.")
            return await self._published(f"sha256:{request.sha256_hash}")
        if request.query is None:
            assert request.sha256_hash is not None
            return await self._persisted(request.sha256_hash)
        sha256 = document_hash(request.query)
        if request.sha256_hash is None:
            return self._of(sha256, request.query)
        if request.sha256_hash != sha256:
            raise PersistedQueryMismatch(f"The hash of the text is {sha256}, not {request.sha256_hash[:64]}.")
        document = self._of(sha256, request.query)
        try:
            await self._store.persist(sha256, request.query)
        except StoreUnavailable as error:
            logger.warning("a document was not kept by its hash: %s", error)
        return document

    async def _persisted(self, sha256: str) -> _Document:
        kept = self._get(sha256)
        if kept is not None:
            return kept
        text = await self._store.persisted(sha256)
        if text is None:
            # The words that Apollo's clients wait for, to send the text.
            raise PersistedQueryNotFound("PersistedQueryNotFound")
        return self._of(sha256, text)

    async def _published(self, document_id: str) -> _Document:
        sha256 = self._hashes.get(document_id)
        kept = self._get(sha256) if sha256 else None
        if kept is not None:
            return kept
        text = await self._store.published(document_id)
        if text is None:
            raise DocumentNotFound(f'No document was published as "{document_id[:80]}".')
        sha256 = document_hash(text)
        document = self._named(sha256, self._of(sha256, text))
        self._hashes[document_id] = sha256
        if len(self._hashes) > self._settings.document_cache_count:
            self._hashes.popitem(last=False)
        return document

    def _of(self, sha256: str, text: str) -> _Document:
        kept = self._get(sha256)
        if kept is None:
            self.misses += 1
            kept = self._prepared(text)
            self._keep(sha256, kept)
        return kept

    def _named(self, sha256: str, document: _Document) -> _Document:
        """The document, its operations counted by their names from now on: who published it chose them."""
        timed = {name: self._meter.of(operation.type, name) for name, operation in document.operations.items()}
        if all(operation.timed is timed[name] for name, operation in document.operations.items()):
            return document
        operations = {name: replace(one, timed=timed[name]) for name, one in document.operations.items()}
        named = replace(document, operations=operations)
        if sha256 in self._kept:
            self._kept[sha256] = named
        return named

    def _get(self, sha256: str) -> _Document | None:
        kept = self._kept.get(sha256)
        if kept is not None:
            self.hits += 1
            self._kept.move_to_end(sha256)
        return kept

    def _keep(self, sha256: str, document: _Document) -> None:
        self._kept[sha256] = document
        self.kept_bytes += document.size_bytes
        most, most_bytes = self._settings.document_cache_count, self._settings.document_cache_bytes
        while len(self._kept) > most or self.kept_bytes > most_bytes:
            self.kept_bytes -= self._kept.popitem(last=False)[1].size_bytes

    def _prepared(self, text: str) -> _Document:
        document = parsed(text, self._settings)
        check_written(document, self._settings)
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
        nodes = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
        for node in nodes:
            check_fields(node, fragments, self._settings)
        self._validate(document)
        operations = {
            node.name.value if node.name else None: Operation(
                document=document,
                node=node,
                root_fields=len(opened(node.selection_set, fragments)),
                prices=priced(self._schema, node, fragments),
                compiled=CompiledOperation(self._schema, document, node),
                timed=self._meter.of(node.operation),
            )
            for node in nodes
        }
        return _Document(operations, 2 * len(text) + _TOKEN_BYTES * _tokens(document))

    def _validate(self, document: DocumentNode) -> None:
        errors = validate(
            self._schema,
            document,
            self._rules,
            max_errors=MAX_VALIDATION_ERRORS,
            hide_suggestions=not self._settings.suggestions,
        )
        if not errors:
            return
        for error in errors:
            if isinstance(error, _IntrospectionError):
                raise IntrospectionDisabled("The schema is not told here.")
        faults = [error.formatted for error in errors]
        raise ValidationFailed(
            errors[0].message,
            [
                {**fault, "extensions": {"code": ValidationFailed.code, **fault.get("extensions", {})}}
                for fault in faults
            ],
        )


class _IntrospectionError(GraphQLError):
    """Tells the rule's errors from those of others."""


class _NoIntrospection(NoSchemaIntrospectionCustomRule):
    def report_error(self, error: GraphQLError) -> None:
        super().report_error(_IntrospectionError(error.message, error.nodes))


def _chosen(document: _Document, name: str | None) -> Operation:
    operations = document.operations
    if name is None and len(operations) == 1:
        return next(iter(operations.values()))
    if name is None:
        raise OperationNotFound(f"The document has {len(operations)} operations; name one as `operationName`.")
    if name not in operations:
        raise OperationNotFound(f'The document has no operation "{name[:80]}".')
    return operations[name]


def _tokens(document: DocumentNode) -> int:
    count = 0
    token = document.loc.start_token if document.loc else None
    while token is not None:
        count += 1
        token = token.next
    return count
