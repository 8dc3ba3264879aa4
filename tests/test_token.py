"""The command `smartfin token`."""

import subprocess

import pytest

from db.database import Database
from tests.conftest import SMARTFIN, Running
from tests.people import SECRET


def token(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SMARTFIN, "token", *arguments],
        env={"DATABASE_URL": database_url, "SMARTFIN_SECRET_KEY": SECRET},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_it_makes_the_user_says_so_and_prints_what_the_server_takes(
    sandbox: Running, sandbox_database: Database, database_url: str
) -> None:
    made = token(database_url, "--user", "Ann@Example.org")
    assert (made.returncode, made.stderr) == (0, "ann@example.org is a new user of sandbox, REGISTERED.\n")
    again = token(database_url, "--user", "ann@example.org", "--tier", "admin", "--expires", "30m")
    assert (again.returncode, again.stderr) == (0, "ann@example.org was REGISTERED, and is ADMIN now.\n")
    for printed in (made.stdout, again.stdout):
        told = await sandbox.data("{ me { email tier } }", authorization=f"Bearer {printed.strip()}")
        assert told == {"me": {"email": "ann@example.org", "tier": "ADMIN"}}
    async with sandbox_database.connection() as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE email = 'ann@example.org'")
    barred = token(database_url, "--user", "ann@example.org")
    assert (barred.returncode, barred.stdout) == (1, "")
    assert "is barred" in barred.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user", "ann"],
        ["--user", ""],
        ["--user", "a b@example.org"],
        ["--user", "ann@example.org", "--expires", "0s"],
        ["--user", "ann@example.org", "--expires", "366d"],
        ["--user", "ann@example.org", "--expires", "1y"],
        ["--user", "ann@example.org", "--tier", "guest"],
        [],
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(arguments: list[str]) -> None:
    done = token("postgresql://nobody@127.0.0.1:1/none", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
