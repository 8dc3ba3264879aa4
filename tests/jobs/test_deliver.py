"""Messages on their way: to a mail server, to webhooks and to a gateway, all on 127.0.0.1 and as unreliable as told."""

import asyncio
import base64
import hmac
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from redis.asyncio import Redis

from db.alerts import AlertEvent, Delivery, DeliveryStatus
from db.database import Database
from db.deliveries import DeliveryStore, Outgoing
from db.redis import Keys
from jobs import deliver as deliver_module
from jobs.deliver import PAUSES_S, Deliverer, Undeliverable
from jobs.mail import Mail
from jobs.sms import Sms
from jobs.webhook import Webhooks, is_public
from live.tending import tended
from people import NotificationMethod
from tests.alerting import Desk, new_user, terms
from tests.conftest import ROOT
from tests.waiting import until

EMAIL, SMS, WEBHOOK = NotificationMethod.EMAIL, NotificationMethod.SMS, NotificationMethod.WEBHOOK
KEY = b"k" * 32
AT = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
MESSAGE = Outgoing(
    id=uuid4(),
    attempts=1,
    event_id=uuid4(),
    user_id=uuid4(),
    alert_id=uuid4(),
    message="A: price is above 100; it is 101",
    fired_at=AT,
    value=101.0,
    email="ann@example.com",
    symbol="A",
    webhook_url=None,
    phone="+14155550100",
)


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets, and answers as it is told."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    told = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?a=1"
    yield told
    await runner.cleanup()


@dataclass
class Mailbox:
    """A mail server that keeps what it gets, and refuses as it is told."""

    port: int = 0
    refusal: str = ""
    got: list[Message] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.got.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    told = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        told.port = free.getsockname()[1]
    controller = Controller(told, hostname="127.0.0.1", port=told.port)
    controller.start()
    yield told
    controller.stop()


def to(url: str) -> Outgoing:
    return replace(MESSAGE, webhook_url=url)


async def test_the_check_in_the_docs_takes_what_we_sign_and_nothing_else(receiver: Receiver) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [shown] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    told: dict[str, Any] = {}
    exec(code, told)  # it is what readers copy
    is_genuine = told["is_genuine"]
    await Webhooks(lambda _: KEY, ["127.0.0.1"]).send(to(receiver.url))
    [(headers, body)] = receiver.got
    secret = f"whsec_{base64.b64encode(KEY).decode()}"
    assert is_genuine(secret, headers, body)
    assert not is_genuine(secret, headers, body + b" ")
    assert not is_genuine(f"whsec_{base64.b64encode(b'another').decode()}", headers, body)
    assert not is_genuine(secret, {**headers, "webhook-timestamp": "1772375400"}, body)
    an_hour_ago = str(int(headers["webhook-timestamp"]) - 3600)
    signed = f"{MESSAGE.id}.{an_hour_ago}.".encode() + body
    signature = f"v1,{base64.b64encode(hmac.digest(KEY, signed, 'sha256')).decode()}"
    assert not is_genuine(secret, {**headers, "webhook-timestamp": an_hour_ago, "webhook-signature": signature}, body)
    sent, example = orjson.loads(body), orjson.loads(shown)
    assert (list(sent), list(sent["data"])) == (list(example), list(example["data"]))


