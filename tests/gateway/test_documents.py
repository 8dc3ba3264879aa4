"""Documents are prepared once, found by hash or id in any process, and kept within bounds."""

import gc
import json
import os
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any, cast

import aiohttp
import psutil
import pytest
from graphql import DocumentNode
from redis.asyncio import Redis

from db.documents import MAX_PERSISTED, DocumentStore, document_hash
from db.redis import Keys, connect
from errors import SmartFinError, StartError
from gateway import documents as module
from gateway.documents import Documents
from gateway.manifest import publish
from gateway.request import GraphQLRequest
from schema.build import build_schema
from settings import Settings
from tests.conftest import ROOT, SMARTFIN
from tests.gateway.serving import NOBODY, NoStore, serving, world

SCHEMA = build_schema()
TEXT = "query Names { __typename }"
OTHER = "query Others { __typename }"


@pytest.fixture
def store(redis: Redis, keys: Keys) -> DocumentStore:
    return DocumentStore(redis, keys)


def documents(store: DocumentStore | None = None, **settings: Any) -> Documents:
    return Documents(SCHEMA, Settings(**settings), store or cast(DocumentStore, NoStore()))


async def refusal(asked: Documents, request: GraphQLRequest) -> str:
    with pytest.raises(SmartFinError) as refused:
        await asked.prepare(NOBODY, request)
    return refused.value.code


def by_hash(sha256: str, text: str | None = None) -> GraphQLRequest:
    return GraphQLRequest(query=text, sha256_hash=sha256)


async def test_a_document_is_parsed_and_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("parsed", "validate"):
        whole = getattr(module, name)

        def counted(*given: Any, _whole: Any = whole, _name: str = name, **named: Any) -> Any:
            calls.append(_name)
            return _whole(*given, **named)

        monkeypatch.setattr(module, name, counted)
    asked = documents()
    first = await asked.prepare(NOBODY, GraphQLRequest(query=TEXT))
    assert await asked.prepare(NOBODY, GraphQLRequest(query=TEXT, operation_name="Names")) is first
    assert await asked.prepare(NOBODY, by_hash(document_hash(TEXT))) is first
    assert calls == ["parsed", "validate"]


async def test_one_document_may_hold_several_operations() -> None:
    asked = documents()
    both = f"{TEXT} {OTHER}"
    names = [
        (await asked.prepare(NOBODY, GraphQLRequest(query=both, operation_name=name))).name
        for name in ("Names", "Others")
    ]
    assert names == ["Names", "Others"]
    assert await refusal(asked, GraphQLRequest(query=both)) == "OPERATION_NOT_FOUND"
    assert await refusal(asked, GraphQLRequest(query=both, operation_name="None")) == "OPERATION_NOT_FOUND"
    assert await refusal(asked, GraphQLRequest(query="fragment F on Query { __typename }")) in (
        "GRAPHQL_VALIDATION_FAILED",
        "OPERATION_NOT_FOUND",
    )


async def test_the_least_lately_used_goes_first() -> None:
    asked = documents(document_cache_count=2)
    first = await asked.prepare(NOBODY, GraphQLRequest(query=TEXT))
    await asked.prepare(NOBODY, GraphQLRequest(query=OTHER))
    assert await asked.prepare(NOBODY, GraphQLRequest(query=TEXT)) is first
    await asked.prepare(NOBODY, GraphQLRequest(query="{ __typename }"))
    assert await asked.prepare(NOBODY, GraphQLRequest(query=TEXT)) is first
    kept = asked.kept_bytes
    await asked.prepare(NOBODY, GraphQLRequest(query=OTHER))
    assert await asked.prepare(NOBODY, GraphQLRequest(query=TEXT)) is first
    assert asked.kept_bytes == pytest.approx(kept, rel=0.5)


