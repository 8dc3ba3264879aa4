import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

import pytest

from errors import (
    NoData,
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    SourceUnreachable,
    SymbolNotFound,
    UnsupportedInterval,
)
from market import Interval, Provenance, Quote, ServedFrom, SkippedSource, Symbol, Window
from sources import router as routing
from sources import turns
from sources.health import OPENS_AFTER, BreakerState
from sources.router import Router
from sources.source import DAY_S, Capability, Quota, Source
from sources.turns import Outlook
from tests.sources.scripted import NOW, Scripted, router
from tests.waiting import until

WINDOW = Window(NOW - timedelta(days=1), NOW)


async def one(asking: Router, symbol: str = "AAPL") -> Quote:
    answer = (await asking.quotes([symbol]))[symbol]
    if isinstance(answer, SmartFinError):
        raise answer
    return answer


async def test_the_highest_priority_answers_and_the_others_are_not_asked() -> None:
    low, high = Scripted("low", 1), Scripted("high", 9)
    answer = await one(router(low, high))
    assert answer.provenance.source == "high"
    assert answer.provenance.skipped == ()
    assert low.asked == []


FAILURES = [
    (SourceUnreachable("gone"), "SOURCE_UNREACHABLE"),
    (SourceTimeout("late"), "SOURCE_TIMEOUT"),
    (SourceFault("500"), "SOURCE_FAULT"),
    (SourceLimited("429"), "SOURCE_LIMITED"),
    (SourceRefused("403"), "SOURCE_REFUSED"),
    (SourceBadAnswer("html"), "SOURCE_BAD_ANSWER"),
    (SourceCannot("window"), "SOURCE_CANNOT"),
    (RuntimeError("a bug with key=geheim"), "SOURCE_FAULT"),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_failure_moves_on_at_once_and_is_told(error: Exception, code: str) -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    first.error = error
    asking = router(first, second)
    start = time.monotonic()
    answer = await one(asking)
    fetched = await asking.history("AAPL", Interval.D1, WINDOW)
    assert time.monotonic() - start < 1
    assert answer.provenance.source == fetched.provenance.source == "second"
    assert [(skip.source, skip.code) for skip in answer.provenance.skipped] == [("first", code)]
    assert [skip.source for skip in fetched.provenance.skipped] == ["first"]
    assert "geheim" not in str(answer.provenance.skipped)


async def test_all_failing_lists_what_each_said() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    first.error, second.error = SourceBadAnswer("HTML"), SourceRefused("no plan")
    with pytest.raises(SourceUnavailable) as caught:
        await one(router(first, second))
    assert [(skip.source, skip.code, skip.message) for skip in caught.value.skipped] == [
        ("first", "SOURCE_BAD_ANSWER", "HTML"),
        ("second", "SOURCE_REFUSED", "no plan"),
    ]
    assert caught.value.extensions["sources"][0] == {"source": "first", "code": "SOURCE_BAD_ANSWER", "message": "HTML"}


async def test_a_silent_source_is_given_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.QUOTES, 0.1)
    first, second = Scripted("first", 9), Scripted("second", 1)
    first.takes_s = 30
    start = time.monotonic()
    answer = await one(router(first, second))
    assert 0.1 <= time.monotonic() - start < 1.1
    assert [skip.code for skip in answer.provenance.skipped] == ["SOURCE_TIMEOUT"]


async def test_what_one_does_not_know_the_next_is_asked_for() -> None:
    first = Scripted("first", 9, unknown=frozenset({"B", "C"}))
    second = Scripted("second", 1, unknown=frozenset({"C"}))
    answers = await router(first, second).quotes(["A", "B", "C"])
    assert {symbol: answer.provenance.source for symbol, answer in answers.items() if isinstance(answer, Quote)} == {
        "A": "first",
        "B": "second",
    }
    assert isinstance(answers["C"], SymbolNotFound)
    assert (first.asked, second.asked) == ([("A", "B", "C")], [("B", "C")])


