"""graphql-transport-ws: Strawberry's view and handler, quiet about clients that leave."""

from datetime import timedelta
from typing import Any

import orjson
import strawberry
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from resolvers.world import Context

INIT_TIMEOUT = timedelta(seconds=10)
MAX_SUBSCRIPTIONS = 50


class TransportHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """Logs the faults of operations, of which a client that went away in mid-stream is none."""

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what is not the client's leaving."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)


class GraphQLSockets(GraphQL[Context, None]):
    """Strawberry's view with our context and our JSON, for WebSockets alone."""

    graphql_transport_ws_handler_class = TransportHandler

    def __init__(self, schema: strawberry.Schema) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS,
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """What goes along with this connection."""
        return Context(world=request.state.world)

    def encode_json(self, data: object) -> str:
        """A message as JSON; NaN, which no answer may hold, would come out as null."""
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> Any:
        """A message's JSON."""
        return orjson.loads(data)
