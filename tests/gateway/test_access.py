"""Every root field, asked by every tier and by people whose own it is not."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

from db.database import Database
from people import Tier
from schema import access
from schema.access import ACCESS, Access
from schema.build import build_schema
from tests.conftest import Running
from tests.gateway.sockets import Client, opened
from tests.people import bearer, person

SCHEMA = build_schema().core
ROOTS = [root for root in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type) if root]
FIELDS = {f"{root.name}.{name}": field for root in ROOTS for name, field in root.fields.items()}
OWN = {name for name, access in ACCESS.items() if access.own}

NOBODY = '"00000000-0000-4000-8000-000000000000"'
SCALARS = {"Symbol": '"SIM001"', "DateTime": '"2024-01-02"', "String": '"x"', "ID": NOBODY, "Int": "1", "Float": "1.5"}
NAMED = {"to": '"2024-01-03"', "code": '"XNAS"', "email": '"nobody"'}


def sample(name: str, kind: GraphQLInputType) -> str:
    """A value that a request may have in this place."""
    if name in NAMED:
        return NAMED[name]
    if isinstance(kind, GraphQLNonNull):
        return sample(name, kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{sample(name, kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    if isinstance(kind, GraphQLInputObjectType):
        told = {name: field.type for name, field in kind.fields.items() if is_required_input_field(field)}
        return "{" + ", ".join(f"{name}: {sample(name, of)}" for name, of in told.items()) + "}"
    return str(SCALARS.get(kind.name, "true"))


def selected(kind: GraphQLOutputType, below: int = 3) -> str:
    """What of the answer is asked for: its leaves that take no arguments, and what holds such."""
    of = get_named_type(kind)
    if not isinstance(of, GraphQLObjectType):
        return ""
    leaves = [
        name for name, field in of.fields.items() if not isinstance(get_named_type(field.type), GraphQLObjectType)
    ]
    if not leaves and below:
        name, field = next(iter(of.fields.items()))
        return f"{{ {name} {selected(field.type, below - 1)} }}"
    return f"{{ {leaves[0]} }}"


def operation(name: str) -> str:
    """A request for the field that is as it should be."""
    root, field_name = name.split(".")
    field: GraphQLField = FIELDS[name]
    told = ", ".join(
        f"{name}: {sample(name, argument.type)}"
        for name, argument in field.args.items()
        if is_required_argument(argument)
    )
    return f"{root.lower()} {{ {field_name}{f'({told})' if told else ''} {selected(field.type)} }}"


def access_errors(answer: Any) -> set[str]:
    """The codes of the errors that say who may not ask."""
    faults = answer if isinstance(answer, list) else answer.get("errors", [])
    return {fault["extensions"]["code"] for fault in faults} & {"UNAUTHENTICATED", "FORBIDDEN"}


async def asked(server: Running, name: str, authorization: str | None) -> set[str]:
    """What the field says to who shows this."""
    if not name.startswith("Subscription."):
        return access_errors(await server.ask(operation(name), authorization=authorization))
    async with opened(server.graphql) as client:
        payload = {"authorization": authorization}
        await client.ws.send_json({"type": "connection_init", "payload": payload})
        assert (await client.next())["type"] == "connection_ack"
        await client.subscribe(operation(name), "it")
        return access_errors(await first_answer(client))


async def first_answer(client: Client) -> Any:
    """What a subscription says first; nothing, where others that began later were answered before."""
    for number in range(5):
        await client.subscribe("{ markets { code } }", str(number))
        while (message := await client.next())["type"] != "complete" or message["id"] == "it":
            if message["id"] == "it":
                return message.get("payload", {})
    return {}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("tier", list(Tier))
async def test_each_field_answers_the_tiers_of_its_row_and_no_other(
    sandbox: Running, sandbox_database: Database, name: str, tier: Tier
) -> None:
    shown = None if tier is Tier.GUEST else bearer(await person(sandbox_database, tier))
    is_reached = tier.rank >= ACCESS[name].tier.rank
    refusal = {"UNAUTHENTICATED"} if tier is Tier.GUEST else {"FORBIDDEN"}
    told = await asked(sandbox, name, shown)
    if name in TOKENS_OF_THEIR_OWN and is_reached:
        assert told <= {"UNAUTHENTICATED"}
    else:
        assert told == (set() if is_reached else refusal)


TOKENS_OF_THEIR_OWN = {"Mutation.refreshSession"}
"""What is shown to them as an argument is not good in these tests."""


def test_every_root_field_has_a_row_and_every_row_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ACCESS) == set(FIELDS)
    monkeypatch.setattr(access, "ACCESS", {name: row for name, row in ACCESS.items() if name != "Query.me"})
    with pytest.raises(KeyError, match=r"Query\.me"):
        build_schema()


def test_who_must_sign_in_for_what() -> None:
    """Read before changing: this opens or closes a door."""
    assert {name for name, row in ACCESS.items() if row == Access(Tier.ADMIN)} == {
        "Query.backfillJob",
        "Mutation.backfill",
        "Mutation.saveSource",
    }
    assert {name for name, row in ACCESS.items() if row == Access(Tier.REGISTERED, own=True)} == {
        "Query.watchlists",
        "Query.alerts",
        "Query.alertEvents",
        "Query.webhookSecret",
        "Mutation.savePreferences",
        "Mutation.saveWatchlist",
        "Mutation.deleteWatchlist",
        "Mutation.createAlert",
        "Mutation.updateAlert",
        "Mutation.deleteAlert",
        "Subscription.alerts",
    }


async def test_what_was_refused_was_not_done(sandbox: Running, sandbox_database: Database) -> None:
    vip, admin = [bearer(await person(sandbox_database, tier)) for tier in (Tier.VIP, Tier.ADMIN)]
    mutation = """mutation ($from: DateTime!, $to: DateTime!) {
        backfill(symbols: ["SIM007"], interval: D1, from: $from, to: $to) { id } }"""
    held = '{ history(symbol: "SIM007", from: "2011-02-01", to: "2011-02-04") { provenance { servedFrom } } }'
    window = {"from": "2011-02-01", "to": "2011-02-04"}
    for shown in (None, vip):
        assert (await sandbox.ask(mutation, authorization=shown, **window))["data"] is None
    asked = await sandbox.data(mutation, authorization=admin, **window)
    job = "query ($id: ID!) { backfillJob(id: $id) { id } }"
    refused = await sandbox.ask(job, authorization=vip, id=asked["backfill"]["id"])
    assert refused["data"] == {"backfillJob": None}
    assert (await sandbox.data(held))["history"] is not None


Scenario = Callable[[Running, Database], Awaitable[None]]


async def me(server: Running, database: Database) -> None:
    """Each sees his own account, a guest none."""
    ann, joe = await person(database), await person(database)
    for user in (ann, joe):
        told = await server.data("{ me { id email } }", authorization=bearer(user))
        assert told == {"me": {"id": str(user.id), "email": user.email}}
    assert await server.data("{ me { id } }") == {"me": None}


CREATE = "mutation ($of: AlertInput!) { createAlert(input: $of) { id } }"
UPDATE = "mutation ($id: ID!, $of: AlertInput!) { updateAlert(id: $id, input: $of) { threshold } }"
DELETE = "mutation ($id: ID!) { deleteAlert(id: $id) }"
NEVER = {"symbol": "SIM003", "operator": "ABOVE", "threshold": 1e9}


def code(answer: Any) -> str:
    """That of the only error."""
    (fault,) = answer["errors"]
    return str(fault["extensions"]["code"])


async def alerts(server: Running, database: Database) -> None:
    """Each sees, changes and deletes his own alerts, and there are no others for him."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    made = (await server.data(CREATE, authorization=ann, of=NEVER))["createAlert"]["id"]
    listed = "{ alerts { id threshold } }"
    assert await server.data(listed, authorization=joe) == {"alerts": []}
    assert code(await server.ask(UPDATE, authorization=joe, id=made, of={**NEVER, "threshold": 1})) == "ALERT_NOT_FOUND"
    assert code(await server.ask(DELETE, authorization=joe, id=made)) == "ALERT_NOT_FOUND"
    assert await server.data(listed, authorization=ann) == {"alerts": [{"id": made, "threshold": 1e9}]}
    changed = await server.data(UPDATE, authorization=ann, id=made, of={**NEVER, "threshold": 2e9})
    assert changed == {"updateAlert": {"threshold": 2e9}}
    assert await server.data(DELETE, authorization=ann, id=made) == {"deleteAlert": made}
    assert await server.data(listed, authorization=ann) == {"alerts": []}


