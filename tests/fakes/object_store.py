"""An object store that speaks the part of S3 that the archive needs, on 127.0.0.1."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class ObjectStore:
    """What was put, by path: `/bucket/key`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """GET with a range, HEAD, PUT, and uploads in parts."""
        path, upload = request.path, request.query.get("uploadId", "")
        if request.method == "POST" and "uploads" in request.query:
            self.uploads[upload := f"upload-{len(self.uploads)}"] = {}
            return _xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        if request.method == "POST":
            parts = self.uploads.pop(upload)
            self.objects[path] = b"".join(parts[number] for number in sorted(parts))
            return _xml("<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>")
        if request.method == "PUT":
            content = await request.read()
            if upload:
                self.uploads[upload][int(request.query["partNumber"])] = content
            else:
                self.objects[path] = content
            return web.Response(headers={"ETag": hashlib.sha256(content).hexdigest()})
        if path not in self.objects:
            return web.Response(status=404)
        content = self.objects[path]
        headers = {"ETag": "whole", "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", "")):
            first, last = asked.groups()
            start = int(first) if first else max(len(content) - int(last), 0)
            end = min(int(last) + 1, len(content)) if first and last else len(content)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            return web.Response(status=206, body=content[start:end], headers=headers)
        return web.Response(body=content, headers=headers)


@asynccontextmanager
async def object_store() -> AsyncIterator[ObjectStore]:
    """A store that is empty."""
    store = ObjectStore()
    application = web.Application(client_max_size=2**30)
    application.router.add_route("*", "/{path:.*}", store.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    store.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield store
    finally:
        await runner.cleanup()


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>{text}', content_type="application/xml")
