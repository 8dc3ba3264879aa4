"""What the tests of resolvers share."""

import pytest

import resolvers.bars
import resolvers.quotes


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is: what a source says at once is waited for."""
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 60.0)
    monkeypatch.setattr(resolvers.bars, "STALE_AFTER_S", 60.0)
    monkeypatch.setattr(resolvers.bars, "DEADLINE_S", 60.0)
