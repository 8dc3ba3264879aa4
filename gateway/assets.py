"""The pages as the build made them: their files are cached for good where their name has a hash."""

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_DIST = Path(__file__).parent.parent / "web" / "dist"

# Python 3.11 knows neither where the system has no /etc/mime.types.
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("font/ttf", ".ttf")

_HASHED = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")


@dataclass(frozen=True, slots=True)
class BuiltPage:
    """A page by the name of its folder; `policy` is what its Content-Security-Policy allows."""

    name: str
    policy: str

    def index(self) -> Response:
        """What a browser asks for first, anew each time."""
        return FileResponse(
            _DIST / self.name / "index.html", headers={**self.headers, "Cache-Control": "no-cache", "Vary": "Accept"}
        )

    def files(self) -> Mount:
        """Where its scripts, styles and fonts are served."""
        return Mount(f"/assets/{self.name}", GZipMiddleware(_Files(self), compresslevel=6))

    @property
    def headers(self) -> dict[str, str]:
        """What every response of the page says of itself."""
        return {
            "Content-Security-Policy": f"default-src 'none'; {self.policy}; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }


class _Files(StaticFiles):
    """The folder of a page. A worker takes its policy from its own response, so every file has one."""

    def __init__(self, page: BuiltPage) -> None:
        super().__init__(directory=_DIST / page.name)
        self._page = page

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long it may be kept."""
        response = await super().get_response(path, scope)
        kept = "public, max-age=31536000, immutable" if _HASHED.search(path) else "no-cache"
        response.headers.update({**self._page.headers, "Cache-Control": kept})
        return response


DASHBOARD = BuiltPage(
    "dashboard",
    "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; require-trusted-types-for 'script'",
)
GRAPHIQL = BuiltPage(
    "graphiql",
    "script-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; font-src 'self' data:;"
    " img-src 'self' data:; connect-src 'self' ws: wss:",
)


async def dashboard(request: Request) -> Response:
    """The page at `/`."""
    return DASHBOARD.index()
