"""What npm has to say: the audits of `graphql-http`, and `graphql-ws` as a client; `make audits` passes them."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT, Running, smartfin

AUDITS = ROOT / "tests" / "gateway" / "audits"


@pytest.mark.node
def test_every_audit_is_passed(sandbox: Running) -> None:
    done = subprocess.run(
        ["node", "audit.js", sandbox.graphql],
        cwd=AUDITS,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert re.fullmatch(r"audits: 61 passed, 0 failed\n", done.stdout), done.stdout


@contextmanager
def watching(url: str) -> Iterator[Iterator[str]]:
    """What a client says of its subscription, line by line."""
    command = ["node", "watch.js", url.replace("http:", "ws:")]
    with subprocess.Popen(command, cwd=AUDITS, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            yield client.stdout
        finally:
            client.kill()


def until(lines: Iterator[str], wanted: str) -> list[str]:
    """The lines up to the first that begins so."""
    seen = []
    for line in lines:
        seen.append(line)
        if line.startswith(wanted):
            return seen
    raise AssertionError(f"no {wanted!r} came after {seen}")


@pytest.mark.node
def test_a_client_of_graphql_ws_goes_on_after_a_restart(database_url: str, redis_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10"}
    with smartfin(**environment) as first, watching(first.graphql) as lines:
        until(lines, 'next {"quotes":{"symbol":"AAPL","price":')
        port = first.url.rpartition(":")[2]
        first.process.terminate()
        assert until(lines, "closed")[-1] == "closed 1012\n"
        assert first.process.wait(20) == 0
        with smartfin("--port", port, **environment):
            assert "connected\n" in until(lines, 'next {"quotes":{"symbol":"AAPL","price":')
            assert next(lines).startswith("next")
