"""A backup and a restore, by the very commands of docs/operating.md."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, SMARTFIN, Running, smartfin
from tests.fakes.polygon import KEY, FakePolygon

OVER = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
HISTORY = f"""{{ history(symbol: "BTC-USD", from: "{OVER - timedelta(days=20):%F}", to: "{OVER:%F}") {{
    bars {{ time open high low close volume }} provenance {{ source servedFrom }} }} }}"""
OWN = "{ me { email tier } watchlists { name symbols } alerts { symbol threshold isActive } webhookSecret }"
PERSON = {"email": "me@example.org", "password": "a password of some length"}
SIGN = "mutation ($email: String!, $password: String!) {{ {}(email: $email, password: $password) {{ accessToken }} }}"
KEPT = """mutation {
    saveWatchlist(name: "Tech", symbols: ["AAPL", "MSFT"]) { name }
    createAlert(input: {symbol: "BTC-USD", operator: ABOVE, threshold: 1e9, notificationMethods: [WEB]}) { id } }"""


def commands(section: str, which: str) -> str:
    """The block of commands in a section of the page that begins so."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [block] = re.findall(rf"^((?: {{4}}{re.escape(which)}.*\n)(?: {{4}}.*\n)*)", text, re.MULTILINE)
    return str(block)


def run(folder: Path, script: str) -> None:
    done = subprocess.run(["sh", "-euc", script], check=False, capture_output=True, text=True, cwd=folder, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


async def signed(server: Running, how: str) -> str:
    session = (await server.data(SIGN.format(how), **PERSON))[how]
    return f"Bearer {session['accessToken']}"


@pytest.mark.timeout(400)
async def test_a_restored_backup_answers_opens_its_keys_and_lets_its_users_in(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(SMARTFIN.parent.parent)
    async with FakePolygon() as fake:
        environment: dict[str, str | None] = {
            "SMARTFIN_MODE": "live",
            "SMARTFIN_SOURCES": "polygon",
            "SMARTFIN_POLYGON_URL": fake.url,
            "SMARTFIN_POLYGON_WS_URL": fake.ws_url,
            "SMARTFIN_SECRET_KEY": None,
        }
        with smartfin(
            "--role", "api", "--data-dir", str(tmp_path / ".smartfin"), POLYGON_API_KEY=KEY, **environment
        ) as server:
            shown = await signed(server, "signUp")
            await server.data(KEPT, authorization=shown)
            history: dict[str, Any] = (await server.data(HISTORY))["history"]
            own = await server.data(OWN, authorization=shown)
            run(tmp_path, commands("Backup", ".venv"))
        run(tmp_path, commands("Restore", "mkdir"))
        with smartfin("--role", "api", "--data-dir", str(tmp_path / "restored"), **environment) as server:
            assert await server.data(OWN, authorization=shown) == own
            assert await server.data("{ me { email } }", authorization=await signed(server, "signIn"))
            assert await server.data("{ sources { name } }") == {"sources": [{"name": "polygon"}]}, "its key is opened"
            restored = (await server.data(HISTORY))["history"]
    assert own["me"] == {"email": PERSON["email"], "tier": "REGISTERED"}
    assert (len(own["watchlists"]), len(own["alerts"]), len(history["bars"])) == (1, 1, 20)
    assert restored == history | {"provenance": {"source": "polygon", "servedFrom": "STORE"}}


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command: list[str | Path] = [SMARTFIN, "postgres", "--data-dir", tmp_path / "data", "no-such-program"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("smartfin: There is no program 'no-such-program'")
    assert done.stderr.count("\n") == 1
