import os
import resource
import subprocess
from pathlib import Path

import pytest

from settings import Mode, load_settings
from tests.conftest import SMARTFIN


def test_defaults_need_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("SMARTFIN_") or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)
    settings = load_settings()
    assert settings.mode is Mode.SANDBOX
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.database_dsn is settings.redis_dsn is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMARTFIN_MODE", "production"),
        ("SMARTFIN_PORT", "65536"),
        ("SMARTFIN_PORT", "http"),
        ("SMARTFIN_SANDBOX_TICKS_PER_SECOND", "0"),
        ("SMARTFIN_QUOTE_FRESH_SECONDS", "-1"),
        ("SMARTFIN_LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "mysql://user:geheim@host/db"),
        ("DATABASE_URL", "postgresql://host,user:geheim@other:port/db"),
        ("REDIS_URL", "http://user:geheim@host"),
        ("REDIS_URL", "redis://user:geheim@host:port/0"),
        ("REDIS_URL", "redis://user:geheim@host:99999/0"),
        ("SMARTFIN_SMTP_URL", "smtp://user:geheim@[host"),
        ("SMARTFIN_SECRET_KEY", "geheim"),
    ],
)
def test_a_bad_value_ends_the_start_at_once_with_the_name_of_its_variable(name: str, value: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [SMARTFIN, "serve"], env={name: value}, check=False, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"smartfin: {name}: ")
    assert "geheim" not in done.stderr
    assert done.stderr.count("\n") == 1, "and of no other"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # a clock would tell what else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:geheim@host/db")
    monkeypatch.setenv("REDIS_URL", "redis://:geheim@host/0")
    settings = load_settings()
    assert "geheim" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.database_dsn == "postgresql://user:geheim@host/db"


def test_a_port_in_use_is_said_at_once() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [SMARTFIN, "serve", "--port", port], check=False, capture_output=True, text=True, timeout=20, env={}
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"smartfin: Cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in done.stderr
