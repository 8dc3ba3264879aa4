"""graphql-transport-ws: Strawberry's handler, quiet about clients that leave."""

from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from resolvers.world import Context


class TransportHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """Logs the faults of operations, of which a client that went away in mid-stream is none."""

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what is not the client's leaving."""
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)