async def fires(server: Running, database: Database) -> None:
    """A fire is told to its user, and stands among his events alone."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    document = "subscription { alerts { alert { id } } }"
    async with opened(server.graphql) as anns, opened(server.graphql) as joes:
        for client, shown in ((anns, ann), (joes, joe)):
            await client.ws.send_json({"type": "connection_init", "payload": {"authorization": shown}})
            assert (await client.next())["type"] == "connection_ack"
            await client.subscribe(document, "it")
        made = [
            (await server.data(CREATE, authorization=shown, of={**NEVER, "threshold": 0.01}))["createAlert"]["id"]
            for shown in (ann, joe)
        ]
        told = [(await client.next())["payload"]["data"]["alerts"]["alert"]["id"] for client in (anns, joes)]
        assert told == made
    for shown, own in zip((ann, joe), made, strict=True):
        page = await server.data("{ alertEvents { edges { node { alert { id } } } } }", authorization=shown)
        assert page == {"alertEvents": {"edges": [{"node": {"alert": {"id": own}}}]}}


async def webhook_secret(server: Running, database: Database) -> None:
    """Each has his own."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    secrets = [(await server.data("{ webhookSecret }", authorization=shown))["webhookSecret"] for shown in (ann, joe)]
    assert secrets[0] != secrets[1]


