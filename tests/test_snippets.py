"""What README and docs show is what one gets: each piece of GraphQL, JSON, Python and shell in them."""

import json
import re
import secrets
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
from graphql import OperationDefinitionNode, OperationType, parse

from cli import commands
from db.database import Database
from people import Tier
from settings import Settings
from tests.conftest import ROOT, Running
from tests.gateway.sockets import opened
from tests.people import bearer, person

README, DOCS = ROOT / "README.md", ROOT / "docs"
FILES = [README, ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def shell(path: Path) -> str:
    """The lines that are to be typed: fenced as `sh`, or indented."""
    text = path.read_text(encoding="utf-8")
    return "\n".join([*blocks(path, "sh"), *re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)])


def is_watched(document: str) -> bool:
    [operation] = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return operation.operation is OperationType.SUBSCRIPTION


def numbered(found: dict[Path, list[str]]) -> list[Any]:
    return [pytest.param(text, id=f"{path.stem}-{n}") for path, texts in found.items() for n, text in enumerate(texts)]


GRAPHQL = {path: blocks(path, "graphql") for path in FILES}
CURLS = {path: re.findall(r"""^ *(curl (?:[^'"\n]|'[^']*'|"[^"]*")*)""", shell(path), re.MULTILINE) for path in FILES}


@pytest.fixture
async def admin(sandbox_database: Database) -> str:
    """What somebody shows who may do everything."""
    return bearer(await person(sandbox_database, Tier.ADMIN))


@pytest.mark.parametrize(
    "document", numbered({path: [text for text in texts if not is_watched(text)] for path, texts in GRAPHQL.items()})
)
async def test_what_is_asked_is_answered(sandbox: Running, admin: str, document: str) -> None:
    someone = {"email": f"{secrets.token_hex(6)}@example.org", "password": "a long enough password"}
    variables = someone if "$password" in document else {}
    if "signIn(" in document:
        sign_up = next(text for text in GRAPHQL[DOCS / "accounts.md"] if "signUp(" in text)
        await sandbox.data(sign_up, **someone)
    data = await sandbox.data(document, authorization=admin, **variables)
    assert all(value is not None for value in data.values())


@pytest.mark.parametrize(
    "document", numbered({path: [text for text in texts if is_watched(text)] for path, texts in GRAPHQL.items()})
)
async def test_what_is_watched_begins(sandbox: Running, admin: str, document: str) -> None:
    async with opened(sandbox.graphql) as client:
        await client.ws.send_json({"type": "connection_init", "payload": {"authorization": admin}})
        assert await client.next() == {"type": "connection_ack"}
        await client.subscribe(document)
        await client.ws.send_json({"type": "ping"})
        if "alerts" in document:  # of which there are none yet
            assert (await client.next())["type"] == "pong"
            return
        while (message := await client.next())["type"] == "pong":
            pass
        assert message["type"] == "next"
        assert "errors" not in message["payload"]


@pytest.mark.parametrize("command", numbered(CURLS))
async def test_what_curl_is_told_to_ask_is_answered(sandbox: Running, admin: str, command: str) -> None:
    body, headers, parameters, urls = None, {}, {}, []
    words = iter(shlex.split(command.replace("Bearer $TOKEN", admin)))
    assert next(words) == "curl"
    for word in words:
        match word:
            case "-s" | "-N" | "-G":
                pass
            case "--data-urlencode":
                name, _, value = next(words).partition("=")
                parameters[name] = value
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d" | "--json":
                body = next(words)
                if word == "--json":
                    headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
            case _:
                urls.append(word)
    [url] = urls
    assert url.startswith("http://127.0.0.1:8000/")
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(
            "GET" if body is None else "POST",
            url.replace("http://127.0.0.1:8000", sandbox.url),
            params=parameters,
            data=body,
        ) as response,
    ):
        assert response.status == 200
        told = b""
        async for line in response.content:
            told += line
            if line.startswith(b"data: {"):  # a stream goes on
                break
    assert told
    assert b'"errors"' not in told


def test_the_answer_that_is_shown_is_that_of_what_is_asked() -> None:
    assert blocks(README, "json") == blocks(DOCS / "index.md", "json")


async def test_the_query_of_the_readme_gives_the_answer_of_the_readme(sandbox: Running) -> None:
    [query] = re.findall(r"'query=(.*?)'", README.read_text(encoding="utf-8"), re.DOTALL)
    [answer] = blocks(README, "json")
    assert await sandbox.ask(query) == await sandbox.ask(GRAPHQL[DOCS / "index.md"][0]) == json.loads(answer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_options_targets_and_settings_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name, rest in re.findall(r"(?:bin/|`)smartfin ([a-z]+)([^`\n<>|;&)]*)", text):
        with suppress(click.MissingParameter):  # where a command is only named
            commands.commands[name].make_context(name, shlex.split(rest, comments=True))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", text, re.MULTILINE)) <= targets
    settings = {field.alias for field in Settings.model_fields.values()}
    assert set(re.findall(r"\bSMARTFIN_[A-Z_]+[A-Z]\b", text)) <= settings


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_linked_to_is_there(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert link.startswith("schema/") or (path.parent / link).exists(), link