async def test_a_text_sent_with_its_hash_is_known_to_every_process(store: DocumentStore) -> None:
    sha256 = document_hash(TEXT)
    assert await refusal(documents(store), by_hash(sha256)) == "PERSISTED_QUERY_NOT_FOUND"
    assert (await documents(store).prepare(NOBODY, by_hash(sha256, TEXT))).name == "Names"
    assert (await documents(store).prepare(NOBODY, by_hash(sha256))).name == "Names"


async def test_a_text_under_another_hash_is_refused_and_not_kept(store: DocumentStore) -> None:
    wrong = document_hash(OTHER)
    assert await refusal(documents(store), by_hash(wrong, TEXT)) == "PERSISTED_QUERY_MISMATCH"
    assert await refusal(documents(store), by_hash(wrong)) == "PERSISTED_QUERY_NOT_FOUND"


async def test_what_is_not_served_is_not_kept_by_its_hash(store: DocumentStore) -> None:
    for bad in ("{", "{ nothing }", "{ " + "__typename " * 100 + "}"):
        await refusal(documents(store), by_hash(document_hash(bad), bad))
        assert await store.persisted(document_hash(bad)) is None


async def test_clients_cannot_fill_the_store(store: DocumentStore, redis: Redis, keys: Keys) -> None:
    texts = {document_hash(str(number)): str(number) for number in range(MAX_PERSISTED)}
    await redis.hset(keys.persisted, mapping=cast(Any, texts))
    for number in range(5):
        await store.persist(f"more{number}", TEXT)
        assert await redis.hlen(keys.persisted) == MAX_PERSISTED


async def test_a_published_document_is_served_by_its_id_and_by_its_hash(store: DocumentStore) -> None:
    await store.publish({"names-1": TEXT})
    for only in (False, True):
        asked = documents(store, documents_only=only)
        first = await asked.prepare(NOBODY, GraphQLRequest(document_id="names-1"))
        assert first.name == "Names"
        assert await asked.prepare(NOBODY, GraphQLRequest(document_id=f"sha256:{document_hash(TEXT)}")) is first
        assert await asked.prepare(NOBODY, by_hash(document_hash(TEXT))) is first
        assert await refusal(asked, GraphQLRequest(document_id="names-2")) == "DOCUMENT_NOT_FOUND"


async def test_with_an_allow_list_nothing_else_is_served(store: DocumentStore) -> None:
    await store.publish({"names-1": TEXT})
    await store.persist(document_hash(OTHER), OTHER)
    asked = documents(store, documents_only=True)
    assert await refusal(asked, GraphQLRequest(query=OTHER)) == "DOCUMENT_NOT_ALLOWED"
    assert await refusal(asked, by_hash(document_hash(OTHER))) == "DOCUMENT_NOT_FOUND"
    assert await refusal(asked, by_hash(document_hash(OTHER), OTHER)) == "DOCUMENT_NOT_FOUND"
    # Nor by a text beside the hash of another: the hash alone is looked at.
    assert (await asked.prepare(NOBODY, by_hash(document_hash(TEXT), OTHER))).name == "Names"


async def test_where_redis_is_away_texts_are_served_and_the_rest_says_so() -> None:
    nowhere = connect("redis://127.0.0.1:1")
    asked = documents(DocumentStore(nowhere, Keys("none")))
    assert await asked.prepare(NOBODY, GraphQLRequest(query=TEXT))
    assert await asked.prepare(NOBODY, by_hash(document_hash(TEXT)))
    assert await refusal(asked, by_hash(document_hash(OTHER))) == "STORE_UNAVAILABLE"
    assert await refusal(asked, GraphQLRequest(document_id="names-1")) == "STORE_UNAVAILABLE"
    assert (await asked.prepare(NOBODY, by_hash(document_hash(OTHER), OTHER))).name == "Others"
    await nowhere.aclose()