async def test_a_webhook_is_signed_as_standard_webhooks_has_it(receiver: Receiver) -> None:
    asked: list[UUID] = []

    def key_of(user_id: UUID) -> bytes:
        asked.append(user_id)
        return KEY

    await Webhooks(key_of, ["127.0.0.1"]).send(to(receiver.url))
    [(headers, body)] = receiver.got
    assert asked == [MESSAGE.user_id]
    assert headers["webhook-id"] == str(MESSAGE.id)
    signed = f"{MESSAGE.id}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(KEY, signed, 'sha256')).decode()}"
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert orjson.loads(body) == {
        "type": "alert.fired",
        "timestamp": "2026-03-01T14:30:00Z",
        "data": {
            "eventId": str(MESSAGE.event_id),
            "alertId": str(MESSAGE.alert_id),
            "symbol": "A",
            "value": 101.0,
            "message": MESSAGE.message,
        },
    }


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(200, None), (204, None), (301, False), (404, False), (410, True), (429, False), (500, False)],
)
async def test_an_answer_of_a_webhook_says_whether_to_try_again(
    receiver: Receiver, status: int, is_final: bool | None
) -> None:
    receiver.status = status
    receiver.headers = {"Location": receiver.url} if status == 301 else {}
    try:
        await Webhooks(lambda _: KEY, ["127.0.0.1"]).send(to(receiver.url))
        found = None
    except Undeliverable:
        found = True
    except RuntimeError:
        found = False
    assert found is is_final
    assert len(receiver.got) == 1


HIDDEN = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[::127.0.0.1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",  # full-width digits
]


@pytest.mark.parametrize("host", HIDDEN)
async def test_a_webhook_reaches_nothing_that_is_not_public(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    with pytest.raises((Undeliverable, aiohttp.InvalidURL)) as refused:
        await Webhooks(lambda _: KEY, []).send(to(f"http://{host}:{port}/hook"))
    assert "public" in str(refused.value) or isinstance(refused.value, aiohttp.InvalidURL)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("192.88.99.1", False),
        ("169.254.169.254", False),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["fe80::1%eth0"], ["::ffff:127.0.0.1"]]
)
async def test_a_name_that_leads_within_is_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, addresses: list[str]
) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolving([addresses]))
    with pytest.raises(Undeliverable, match=r"hooks\.example is not on the public internet"):
        await Webhooks(lambda _: KEY, []).send(to("http://hooks.example/"))


async def test_the_address_that_was_vetted_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name that leads elsewhere each time it is asked for (DNS rebinding).
    connected: list[Any] = []

    async def connect(addr_infos: Any, **others: Any) -> None:
        connected.extend(addr_infos)
        raise OSError("no network here")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolving([["93.184.216.34"], ["127.0.0.1"]]))
    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    with pytest.raises(aiohttp.ClientConnectorError):
        await Webhooks(lambda _: KEY, []).send(to("https://hooks.example/"))
    assert [address[4][0] for address in connected] == ["93.184.216.34"]


def resolving(answers: list[list[str]]) -> Any:
    async def getaddrinfo(host: str, port: int, **others: Any) -> list[Any]:
        assert host == "hooks.example"
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answers.pop(0)
        ]

    return getaddrinfo


async def test_a_redirect_within_is_not_followed(receiver: Receiver) -> None:
    other = receiver.url.replace("127.0.0.1", "127.0.0.2")
    receiver.status, receiver.headers = 307, {"Location": other}
    with pytest.raises(RuntimeError, match="it answered 307"):
        await Webhooks(lambda _: KEY, ["127.0.0.1"]).send(to(receiver.url))
    assert len(receiver.got) == 1


async def test_a_mail_has_the_message_and_its_id(mailbox: Mailbox) -> None:
    await Mail(f"smtp://127.0.0.1:{mailbox.port}", "SmartFin <alerts@example.com>").send(MESSAGE)
    [mail] = mailbox.got
    assert (mail["From"], mail["To"], mail["Subject"], mail["Message-ID"]) == (
        "SmartFin <alerts@example.com>",
        "ann@example.com",
        MESSAGE.message,
        f"<{MESSAGE.id}@smartfin>",
    )
    text = mail.get_payload()
    assert isinstance(text, str)
    assert text.split("\r\n\r\n")[0] == MESSAGE.message


