"""What alerts measure of bars, held against what queries say."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from redis.asyncio import Redis

import resolvers.indicators
from db.database import Database
from db.redis import Keys
from indicators.evaluate import READ
from live.alerts import Measure
from market import Adjustment, AlertMetric, Interval
from resolvers.bars import Bars, load_bars
from resolvers.history import load_history
from resolvers.indicators import IndicatorScope
from resolvers.measures import indicator_call, measured
from sources.sandbox import Sandbox
from tests.world import made_of

M1 = Interval.M1
RSI, HISTOGRAM = Measure(AlertMetric.RSI, 9), Measure(AlertMetric.MACD_HISTOGRAM, None)
PLAIN = [Measure(metric, None) for metric in (AlertMetric.PRICE, AlertMetric.CHANGE_PERCENT, AlertMetric.VOLUME)]


async def test_final_bars_are_measured_as_a_query_does_it(database: Database, redis: Redis, keys: Keys) -> None:
    world = made_of(database, redis, keys, Sandbox(1, 1.0))
    told = await measured(world, "BTC-USD", M1, [RSI, HISTOGRAM, *PLAIN], 5)
    history = await load_history(world, "BTC-USD", M1, told.times[0], None, None, Adjustment.SPLITS)
    scope = IndicatorScope(world, history)
    bars = history.frame.filter(history.frame["time"].is_in(told.times))
    count = len(told.times)
    assert 5 <= count <= 6  # the newest is not final, unless the minute has just begun
    assert told.times == bars["time"].to_list()
    assert told.closes == [time + timedelta(minutes=1) for time in told.times]
    assert bars["is_final"].all()
    rsi, macd = await scope.values(indicator_call(*RSI)), await scope.values(indicator_call(*HISTOGRAM))
    assert isinstance(rsi, pl.Series)
    assert not isinstance(macd, pl.Series)
    assert told.values[RSI] == rsi[:count].to_list()
    assert told.values[HISTOGRAM] == macd["histogram"][:count].to_list()
    price, change, volume = (told.values[measure] for measure in PLAIN)
    closes = bars["close"].to_list()
    assert price == closes
    assert volume == bars["volume"].to_list()
    assert change == [None, *(round((b / a - 1) * 100, 4) for a, b in pairwise(closes))]


async def test_bars_before_the_history_need_have_no_more_than_indicators_read(
    database: Database, redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = made_of(database, redis, keys, Sandbox(1, 1.0))

    async def narrow(*asked: Any) -> Bars | None:
        found = await load_bars(*asked)
        return replace(found, frame=found.frame[READ]) if found else None

    monkeypatch.setattr(resolvers.indicators, "load_bars", narrow)
    told = await measured(world, "BTC-USD", M1, [RSI], 5)
    assert None not in told.values[RSI]
