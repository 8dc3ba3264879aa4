"""The files of the pages, served from this server and cached for good where their name has a hash."""

import mimetypes
import re
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

GRAPHIQL = Path(__file__).parent.parent / "web" / "dist" / "graphiql"

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:;"
    " font-src 'self' data:; img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

_SECURITY_HEADERS = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}

# Python 3.11 knows neither where the system has no /etc/mime.types.
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("font/ttf", ".ttf")

_HASHED = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")


class BuiltFiles(StaticFiles):
    """A folder that the build made. A worker takes its policy from its own response, so every file has one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long it may be kept."""
        response = await super().get_response(path, scope)
        kept = "public, max-age=31536000, immutable" if _HASHED.search(path) else "no-cache"
        response.headers.update({**_SECURITY_HEADERS, "Cache-Control": kept})
        return response


def graphiql() -> Response:
    """The page that a browser finds where GraphQL is served."""
    return FileResponse(
        GRAPHIQL / "index.html", headers={**_SECURITY_HEADERS, "Cache-Control": "no-cache", "Vary": "Accept"}
    )
