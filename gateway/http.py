"""GraphQL over HTTP and graphql-transport-ws, on one path."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import strawberry
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from gateway.websocket import TransportHandler
from resolvers.world import Context

GRAPHIQL = Path(__file__).parent.parent / "web" / "dist" / "graphiql"

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:;"
    " font-src 'self' data:; img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

SECURITY_HEADERS = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}

INIT_TIMEOUT = timedelta(seconds=10)
MAX_SUBSCRIPTIONS = 50


class GraphQLView(GraphQL[Context, None]):
    """Strawberry's view with our context, our JSON, and GraphiQL from our own files."""

    graphql_transport_ws_handler_class = TransportHandler

    def __init__(self, schema: strawberry.Schema) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS,
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """What goes along with this request, or with this connection."""
        return Context(world=request.state.world)

    def encode_json(self, data: object) -> str:
        """The answer as JSON; NaN, which no answer may hold, would come out as null."""
        return orjson.dumps(data).decode()

    def decode_json(self, data: str | bytes) -> Any:
        """A request's JSON."""
        return orjson.loads(data)

    async def render_graphql_ide(self, request: Request) -> Response:
        """The page for a browser."""
        return FileResponse(
            GRAPHIQL / "index.html", headers={**SECURITY_HEADERS, "Cache-Control": "no-cache", "Vary": "Accept"}
        )