async def test_unknown_is_certain_only_if_nobody_failed() -> None:
    first, second = Scripted("first", 9, unknown=frozenset({"A"})), Scripted("second", 1)
    second.error = SourceFault("500")
    asking = router(first, second)
    assert isinstance((await asking.quotes(["A"]))["A"], SourceUnavailable)
    with pytest.raises(SourceUnavailable):
        await asking.history("A", Interval.D1, WINDOW)
    with pytest.raises(SourceUnavailable):
        await asking.asset("A")


def one_by_one(failing: Mapping[str, Exception] | None = None, takes_s: float = 0.0) -> Scripted:
    """A source that answers one symbol a question."""

    class OneByOne(Scripted):
        async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
            [symbol] = symbols
            self.error = (failing or {}).get(symbol)
            return await super().quotes(symbols)

    source = OneByOne("one", 9)
    source.symbols_per_question = 1
    source.takes_s = takes_s
    return source


async def test_each_of_several_questions_for_quotes_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.QUOTES, 2.0)
    source = one_by_one(takes_s=0.5)
    answers = await router(source).quotes(["A", "B", "C", "D", "E"])
    assert [type(answer) for answer in answers.values()] == [Quote] * 5
    assert source.asked == [("A",), ("B",), ("C",), ("D",), ("E",)]


async def test_together_they_have_a_time_too_and_what_came_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BATCH_S", 0.0)
    source = one_by_one(takes_s=0.01)
    answers = await router(source).quotes(["A", "B", "C"])
    assert [type(answer) for answer in answers.values()] == [Quote, SourceUnavailable, SourceUnavailable]
    assert source.asked == [("A",)]


@pytest.mark.parametrize("error", [SourceFault("500"), SourceBadAnswer("HTML"), SourceCannot("no")])
async def test_a_symbol_that_fails_takes_nothing_from_the_others_and_the_next_is_asked_for_it(
    error: SmartFinError,
) -> None:
    source, second = one_by_one({"B": error}), Scripted("second", 1, unknown=frozenset({"A", "C"}))
    answers = await router(source, second).quotes(["A", "B", "C"])
    told = {
        symbol: (answer.provenance.source, [skip.code for skip in answer.provenance.skipped])
        for symbol, answer in answers.items()
        if isinstance(answer, Quote)
    }
    assert told == {"A": ("one", []), "B": ("second", [error.code]), "C": ("one", [])}
    assert (source.asked, second.asked) == ([("A",), ("B",), ("C",)], [("B",)])


async def test_a_limit_between_the_questions_ends_them() -> None:
    source = one_by_one({"B": SourceLimited("429")})
    answers = await router(source).quotes(["A", "B", "C"])
    assert source.asked == [("A",), ("B",)]
    assert isinstance(answers["A"], Quote)
    codes = [skip.code for symbol in "BC" for skip in getattr(answers[symbol], "skipped", ())]
    assert codes == ["SOURCE_LIMITED", "SOURCE_RESTING"]


async def test_where_every_question_fails_the_first_error_is_told() -> None:
    source = one_by_one({"A": SourceFault("500"), "B": SourceBadAnswer("HTML")})
    second = Scripted("second", 1)
    answers = await router(source, second).quotes(["A", "B"])
    assert {answer.provenance.source for answer in answers.values() if isinstance(answer, Quote)} == {"second"}
    assert second.asked == [("A", "B")]


async def test_only_who_covers_a_symbol_is_asked() -> None:
    stocks = Scripted("stocks", 9, covers=lambda symbol: "-" not in symbol)
    coins = Scripted("coins", 1, covers=lambda symbol: "-" in symbol)
    answers = await router(stocks, coins).quotes(["AAPL", "BTC-USD"])
    assert [answer.provenance.source for answer in answers.values() if isinstance(answer, Quote)] == ["stocks", "coins"]
    assert (stocks.asked, coins.asked) == ([("AAPL",)], [("BTC-USD",)])
    with pytest.raises(SourceUnavailable, match="no source for it is configured"):
        await one(router(coins), "AAPL")