async def test_apollos_exchange_over_http(store: DocumentStore) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": document_hash(TEXT)}}
    async with serving(world(), store, production=True) as url, aiohttp.ClientSession() as session:

        async def asked(**body: Any) -> Any:
            async with session.post(url, json={"extensions": extensions, **body}) as response:
                return await response.json()

        missing = await asked()
        assert missing["errors"] == [
            {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
        ]
        assert await asked(query=TEXT) == {"data": {"__typename": "Query"}}
        assert await asked() == {"data": {"__typename": "Query"}}
        # By hash, GET is served in production too: what it may ask was sent by POST before.
        async with session.get(url, params={"extensions": json.dumps(extensions)}) as response:
            assert await response.json() == {"data": {"__typename": "Query"}}


async def test_a_manifest_is_published_whole_or_not_at_all(store: DocumentStore, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"

    async def published(texts: Any) -> int:
        manifest.write_text(texts if isinstance(texts, str) else json.dumps(texts), encoding="utf-8")
        return await publish(manifest, documents(store), store)

    assert await published({"a": TEXT, f"sha256:{document_hash(OTHER)}": OTHER}) == 2
    assert await published({"a": TEXT}) == 1
    for bad, said in [
        ({"b": TEXT, "c": "{ nothing }"}, "c: Cannot query field 'nothing' on type 'Query'."),
        ({"b": TEXT, "c": "{ " + "__typename " * 100 + "}"}, "c: The operation repeats 99 fields or more"),
        (
            {"c": '{ quotes(symbols: ["A"]) { symbol } assets(first: 1000) { totalCount } }'},
            "c: The operation costs 1001;",
        ),
        ({"b": TEXT, "a": OTHER}, "a: another text was published under this id; take a new one"),
        ({"b": TEXT, "sha256:00": TEXT}, "sha256:00: the hash of the text is"),
        ({"b": 1}, "is not a JSON object of texts by id"),
        ("nonsense", "cannot be read"),
    ]:
        with pytest.raises(StartError) as refused:
            await published(bad)
        assert said in str(refused.value)
    assert await store.published("b") is None
    assert await store.published("a") == TEXT


def test_the_command_publishes_for_servers_that_run(database_url: str, redis_url: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"published-by-command": TEXT}), encoding="utf-8")
    done = subprocess.run(
        [SMARTFIN, "documents", manifest],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url},
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 documents of manifest.json are served in sandbox mode.\n"


def distinct(number: int) -> GraphQLRequest:
    return GraphQLRequest(query=f'{{ q{number}: quote(symbol: "S{number}") {{ symbol price open high low }} }}')


async def test_a_stream_of_distinct_documents_leaves_no_more_than_the_bounds() -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(one, DocumentNode) for one in gc.get_objects())

    before = alive()
    by_count = documents(document_cache_count=20)
    for number in range(100):
        await by_count.prepare(NOBODY, distinct(number))
    assert alive() - before == 20
    by_bytes = documents(document_cache_bytes=262_144)
    for number in range(100):
        await by_bytes.prepare(NOBODY, distinct(number))
    assert 10 < alive() - before - 20 < 25
    assert 200_000 < by_bytes.kept_bytes <= 262_144


async def test_what_documents_are_said_to_take_is_what_they_take() -> None:
    asked = documents()
    await asked.prepare(NOBODY, distinct(0))
    gc.collect()
    tracemalloc.start()
    try:
        said = asked.kept_bytes
        for number in range(1, 51):
            await asked.prepare(NOBODY, distinct(number))
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.6 < taken / (asked.kept_bytes - said) <= 1


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_thousand_documents_take_no_more_than_thirty_megabytes() -> None:
    asked = documents()
    process = psutil.Process()
    await asked.prepare(NOBODY, distinct(0))
    gc.collect()
    before = process.memory_info().rss
    for number in range(1, 100_000):
        await asked.prepare(NOBODY, distinct(number))
    grown = process.memory_info().rss - before
    assert grown <= 30 * 1024 * 1024