@pytest.mark.parametrize(
    ("refusal", "error"), [("550 no such user", Undeliverable), ("451 try again later", Exception)]
)
async def test_a_mail_server_may_refuse_for_good_or_for_now(
    mailbox: Mailbox, refusal: str, error: type[Exception]
) -> None:
    mailbox.refusal = refusal
    with pytest.raises(error) as refused:
        await Mail(f"smtp://127.0.0.1:{mailbox.port}", "a@example.com").send(MESSAGE)
    assert isinstance(refused.value, Undeliverable) is (error is Undeliverable)


async def test_a_password_is_not_sent_in_the_clear(mailbox: Mailbox) -> None:
    with pytest.raises(Exception, match="STARTTLS"):
        await Mail(f"smtp://me:secret@127.0.0.1:{mailbox.port}", "a@example.com").send(MESSAGE)
    assert mailbox.got == []


async def test_an_sms_goes_to_the_gateway_with_its_key(receiver: Receiver) -> None:
    await Sms(receiver.url, "secret").send(MESSAGE)
    [(headers, body)] = receiver.got
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Idempotency-Key"] == str(MESSAGE.id)
    assert orjson.loads(body) == {"to": "+14155550100", "text": MESSAGE.message}
    receiver.status = 503
    with pytest.raises(RuntimeError, match="503"):
        await Sms(receiver.url, None).send(MESSAGE)
    assert "Authorization" not in receiver.got[1][0]


@pytest.fixture
async def desk(database: Database, redis: Redis, keys: Keys) -> Desk:
    return Desk(database, redis, keys, await new_user(database))


@pytest.fixture
def store(database: Database) -> DeliveryStore:
    return DeliveryStore(database)


async def fired(desk: Desk, *methods: NotificationMethod, count: int = 1, **others: Any) -> None:
    for _ in range(count):
        await desk.alert(terms(notification_methods=methods, **others), 99.0)
    async with desk.watch() as watch:
        desk.tick(watch, 101.0)
        await until(lambda: _fired(desk, count))


async def _fired(desk: Desk, count: int) -> bool:
    return len(await desk.events()) == count


async def fates(desk: Desk) -> list[Delivery]:
    return [sent for event in await desk.events() for sent in event.deliveries]


async def are_over(desk: Desk) -> bool:
    return all(sent.status is not DeliveryStatus.PENDING for sent in await fates(desk))