async def test_an_interval_that_nobody_has_is_unsupported() -> None:
    days = Scripted("days", 1, reach={Interval.D1: None, Interval.W1: None})
    with pytest.raises(UnsupportedInterval, match="No source has M1 bars of AAPL; ask for one of D1, W1"):
        await router(days).history("AAPL", Interval.M1, WINDOW)
    assert days.asked == []


WEEK = timedelta(days=7)


def reaching(name: str, priority: int, reach: timedelta | None) -> Scripted:
    return Scripted(name, priority, reach={Interval.H1: reach})


def at_now(*sources: Scripted) -> Router:
    return Router(cast(Sequence[Source], sources), clock=lambda: NOW)


@pytest.mark.parametrize(
    ("sources", "window", "asked", "wanted"),
    [
        ([("a", 9, WEEK), ("b", 1, None)], Window(NOW - WEEK, NOW), "a", NOW - WEEK),
        ([("a", 9, WEEK), ("b", 1, None)], Window(NOW - 2 * WEEK, NOW), "b", NOW - 2 * WEEK),
        ([("a", 9, WEEK), ("b", 1, 2 * WEEK)], Window(NOW - 9 * WEEK, NOW), "b", NOW - 2 * WEEK),
        # What is cut off ends where a bar opens, else the first one would count as covered and is not had.
        ([("a", 9, timedelta(minutes=90))], Window(NOW - WEEK, NOW), "a", NOW - timedelta(hours=1)),
    ],
)
async def test_a_source_is_asked_only_for_what_it_goes_back_to(
    sources: list[tuple[str, int, timedelta | None]], window: Window, asked: str, wanted: object
) -> None:
    scripted = {name: reaching(name, priority, reach) for name, priority, reach in sources}
    fetched = await at_now(*scripted.values()).history("AAPL", Interval.H1, window)
    assert fetched.window == Window(wanted, window.end)  # type: ignore[arg-type]
    assert {name: source.asked for name, source in scripted.items() if source.asked} == {
        asked: [("AAPL", Interval.H1, fetched.window)]
    }


async def test_what_nobody_goes_back_to_is_no_data_and_nobody_is_asked() -> None:
    sources = [reaching("a", 9, WEEK), reaching("b", 1, 2 * WEEK)]
    with pytest.raises(NoData, match=r"^No source has H1 bars of AAPL before 2025-12-22T15:00:00Z; ask from there on"):
        await at_now(*sources).history("AAPL", Interval.H1, Window(NOW - 9 * WEEK, NOW - 2 * WEEK))
    assert [source.asked for source in sources] == [[], []]


@pytest.mark.parametrize("error", [SourceUnreachable("x"), SourceFault("x")])
async def test_the_last_source_is_asked_twice_where_that_is_safe(error: Exception) -> None:
    first, last = Scripted("first", 9), Scripted("last", 1)
    first.error = last.error = error
    with pytest.raises(SourceUnavailable):
        await one(router(first, last))
    assert (len(first.asked), len(last.asked)) == (1, 2)


@pytest.mark.parametrize("error", [SourceTimeout("x"), SourceBadAnswer("x"), SourceLimited("x"), SourceRefused("x")])
async def test_what_would_not_help_is_not_asked_twice(error: Exception) -> None:
    only = Scripted("only", 1)
    only.error = error
    with pytest.raises(SourceUnavailable):
        await one(router(only))
    assert len(only.asked) == 1


async def test_with_everything_down_the_attempts_stay_few_and_the_answers_quick() -> None:
    only = Scripted("only", 1)
    only.error = SourceFault("500")
    asking = router(only)
    start = time.monotonic()
    for number in range(500):
        with pytest.raises(SourceUnavailable):
            await one(asking, f"S{number}")
    assert len(only.asked) <= 2 * OPENS_AFTER
    assert time.monotonic() - start < 5
    assert [step.would_ask for step in asking.route(Symbol("AAPL"), Capability.QUOTES)] == [False]


