"""The examples do what they say, against a server."""

import json
import os
import re
import subprocess
import sys

import aiohttp
import pytest

from tests.conftest import ROOT, Running

EXAMPLES = ROOT / "examples"


def ran(*command: object, **environment: str) -> str:
    """What it prints, unless it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


async def test_the_page_is_told_a_price_of_each_of_its_symbols(sandbox: Running) -> None:
    page = (EXAMPLES / "quotes.html").read_text(encoding="utf-8")
    [query] = re.findall(r"const query = `(.*?)`", page, re.DOTALL)
    missing = set(re.findall(r'"([A-Z-]+)"', query))
    assert len(missing) == 3
    async with (
        aiohttp.ClientSession(headers={"Accept": "text/event-stream"}) as session,
        session.get(sandbox.graphql, params={"query": query}) as stream,
    ):
        assert stream.status == 200
        while missing:
            line = await stream.content.readline()
            assert line
            if line.startswith(b"data: {"):
                quote = json.loads(line[6:])["data"]["quotes"]
                assert quote["provenance"] == {"synthetic": True}
                missing.discard(quote["symbol"])


def test_the_notebook_gives_a_frame_of_twelve_months(sandbox: Running) -> None:
    printed = ran(sys.executable, EXAMPLES / "research.py", SMARTFIN_URL=sandbox.graphql)
    assert "shape: (5, 6)" in printed
    assert "shape: (12, 3)" in printed
    assert re.search(r"2024-01-01 ┆ -?\d+\.\d+ +┆ \d+ ", printed), printed


@pytest.mark.node
def test_the_node_script_follows_the_forming_bar(sandbox: Running) -> None:
    command = ["node", str(EXAMPLES / "watch.mjs"), sandbox.graphql.replace("http", "ws"), "AAPL"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            lines = [watching.stdout.readline() for _ in range(6)]
        finally:
            watching.kill()
    for line in lines:
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:00Z \d+(\.\d+)? \d+\.\d+ (final|forming)\n", line), lines
    assert [line.split()[-1] for line in lines[:2]] == ["final", "forming"]


@pytest.mark.node
def test_the_datafeed_gives_a_chart_what_it_asks_for(sandbox: Running) -> None:
    assert ran("node", ROOT / "tests" / "clients" / "chart.mjs", sandbox.graphql).splitlines() == [
        "1 5 15 30 60 240 1D 1W 1M",
        "AAPL",
        "AAPL USD 100",
        "1704153600 190.76, 1704240000 187.48, 1704326400 192.04",
        'Nobody knows a symbol "NOSUCH"; search for it with assets(search: "…").',
        "true",
    ]
