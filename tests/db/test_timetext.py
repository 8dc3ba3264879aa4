from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db import timetext
from db.timetext import calendar_dates, instants
from market import INSTANT

NO_FORM = "951921300"
"""Behind this one nothing is taken to be written as the first."""
FORMS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(
            ["{0:04}-{1:02}-{2:02}", "{0:04}{1:02}{2:02}", "{0:04}/{1:02}.{2:02}", "{0}-{1}-{2}", "+{0}-{1}"]
        ),
        st.sampled_from(["", " ", "T"]),
        st.sampled_from(["", "{3:02}:{4:02}", "{3:02}{4:02}{5:02}", "{3:02}:{4:02}:{5:02}", "{3}:{4}:{5}"]),
        st.sampled_from(["", ".0", ".000", ".25"]),
        st.sampled_from(["", "Z", " UTC", "+00:00", "-0000", "+05:30", "-05"]),
    ),
)
PARTS = [st.integers(*ends) for ends in ((1599, 2101), (0, 13), (0, 32), (0, 24), (0, 60), (0, 60))]
# Files have one form; some have another now and then, or nothing.
COLUMNS = st.lists(FORMS, min_size=1, max_size=2).flatmap(
    lambda forms: st.lists(st.none() | st.builds(str.format, st.sampled_from(forms), *PARTS), min_size=1, max_size=5)
)


@pytest.mark.parametrize("read", [instants, calendar_dates])
@given(texts=COLUMNS)
@example(texts=["2000-03-01T14:35:00Z", "2000-03-01T14:35:60Z"])
@example(texts=["2000-03-01", "2000-3-1"])
@example(texts=["2000-03-01", "+2000-03-01"])
@example(texts=["2000-03-01 14:35", "2000-03-0114:35"])
@example(texts=["2000-03-01 14:35:00.000Z", "2000-03-01 14:35:00.250Z"])
@example(texts=["2000-03-01T14:35:00+00:00", "2000-03-01T14:35:00+01:00"])
def test_what_a_text_means_does_not_depend_on_what_stands_before_it(
    read: Callable[[pl.Series], pl.Series], texts: list[str | None]
) -> None:
    alone = [read(pl.Series([text], dtype=pl.String)).item() for text in texts]
    assert read(pl.Series(texts, dtype=pl.String)).to_list() == alone
    assert read(pl.Series([NO_FORM, *texts])).to_list()[1:] == alone


@pytest.mark.parametrize("suffix", ["", "Z", " UTC", "+00:00", ".000", ".000000 UTC"])
def test_a_column_of_times_in_utc_is_read_at_once(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(timetext, "_date")
    texts = pl.Series([f"2000-03-01 14:35:0{second}{suffix}" for second in (0, 7)] + [None])
    assert instants(texts).to_list() == [datetime(2000, 3, 1, 14, 35, second, tzinfo=UTC) for second in (0, 7)] + [None]
    assert calendar_dates(texts).to_list() == [datetime(2000, 3, 1, tzinfo=UTC)] * 2 + [None]


def test_a_column_without_any_text_has_no_time() -> None:
    for texts in ([], [None]):
        found = instants(pl.Series(texts, dtype=pl.String))
        assert (found.dtype, found.to_list()) == (INSTANT, texts)