async def test_two_hundred_that_ask_at_once_are_one_call() -> None:
    only = Scripted("only", 1)
    only.takes_s = 0.05
    asking = router(only)
    answers = await asyncio.gather(*(asking.quotes(["AAPL", "MSFT"]) for _ in range(200)))
    assert only.asked == [("AAPL", "MSFT")]
    assert all(set(answer) == {"AAPL", "MSFT"} for answer in answers)


async def test_a_slow_source_is_overtaken_by_the_next() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    asking = router(first, second)
    for number in range(20):
        await one(asking, f"S{number}")
    first.takes_s = 5
    start = time.monotonic()
    answer = await one(asking)
    assert time.monotonic() - start < 4
    assert answer.provenance.source == "second"
    assert [(skip.source, skip.code) for skip in answer.provenance.skipped] == [("first", "SOURCE_SLOW")]


async def test_a_scarce_key_is_not_spent_to_be_quicker() -> None:
    first, scarce = Scripted("first", 9), Scripted("scarce", 1, quotas=[Quota(25, DAY_S)])
    asking = router(first, scarce)
    for number in range(20):
        await one(asking, f"S{number}")
    first.takes_s = 0.3
    assert (await one(asking)).provenance.source == "first"
    assert scarce.asked == []


async def test_hedges_stay_within_a_tenth_of_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LEAST_HEDGE_S", 0.001)
    first, second = Scripted("first", 9), Scripted("second", 1)
    asking = router(first, second)
    monkeypatch.setattr(asking.health["first"], "slow_s", lambda _capability: 0.0)
    first.takes_s = 0.06
    for number in range(60):
        await one(asking, f"T{number}")
    assert 10 <= len(second.asked) <= 10 + 10


async def test_the_route_tells_who_would_be_asked_and_why_not() -> None:
    resting, able = Scripted("resting", 9), Scripted("able", 5)
    deaf = Scripted("deaf", 7, capabilities=frozenset({Capability.HISTORY}))
    coins = Scripted("coins", 6, covers=lambda symbol: "-" in symbol)
    resting.error = SourceLimited("429", retry_after_s=30)
    asking = router(resting, able, deaf, coins)
    await one(asking)
    steps = asking.route(Symbol("AAPL"), Capability.QUOTES)
    assert [(step.source, step.would_ask) for step in steps] == [
        ("able", True),
        ("resting", False),
        ("deaf", False),
        ("coins", False),
    ]
    assert [step.reason for step in steps] == [
        "priority 5",
        "its limit is reached for another 30 s",
        "does not offer QUOTES",
        "does not cover AAPL (STOCK)",
    ]


async def test_a_search_gathers_from_all_and_outlives_a_failure() -> None:
    first, second, third = Scripted("first", 9), Scripted("second", 5), Scripted("third", 1)
    second.error = SourceFault("500")
    found = await router(first, second, third).search("apple", 5)
    assert [(asset.symbol, asset.name) for asset in found] == [("apple", "first")]
    assert third.asked == ["apple"]


async def test_a_source_that_is_put_in_is_asked_in_the_place_of_the_one_of_its_name() -> None:
    low, old, new = Scripted("low", 1), Scripted("keyed", 9), Scripted("keyed", 9)
    old.error = SourceRefused("wrong key")
    asking = router(low, old)
    assert (await one(asking)).provenance.source == "low"
    await asking.put(cast(Source, new))
    assert (await one(asking)).provenance.source == "keyed"
    assert [source.name for source in asking.sources] == ["keyed", "low"]
    assert (old.is_closed, new.is_closed) == (True, False)


def comparing(*sources: Scripted, share: float = 1.0) -> Router:
    return Router(cast(Sequence[Source], sources), cross_check_share=share)


async def test_sources_that_disagree_lower_the_quality_until_they_agree_and_delay_nobody() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    first.price, second.price = 100.0, 101.1
    second.takes_s = 0.2
    asking = comparing(first, second)
    assert (await one(asking)).provenance.flags == ()
    assert asking._checks  # still under way
    await until(lambda: asking.quality.disagreements == 1)
    second.takes_s, second.price = 0.0, 100.9
    disputed = (await one(asking)).provenance
    assert (disputed.source, disputed.flags, disputed.quality) == ("first", ("DISPUTED",), 60)
    await until(lambda: len(second.asked) == 2 and not asking._checks)
    assert (await one(asking)).provenance.flags == ()
    assert asking.quality.disagreements == 1
    await asking.aclose()


