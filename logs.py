"""Log lines: as text or as JSON, with the ids of the request, without secrets, and without storms."""

import atexit
import logging
import logging.config
import re
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

OURS: Final = ("app", "cli", "db", "gateway", "jobs", "live", "monitoring", "resolvers", "schema", "sources")
"""Whose lines SMARTFIN_LOG_LEVEL is about; of libraries only warnings are told: at DEBUG they show headers."""

ALIKE: Final = 10
WINDOW_S: Final = 60.0
"""Of lines of one kind ALIKE are told in so long; what is beyond is counted, and the count told."""
MAX_KINDS: Final = 1000

LEAST_SECRET: Final = 4
"""Characters of a secret that is looked for: a shorter one would be found in every word."""

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_hidden: dict[str, None] = {}


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Log so from now on, what ends the process unexpectedly included."""
    logging.config.dictConfig(config(level, form))
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, traceback: logging.getLogger("app").critical(
        "it ends in an unexpected way", exc_info=(kind, error, traceback)
    )


def config(level: str, form: Literal["text", "json"]) -> dict[str, Any]:
    """How every process logs, the workers too: uvicorn hands it to them."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "logs.formatter", "form": form}},
        "filters": {"damper": {"()": "logs.Damper"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["damper"]}},
        "root": {"level": "ERROR" if level == "ERROR" else "WARNING", "handlers": ["stderr"]},
        "loggers": {
            # It warns at every end that its pollers sleep, and tells of every look at the clock.
            "saq": {"level": "ERROR"},
            **{name: {"level": level} for name in OURS},
        },
    }


def formatter(form: Literal["text", "json"]) -> logging.Formatter:
    """What writes a record of whatever logger."""
    said: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    render = _as_json if form == "json" else _as_text
    processors: list[Processor] = [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _without_secrets,
        render,
    ]
    return ProcessorFormatter(foreign_pre_chain=said, processors=processors)


def of_request(request_id: str, traceparent: bytes | None = None) -> None:
    """Have every line of this task, and of those it begins, tell the request, and the trace that it is part of."""
    if traceparent is not None and (found := _TRACEPARENT.fullmatch(traceparent)):
        bind_contextvars(request_id=request_id, trace_id=found[1].decode())
    else:
        bind_contextvars(request_id=request_id)


def hide(*secrets: str) -> None:
    """Never write these, from now on; of a URL, nor its password alone."""
    for secret in secrets:
        password = urlsplit(secret).password or "" if "://" in secret else ""
        found = {one for one in (secret, password, unquote(password)) if len(one) >= LEAST_SECRET}
        # The longest first: a URL is gone as a whole before its password is looked for.
        _hidden.update(dict.fromkeys(found))
    ordered = sorted(_hidden, key=len, reverse=True)
    _hidden.clear()
    _hidden.update(dict.fromkeys(ordered))


def scrubbed(text: str) -> str:
    """The text without what is hidden."""
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text


@dataclass(slots=True)
class _Kind:
    """Lines that are alike, since the first of them."""

    since: float
    told: int = 0


class Damper(logging.Filter):
    """Lets ALIKE lines of one kind (logger, level, text without its arguments) through in WINDOW_S.

    What was left out is told with the next line, of whatever kind, once the time is over. Lines of DEBUG are all let
    through: who asks for them wants them all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: OrderedDict[tuple[str, int, str], _Kind] = OrderedDict()
        self._lock = threading.Lock()
        atexit.register(self._tell_left_out, float("inf"))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to tell of it; what was left out before is told first."""
        if record.levelno <= logging.DEBUG or getattr(record, "is_summary", False):
            return True
        now = time.monotonic()
        self._tell_left_out(now)
        with self._lock:
            kind = self._kinds.setdefault((record.name, record.levelno, str(record.msg)), _Kind(now))
            kind.told += 1
            return kind.told <= ALIKE

    def _tell_left_out(self, now: float) -> None:
        for (name, level, text), kind in self._over(now):
            if kind.told > ALIKE:
                logging.getLogger(name).log(
                    level,
                    "%d more lines like this were left out within a minute: %s",
                    kind.told - ALIKE,
                    text,
                    extra={"is_summary": True},
                )

    def _over(self, now: float) -> list[tuple[tuple[str, int, str], _Kind]]:
        """The kinds whose time is over, the oldest first; they begin anew."""
        over = []
        with self._lock:
            while self._kinds:
                key, kind = next(iter(self._kinds.items()))
                if now - kind.since < WINDOW_S and len(self._kinds) < MAX_KINDS:
                    break
                over.append((key, self._kinds.pop(key)))
        return over


def _as_json(_logger: WrappedLogger, _method: str, said: EventDict) -> str:
    head = {"time": said.pop("time"), "level": said.pop("level"), "logger": said.pop("logger")}
    return orjson.dumps({**head, "message": said.pop("event"), **said}).decode()


def _as_text(_logger: WrappedLogger, _method: str, said: EventDict) -> str:
    head = f"{said.pop('time')} {said.pop('level').upper()} {said.pop('logger')}: {said.pop('event')}"
    exception = said.pop("exception", None)
    ids = "".join(f" {name}={value}" for name, value in said.items())
    return f"{head}{ids}\n{exception}" if exception else f"{head}{ids}"


def _without_secrets(_logger: WrappedLogger, _method: str, said: EventDict) -> EventDict:
    return {name: scrubbed(str(value)) for name, value in said.items()}
