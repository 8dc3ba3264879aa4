"""Log lines: their form, what they must not hold, and how many of them there are."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

import logs


@pytest.fixture
def hidden() -> Iterator[None]:
    """What is hidden within a test is hidden no longer after it."""
    before = dict(logs._hidden)
    yield
    logs._hidden.clear()
    logs._hidden.update(before)


class Lines:
    """A logger of its own, and what it has written."""

    def __init__(self, form: str = "text") -> None:
        self._written = io.StringIO()
        handler = logging.StreamHandler(self._written)
        handler.setFormatter(logs.formatter(form))  # type: ignore[arg-type]
        handler.addFilter(logs.Damper())
        self.logger = logging.getLogger(f"gateway.test_{id(self)}")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(handler)

    def __call__(self) -> list[str]:
        return self._written.getvalue().splitlines()


async def test_a_line_of_json_has_the_ids_of_its_request() -> None:
    lines = Lines("json")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    logs.of_request("r-1", f"00-{trace}-00f067aa0ba902b7-01".encode())
    lines.logger.warning("%s is %s", "this", "so")
    [line] = map(json.loads, lines())
    assert line.pop("time").endswith("Z")
    assert line.pop("logger") == lines.logger.name
    assert line == {"level": "warning", "message": "this is so", "request_id": "r-1", "trace_id": trace}


async def test_a_line_of_text_has_them_too_and_the_exception_below() -> None:
    lines = Lines()
    logs.of_request("r-2", b"nonsense")
    try:
        raise ValueError("wrong")
    except ValueError:
        lines.logger.exception("it failed")
    said = lines()
    assert said[0].endswith(f" ERROR {lines.logger.name}: it failed request_id=r-2")
    assert said[1] == "Traceback (most recent call last):"
    assert said[-1] == "ValueError: wrong"


SECRETS = ['p"w\\d-canary', "key-canary-1", "postgresql://me:p%40ss-canary@db/x"]


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", [*SECRETS, "p%40ss-canary", "p@ss-canary"])
def test_no_line_holds_a_secret(form: str, secret: str) -> None:
    logs.hide(*SECRETS)
    lines = Lines(form)
    lines.logger.warning("asked with %s", secret)
    try:
        raise ValueError(f"{secret} will not do")
    except ValueError:
        lines.logger.exception("it failed")
    assert "canary" not in "\n".join(lines())
    assert "asked with ***" in lines()[0]


@pytest.mark.usefixtures("hidden")
def test_a_secret_too_short_to_be_one_garbles_nothing() -> None:
    logs.hide("a", "")
    assert logs.scrubbed("a banana") == "a banana"


def test_of_a_storm_some_are_told_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    for number in range(500):
        lines.logger.warning("storm %d", number)
        lines.logger.info("breeze") if number < 3 else None
    said = [line.partition(": ")[2] for line in lines()]
    assert [text for text in said if "storm" in text] == [f"storm {number}" for number in range(logs.ALIKE)]
    assert said.count("breeze") == 3
    monkeypatch.setattr(logs, "WINDOW_S", 0.0)
    lines.logger.info("calm")
    assert [line.partition(": ")[2] for line in lines()][-2:] == [
        f"{500 - logs.ALIKE} more lines like this were left out within a minute: storm %d",
        "calm",
    ]


def test_lines_of_debug_are_all_told() -> None:
    lines = Lines()
    for _ in range(50):
        lines.logger.debug("detail")
    assert len(lines()) == 50


def test_the_damper_forgets_the_oldest_kinds() -> None:
    damper = logs.Damper()
    for number in range(2 * logs.MAX_KINDS):
        damper.filter(logging.LogRecord("x", logging.INFO, "", 0, f"kind {number}", None, None))
    assert len(damper._kinds) <= logs.MAX_KINDS