async def test_prices_of_other_times_are_not_compared() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    provenance = Provenance(source="second", served_from=ServedFrom.LIVE, received_at=NOW)
    late = NOW - timedelta(minutes=3)
    second.quoted["AAPL"] = Quote(symbol="AAPL", price=5.0, time=late, provenance=provenance)
    asking = comparing(first, second)
    await one(asking)
    await until(lambda: second.asked and not asking._checks)
    assert asking.quality.disagreements == 0


@pytest.mark.parametrize(
    ("quotas", "share", "error"),
    [([Quota(25, DAY_S)], 1.0, None), ([], 0.0, None), ([], 1.0, SourceRefused("no plan"))],
    ids=["scarce", "not sampled", "resting"],
)
async def test_who_may_not_be_asked_is_not_compared_with(
    quotas: Sequence[Quota], share: float, error: Exception | None
) -> None:
    first, second = Scripted("first", 9), Scripted("second", 1, quotas=quotas)
    second.error = error
    asking = comparing(first, second, share=share)
    if error is not None:
        await asking.check(cast(Source, second))
    asked = list(second.asked)
    for number in range(20):
        await one(asking, f"S{number}")
    await until(lambda: not asking._checks)
    assert second.asked == asked


async def test_a_refusal_is_about_the_kind_of_asset_that_was_asked_for() -> None:
    source = Scripted("s", 1)
    source.error = SourceRefused("not in the plan")
    asking = router(source)
    with pytest.raises(SourceUnavailable):
        await one(asking, "EURUSD=X")
    source.error = None
    with pytest.raises(SourceUnavailable, match="it refuses QUOTES of FOREX"):
        await one(asking, "USDCHF=X")
    assert (await one(asking, "AAPL")).symbol == "AAPL"
    assert (await asking.history("EURUSD=X", Interval.D1, WINDOW)).provenance.source == "s"
    assert source.asked[:2] == [("EURUSD=X",), ("AAPL",)]


async def known(asking: Router) -> None:
    """Have every source answer so often that it is known what is slow for it."""
    for source in asking.sources:
        for _ in range(20):
            for capability in (Capability.QUOTES, Capability.HISTORY):
                asking.health[source.name].answered(capability, 0.01)


async def test_a_slow_history_is_overtaken_by_the_next_source() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    asking = router(first, second)
    await known(asking)
    first.takes_s = 5
    start = time.monotonic()
    provenance = (await asking.history("AAPL", Interval.D1, WINDOW)).provenance
    assert time.monotonic() - start < 4
    assert (provenance.source, [skip.code for skip in provenance.skipped]) == ("second", ["SOURCE_SLOW"])
    await asking.aclose()


async def test_a_source_of_which_little_is_known_is_slow_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_UNPROVEN_S", 0.1)
    first, second = Scripted("first", 9), Scripted("second", 1)
    asking = router(first, second)
    first.takes_s = 30
    assert (await asking.history("AAPL", Interval.D1, WINDOW)).provenance.source == "second"
    await asking.aclose()


async def test_who_is_overtaken_is_heard_out_so_that_silence_opens_its_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.QUOTES, 0.3)
    silent, sound = Scripted("silent", 9), Scripted("sound", 1)
    asking = router(silent, sound)
    await known(asking)
    silent.takes_s = 30
    quotes = await asyncio.gather(*(one(asking, f"S{number}") for number in range(OPENS_AFTER)))
    assert {quote.provenance.source for quote in quotes} == {"sound"}
    await until(lambda: asking.health["silent"].breaker is BreakerState.OPEN)
    assert len(silent.asked) == OPENS_AFTER
    await asking.aclose()


