"""The examples of GraphiQL are what the server answers."""

import re

import aiohttp
import pytest
from graphql import OperationDefinitionNode, OperationType, parse

from tests.conftest import ROOT, Running

FOLDER = ROOT / "web" / "graphiql" / "src" / "examples"


def examples(kind: OperationType) -> dict[str, str]:
    """The texts whose operation is of that kind, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.graphql")):
        text = path.read_text(encoding="utf-8")
        [operation] = parse(text).definitions
        assert isinstance(operation, OperationDefinitionNode)
        if operation.operation is kind:
            found[path.stem] = text
    return found


QUERIES = examples(OperationType.QUERY)
SUBSCRIPTIONS = examples(OperationType.SUBSCRIPTION)


def test_each_file_is_a_tab_of_a_first_visit() -> None:
    tabs = (FOLDER / "index.ts").read_text(encoding="utf-8")
    assert set(re.findall(r'"\./([\w-]+)\.graphql\?raw"', tabs)) == {*QUERIES, *SUBSCRIPTIONS}
    assert len({*QUERIES, *SUBSCRIPTIONS}) == 8


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_is_answered_without_errors(sandbox: Running, name: str) -> None:
    assert None not in (await sandbox.data(QUERIES[name])).values()


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_a_subscription_has_an_answer_at_once(sandbox: Running, name: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(sandbox.graphql, protocols=("graphql-transport-ws",)) as socket,
    ):
        await socket.send_json({"type": "connection_init"})
        assert await socket.receive_json() == {"type": "connection_ack"}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTIONS[name]}})
        message = await socket.receive_json()
    assert message["type"] == "next"
    assert "errors" not in message["payload"]
    assert None not in message["payload"]["data"].values()