async def rate_limit(server: Running, database: Database) -> None:
    """What one spends another does not."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    document = "{ rateLimit { remaining cost resetsAt } }"

    async def told() -> list[Any]:
        return [(await server.data(document, authorization=shown))["rateLimit"] for shown in (ann, ann, joe)]

    answers = await told()
    if len({answer["resetsAt"] for answer in answers}) > 1:  # a minute has just ended
        answers = await told()
    first, second, others = answers
    assert first["cost"] == 1
    assert second["remaining"] == first["remaining"] - 1
    assert others["remaining"] > second["remaining"]


SAVE_LIST = 'mutation ($symbols: [Symbol!]!) { saveWatchlist(name: "Mine", symbols: $symbols) { id } }'
DELETE_LIST = "mutation ($id: ID!) { deleteWatchlist(id: $id) }"


async def watchlists(server: Running, database: Database) -> None:
    """Each sees, changes and deletes his own lists; one of the same name is another's."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    listed = "{ watchlists { id symbols } }"
    anns = (await server.data(SAVE_LIST, authorization=ann, symbols=["SIM001"]))["saveWatchlist"]["id"]
    assert await server.data(listed, authorization=joe) == {"watchlists": []}
    joes = (await server.data(SAVE_LIST, authorization=joe, symbols=["SIM002"]))["saveWatchlist"]["id"]
    assert code(await server.ask(DELETE_LIST, authorization=joe, id=anns)) == "WATCHLIST_NOT_FOUND"
    for shown, own, symbol in ((ann, anns, "SIM001"), (joe, joes, "SIM002")):
        assert await server.data(listed, authorization=shown) == {"watchlists": [{"id": own, "symbols": [symbol]}]}
    assert await server.data(DELETE_LIST, authorization=ann, id=anns) == {"deleteWatchlist": anns}
    assert await server.data(listed, authorization=joe) == {"watchlists": [{"id": joes, "symbols": ["SIM002"]}]}


async def preferences(server: Running, database: Database) -> None:
    """Each changes and sees his own."""
    ann, joe = [bearer(await person(database)) for _ in range(2)]
    save = "mutation ($of: PreferencesInput!) { savePreferences(input: $of) { updateFrequencySeconds } }"
    kept = "{ me { preferences { updateFrequencySeconds } } }"
    for shown, seconds in ((ann, 5), (joe, 7)):
        told = await server.data(save, authorization=shown, of={"updateFrequencySeconds": seconds})
        assert told == {"savePreferences": {"updateFrequencySeconds": seconds}}
    for shown, seconds in ((ann, 5), (joe, 7)):
        told = await server.data(kept, authorization=shown)
        assert told == {"me": {"preferences": {"updateFrequencySeconds": seconds}}}


async def assets(server: Running, database: Database) -> None:
    """Each is listed what he prefers."""
    save = "mutation ($of: PreferencesInput!) { savePreferences(input: $of) { assetTypes } }"
    for kind in ("CRYPTO", "FOREX"):
        shown = bearer(await person(database))
        await server.data(save, authorization=shown, of={"assetTypes": [kind]})
        told = await server.data("{ assets(first: 3) { edges { node { type } } } }", authorization=shown)
        assert [edge["node"]["type"] for edge in told["assets"]["edges"]] == [kind] * 3


SCENARIOS: dict[str, Scenario] = {
    "Query.assets": assets,
    "Query.me": me,
    "Query.rateLimit": rate_limit,
    "Query.watchlists": watchlists,
    "Mutation.savePreferences": preferences,
    "Mutation.saveWatchlist": watchlists,
    "Mutation.deleteWatchlist": watchlists,
    "Query.alerts": alerts,
    "Query.alertEvents": fires,
    "Query.webhookSecret": webhook_secret,
    "Mutation.createAlert": alerts,
    "Mutation.updateAlert": alerts,
    "Mutation.deleteAlert": alerts,
    "Subscription.alerts": fires,
}
"""Of each field about what is the viewer's own: what one user must not see or change of another's."""


@pytest.mark.parametrize("name", sorted(OWN))
async def test_nobody_reads_or_writes_what_is_anothers(sandbox: Running, sandbox_database: Database, name: str) -> None:
    await SCENARIOS[name](sandbox, sandbox_database)


async def test_no_answer_is_kept_for_others(sandbox: Running, sandbox_database: Database) -> None:
    """Only history that is over may be kept at all, and what a token was shown for by its own client alone."""
    shown = {"Authorization": bearer(await person(sandbox_database))}
    async with aiohttp.ClientSession(headers=shown) as session:
        for name in sorted(FIELDS):
            if name.startswith("Query."):
                async with session.get(sandbox.graphql, params={"query": operation(name)}) as response:
                    control = response.headers["Cache-Control"]
                    assert control == "no-store" or control.startswith("private,")
                    assert control == "no-store" or "authorization" in response.headers["Vary"]
