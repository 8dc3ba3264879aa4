"""What the settings make of the sources that there are."""

from datetime import timedelta

import pytest

from market import Interval
from settings import Mode, Settings, load_settings
from sources.catalog import SOURCES, open_sources, quotas
from sources.source import Quota, Source, is_scarce
from tests.fakes.fake import Unlimited

KEYS = {"alphavantage_api_key": "geheim", "polygon_api_key": "geheim"}
PLAN = {"alphavantage_requests_per_minute": 75, "polygon_requests_per_minute": 6000}
FREE = {
    "alphavantage": ((Quota(1, 1), Quota(25, 86_400, "America/New_York")), timedelta(weeks=19)),
    "polygon": ((Quota(5, 60),), timedelta(days=729)),
}
PAID = {"alphavantage": ((Quota(75, 60),), None), "polygon": ((Quota(6000, 60),), None)}


def live(**values: object) -> Settings:
    return load_settings(mode=Mode.LIVE, **values)


def opened(settings: Settings) -> dict[str, Source]:
    budgets = {kind.name: Unlimited() for kind in SOURCES[Mode.LIVE]}
    return {source.name: source for source in open_sources(settings, budgets)}


@pytest.mark.parametrize(("settings", "plans"), [(live(**KEYS), FREE), (live(**KEYS, **PLAN), PAID)])
def test_a_plan_sets_the_quotas_and_how_far_back_it_goes(
    settings: Settings, plans: dict[str, tuple[tuple[Quota, ...], timedelta | None]]
) -> None:
    sources = opened(settings)
    told = {name: (sources[name].quotas, sources[name].reach[Interval.D1]) for name in plans}
    assert told == plans
    # What is counted is what the source says.
    kinds = {kind.name: quotas(kind, settings) for kind in SOURCES[Mode.LIVE]}
    assert kinds == {name: source.quotas for name, source in sources.items()}


def test_only_what_has_a_quota_of_the_day_is_scarce() -> None:
    assert [name for name, source in opened(live(**KEYS)).items() if is_scarce(source)] == ["alphavantage"]
    assert not any(is_scarce(source) for source in opened(live(**KEYS, **PLAN)).values())


def test_the_plan_of_one_says_nothing_of_the_other() -> None:
    sources = opened(live(**KEYS, polygon_requests_per_minute=100))
    assert sources["alphavantage"].quotas == FREE["alphavantage"][0]
    assert sources["polygon"].quotas == (Quota(100, 60),)