async def make_due(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE deliveries SET due_at = now()")


async def test_each_method_is_delivered_and_its_fate_is_told(
    desk: Desk, store: DeliveryStore, receiver: Receiver, mailbox: Mailbox
) -> None:
    await fired(desk, EMAIL, SMS, WEBHOOK, webhook_url=receiver.url, phone="+14155550100")
    senders = {
        EMAIL: Mail(f"smtp://127.0.0.1:{mailbox.port}", "a@example.com").send,
        SMS: Sms(receiver.url, None).send,
        WEBHOOK: Webhooks(lambda _: KEY, ["127.0.0.1"]).send,
    }
    deliverer = Deliverer(store, senders)
    async with tended(deliverer.run):
        await until(lambda: are_over(desk))
    assert deliverer.attempted == {(method, "delivered"): 1 for method in senders}
    assert {(sent.method, sent.status, sent.attempts, sent.last_error) for sent in await fates(desk)} == {
        (method, DeliveryStatus.DELIVERED, 1, None) for method in senders
    }
    assert (len(receiver.got), [mail["To"] for mail in mailbox.got]) == (2, [f"{desk.user_id}@example.com"])


async def test_what_fails_is_tried_again_under_the_same_id(
    desk: Desk, store: DeliveryStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver_module, "PAUSES_S", (0, 0, 0))
    receiver.status = 500
    await fired(desk, WEBHOOK, webhook_url=receiver.url)
    async with tended(Deliverer(store, {WEBHOOK: Webhooks(lambda _: KEY, ["127.0.0.1"]).send}).run):
        await until(lambda: len(receiver.got) == 2)
        receiver.status = 200
        await until(lambda: are_over(desk))
    [sent] = await fates(desk)
    assert (sent.status, sent.attempts) == (DeliveryStatus.DELIVERED, len(receiver.got))
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {str(sent.id)}


@pytest.mark.parametrize(
    ("error", "pauses", "attempts"),
    [(RuntimeError("busy"), (0, 0), 3), (Undeliverable("busy"), PAUSES_S, 1)],
)
async def test_what_cannot_be_delivered_is_given_up(
    desk: Desk,
    store: DeliveryStore,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    pauses: tuple[float, ...],
    attempts: int,
) -> None:
    monkeypatch.setattr(deliver_module, "PAUSES_S", pauses)

    async def send(message: Outgoing) -> None:
        raise error

    await fired(desk, SMS, phone="+14155550100")
    deliverer = Deliverer(store, {SMS: send})
    async with tended(deliverer.run):
        await until(lambda: are_over(desk))
    [sent] = await fates(desk)
    assert (sent.status, sent.attempts, sent.last_error) == (DeliveryStatus.FAILED, attempts, "busy")
    assert +deliverer.attempted == +Counter({(SMS, "failed"): attempts - 1, (SMS, "given_up"): 1})


async def test_a_message_waits_before_it_is_tried_again(desk: Desk, store: DeliveryStore, database: Database) -> None:
    await fired(desk, SMS, phone="+14155550100")
    [claimed] = await store.claim(SMS, 9)
    assert (claimed.phone, claimed.attempts, claimed.message) == (
        "+14155550100",
        1,
        "A: price has crossed above 100; it is 101",
    )
    assert await store.claim(SMS, 9) == []  # it is somebody's
    assert await store.claim(EMAIL, 9) == []
    await store.failed(claimed, "no", timedelta(hours=1))
    assert await store.claim(SMS, 9) == []
    await make_due(database)
    [again] = await store.claim(SMS, 9)
    assert (again.id, again.attempts) == (claimed.id, 2)
    await store.failed(claimed, "late", None)  # of the first attempt, which is not the last any more
    [sent] = await fates(desk)
    assert (sent.status, sent.last_error) == (DeliveryStatus.PENDING, "no")
    await store.delivered(again)
    await make_due(database)
    assert await store.claim(SMS, 9) == []


async def test_a_method_that_is_not_set_up_is_told_of(desk: Desk, store: DeliveryStore) -> None:
    await fired(desk, EMAIL)
    async with tended(Deliverer(store, {}).run):
        await until(lambda: _failed_once(desk))
    [sent] = await fates(desk)
    assert (sent.status, sent.last_error) == (DeliveryStatus.PENDING, "EMAIL is not set up on this server")


async def _failed_once(desk: Desk) -> bool:
    return all(sent.last_error for sent in await fates(desk))


async def test_any_number_share_the_messages_and_none_waits_for_another_method(
    desk: Desk, store: DeliveryStore, receiver: Receiver
) -> None:
    await fired(desk, WEBHOOK, SMS, count=20, webhook_url=receiver.url, phone="+14155550100")
    sent: list[UUID] = []
    stuck = asyncio.Event()

    async def send(message: Outgoing) -> None:
        sent.append(message.id)

    async def never(message: Outgoing) -> None:
        await stuck.wait()

    senders = {WEBHOOK: send, SMS: never}
    async with tended(Deliverer(store, senders).run, Deliverer(store, senders).run):
        await until(lambda: len(sent) >= 20)
        stuck.set()
        await until(lambda: are_over(desk))
    assert len(set(sent)) == len(sent) == 20


async def test_what_is_too_old_is_forgotten(desk: Desk, store: DeliveryStore, database: Database) -> None:
    await fired(desk, EMAIL, count=2)
    old, new = await desk.events()
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE alert_events SET recorded_at = now() - interval '91 days' WHERE id = $1", old.id
        )
    await store.forget_old()
    left: list[AlertEvent] = await desk.events()
    assert [event.id for event in left] == [new.id]
