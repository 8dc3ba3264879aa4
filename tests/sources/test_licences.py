"""The terms of tiers: read from the setting, and applied to a quote."""

from datetime import timedelta
from math import inf

import pytest
from msgspec import structs

from errors import StartError
from market import Provenance, Quote, ServedFrom
from settings import load_settings
from sources.catalog import terms_by_tier
from sources.licences import Terms, aged
from tests.sources.scripted import NOW

QUOTE = Quote(
    symbol="A",
    price=1.0,
    time=NOW,
    provenance=Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW),
    bid=0.9,
    ask=1.1,
    bid_size=5,
    ask_size=6,
    volume=7,
)


def terms(text: str | None) -> dict[str, dict[str, float]]:
    return {tier.value: dict(found.delays_s) for tier, found in terms_by_tier(load_settings(licences=text)).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("", {}),
        ("alphavantage:guest=barred", {"GUEST": {"alphavantage": inf}}),
        (
            "alphavantage:vip=delayed:60, alphavantage:guest=barred",
            {"GUEST": {"alphavantage": inf}, "REGISTERED": {"alphavantage": 60.0}, "VIP": {"alphavantage": 60.0}},
        ),
        ("import:guest=delayed:1", {"GUEST": {"import": 1.0}}),
        # What nobody but the ticks has told is of any source that streams.
        ("yahoo:guest=delayed:900", {"GUEST": {"yahoo": 900.0, "ticks": 900.0}}),
        (
            "yahoo:guest=delayed:900,polygon:guest=barred",
            {"GUEST": {"yahoo": 900.0, "polygon": inf, "ticks": inf}},
        ),
        (
            "sandbox:admin=barred",
            {tier: {"sandbox": inf, "ticks": inf} for tier in ("GUEST", "REGISTERED", "VIP", "ADMIN")},
        ),
    ],
)
def test_what_is_said_of_a_tier_holds_for_those_below(text: str | None, expected: dict[str, dict[str, float]]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "yahoo",
        "yahoo:guest",
        "yahoo:guest=free",
        "yahoo:nobody=barred",
        "yahoo:guest=delayed",
        "yahoo:guest=delayed:0",
        "yahoo:guest=delayed:86401",
        "yahoo:guest=delayed:1.5",
        "yahoo:guest=barred;polygon:guest=barred",
        "yahoo:guest=barred,yahoo:guest=delayed:900",
    ],
)
def test_a_licence_that_cannot_be_read_ends_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"^SMARTFIN_LICENCES: "):
        load_settings(licences=text)


def test_a_source_that_there_is_not_ends_the_start() -> None:
    with pytest.raises(StartError, match=r'^SMARTFIN_LICENCES: there is no source "yaho"; name one of alphavantage, '):
        terms_by_tier(load_settings(licences="yahoo:guest=barred,yaho:guest=barred"))


def test_terms_tell_the_delay_of_what_several_sources_have_made() -> None:
    limited = Terms({"late": 60.0, "later": 900.0, "never": inf})
    assert [limited.delay_s(names) for names in (["free"], ["free", "late"], ["later", "late"], ["late", "never"])] == [
        0.0,
        60.0,
        900.0,
        inf,
    ]
    assert (limited.barred, limited.longest_s, bool(limited), bool(Terms())) == (
        frozenset({"never"}),
        900.0,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("age_s", "received_ago_s", "expected"),
    [
        (59.9, 59.9, None),
        (60, 60, {}),
        (3600, 60, {}),
        (3600, 59.9, {"bid": None, "ask": None, "bid_size": None, "ask_size": None}),
    ],
)
def test_a_quote_is_as_old_as_its_price(age_s: float, received_ago_s: float, expected: dict[str, None] | None) -> None:
    received_at = NOW - timedelta(seconds=received_ago_s)
    quote = structs.replace(
        QUOTE,
        time=NOW - timedelta(seconds=age_s),
        provenance=structs.replace(QUOTE.provenance, received_at=received_at),
    )
    given = None
    if expected is not None:
        given = structs.replace(quote, provenance=structs.replace(quote.provenance, delay_seconds=60), **expected)
    assert aged(quote, 60, NOW) == given


def test_the_longer_delay_is_told() -> None:
    slow = structs.replace(
        QUOTE, time=NOW - timedelta(hours=1), provenance=structs.replace(QUOTE.provenance, delay_seconds=900)
    )
    told = aged(slow, 60, NOW)
    assert told is not None
    assert told.provenance.delay_seconds == 900