async def test_closing_gives_up_who_was_overtaken() -> None:
    silent, sound = Scripted("silent", 9), Scripted("sound", 1)
    asking = router(silent, sound)
    await known(asking)
    silent.takes_s = 30
    await one(asking)
    [left] = asking._turns._overtaken
    await asking.aclose()
    assert left.cancelled()


async def test_where_both_fail_each_is_told_by_its_own_name() -> None:
    first, second = Scripted("first", 9), Scripted("second", 1)
    asking = router(first, second)
    await known(asking)
    first.takes_s, second.takes_s = 0.2, 0.3
    first.error, second.error = SourceBadAnswer("HTML"), SourceRefused("no plan")
    with pytest.raises(SourceUnavailable) as caught:
        await one(asking)
    assert [(skip.source, skip.message) for skip in caught.value.skipped] == [("first", "HTML"), ("second", "no plan")]


async def test_all_sources_together_have_a_time_and_who_was_not_reached_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(turns.DEADLINE_S, Capability.HISTORY, 0.3)
    silent = [Scripted(name, priority) for name, priority in (("a", 9), ("b", 5), ("c", 1))]
    for source in silent:
        source.takes_s = 30
    asking = router(*silent)
    asking._turns._extra = 0.0  # no hedge
    with pytest.raises(SourceUnavailable) as caught:
        await asking.history("AAPL", Interval.D1, WINDOW)
    assert [(skip.source, skip.code) for skip in caught.value.skipped] == [
        (name, "SOURCE_TIMEOUT") for name in ("a", "b", "c")
    ]
    assert [len(source.asked) for source in silent] == [1, 0, 0]
    assert asking.health["a"].fault is None, "it had less than its time"


async def test_the_outlook_tells_who_is_well_and_why_the_others_are_not() -> None:
    failing, other = Scripted("failing", 9), Scripted("other", 1)
    asking = router(failing, other)
    symbol = "AAPL"
    assert asking.outlook(symbol, Capability.QUOTES) == Outlook(("failing", "other"))
    failing.error = SourceBadAnswer("HTML")
    await one(asking)
    fault = SkippedSource("failing", "SOURCE_BAD_ANSWER", "HTML")
    assert asking.outlook(symbol, Capability.QUOTES) == Outlook(("other",), ("failing",), (fault,))
    other.error = SourceLimited("429", retry_after_s=30)
    with pytest.raises(SourceUnavailable):
        await one(asking)
    resting = SkippedSource("other", "SOURCE_RESTING", "its limit is reached for another 30 s")
    assert asking.outlook(symbol, Capability.QUOTES) == Outlook((), ("failing",), (fault, resting))
    for _ in range(OPENS_AFTER):
        with pytest.raises(SourceUnavailable):
            await one(asking)
    assert asking.outlook(symbol, Capability.QUOTES).is_hopeless


async def test_the_outlook_of_bars_is_that_of_who_has_the_interval() -> None:
    days, minutes = Scripted("days", 9, reach={Interval.D1: None}), Scripted("minutes", 1, reach={Interval.M1: None})
    asking = router(days, minutes)
    minutes.error = SourceBadAnswer("HTML")
    with pytest.raises(SourceUnavailable):
        await asking.history("AAPL", Interval.M1, WINDOW)
    assert asking.outlook("AAPL", Capability.HISTORY, Interval.M1).well == ()
    assert asking.outlook("AAPL", Capability.HISTORY, Interval.D1).well == ("days",)


async def test_what_is_off_is_not_asked_and_the_others_in_the_order_that_was_chosen() -> None:
    first, second, third = Scripted("first", 9), Scripted("second", 5), Scripted("third", 1)
    asking = router(first, second, third)
    asking.arrange({"first": "it rains"}, {"third": 6})
    answer = await one(asking)
    assert (answer.provenance.source, answer.provenance.skipped, first.asked) == ("third", (), [])
    steps = [(step.source, step.would_ask, step.reason) for step in asking.route(Symbol("AAPL"), Capability.QUOTES)]
    assert steps == [("third", True, "priority 6"), ("second", True, "priority 5"), ("first", False, "it rains")]
    asking.arrange({}, {})
    assert (await one(asking)).provenance.source == "first"
