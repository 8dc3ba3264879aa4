"""What the suites of the sources share."""

from collections.abc import AsyncIterator

import pytest

from sources.source import Source
from tests.fakes.fake import Fake


@pytest.fixture
async def source(fake: Fake) -> AsyncIterator[Source]:
    """The source that talks to the fake of the suite."""
    source = fake.source()
    yield source
    await source.aclose()
