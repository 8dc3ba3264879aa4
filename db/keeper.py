"""The process that runs PostgreSQL and Valkey in one data folder for as long as anybody uses them.

`db/embedded.py` starts this file as a program, detached, and hands the lock of the folder down to it. A user is a
connection to its socket, so the kernel says when one has gone, however it went. It has one thread, as Linux sends a
server the signal of its parent's death when the *thread* that started it ends, and imports only the standard library
and psutil, so that it stands in a tenth of a second.
"""

import contextlib
import ctypes
import os
import pwd
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import psutil

RUN: Final = "run"
"""The private folder of the sockets, or a link to one where its own path would not do."""
SOCKET: Final = "keeper.sock"
READY: Final = b"ready\n"
"""The line that a user is told once both servers answer; any other says why they do not."""
TOLD_TO_END: Final = b"told to end\n"
"""The line that its users are told where somebody ends the keeper; one that is killed says nothing."""
LOG: Final = "keeper.log"

_START_S: Final = 30.0
_STOP_S: Final = 20.0
_LOOK_S: Final = 1.0
_RETRY_S: Final = 5.0
_LOG_BYTES: Final = 1_000_000
_ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC"}  # and nothing of the caller's: no LANG, PGPORT, PGTZ
_PR_SET_PDEATHSIG: Final = 1


class Failure(Exception):
    """A server cannot run; the message is what its user is told."""


def open_log(path: Path) -> BinaryIO:
    """The log, opened for appending; one that has grown over 1 MB is first set aside as `.1`."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def last_lines(output: bytes) -> str:
    """The last five lines of what a program wrote, on one line."""
    return " | ".join(output.decode(errors="replace").strip().splitlines()[-5:]) or "nothing"


def _read(path: Path) -> str:
    """What a server's file says; nothing where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def _spawn(
    command: list[str],
    folder: Path,
    output: BinaryIO | int,
    death_signal: signal.Signals,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a server's program; it gets the signal if this process dies, where the system can do that (Linux).

    PostgreSQL refuses to run as root, so root becomes nobody. The one capability that is kept lets nobody reach its
    own folder below folders that only root may enter: none has to be opened to others. A change of user forgets the
    signal, so setpriv sets it last.
    """
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise Failure(
                "PostgreSQL does not run as root, and the command setpriv of util-linux, which runs it as nobody, is "
                "missing: start SmartFin as an ordinary user, install util-linux, or set DATABASE_URL and REDIS_URL"
            )
        nobody = pwd.getpwnam("nobody")
        account = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        reach = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        command = [setpriv, *account, *reach, f"--pdeathsig={death_signal.name.removeprefix('SIG')}", *command]

    def die_with_keeper() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)

    return subprocess.Popen(  # noqa: S603 - the programs of our own packages
        command,
        cwd=folder,
        env=_ENVIRONMENT,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_keeper,  # noqa: PLW1509 - safe, as this process has one thread
    )


def _hand_over(folder: Path) -> None:
    """Give a folder to the account that the servers run as."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def _working_in(folder: Path) -> list[psutil.Process]:
    """The processes that have this folder as their own, each with its `info["name"]`."""
    return [process for process in psutil.process_iter(["name", "cwd"]) if process.info["cwd"] == str(folder)]


@dataclass
class Server:
    """One server, at work in its folder. `variable` is the setting that names one of the user's own instead."""

    name: str
    variable: str
    command: list[str]
    folder: Path
    pid_file: Path
    socket_path: Path
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)
    _retry_at: float = field(default=0, init=False)

    @property
    def log_file(self) -> Path:
        """Its log, beside its folder."""
        return self.folder.with_suffix(".log")

    def launch(self) -> None:
        """Start the process, once what a dead one left is cleared away."""
        self._clear()
        with open_log(self.log_file) as log:
            self._log_start = log.tell()
            self._process = _spawn(self.command, self.folder, log, self.stop_signal)

    def wait_until_it_answers(self) -> None:
        """Return when it takes commands; raises Failure, with the last lines of its log, if it does not."""
        assert self._process
        deadline = time.monotonic() + _START_S
        while not self.answers():
            if self._process.poll() is not None:
                raise self._failure(f"ended with status {self._process.returncode} as it started")
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"did not answer within {_START_S:g} s")
            time.sleep(0.01)

    def revive(self) -> None:
        """Start it again if it has died, at most once in 5 s."""
        if self._process and self._process.poll() is not None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + _RETRY_S
            _say(f"{self.name} died (status {self._process.returncode}) and is started again")
            try:
                self.launch()
                self.wait_until_it_answers()
            except (Failure, OSError) as error:
                _say(str(error))

    def stop(self) -> None:
        """Stop it cleanly, or after 20 s by force."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                _say(f"{self.name} did not stop within {_STOP_S:g} s and is killed")
                self._process.kill()
                self._process.wait()

    def _clear(self) -> None:
        """Stop what a killed keeper left running here, and remove its pid file and sockets.

        The pid in the file may be somebody else's by now, and PostgreSQL would refuse to start beside it: a process
        is only ours if it has the name of our program and works in our folder.
        """
        if pid := _read(self.pid_file).partition("\n")[0]:
            deadline = time.monotonic() + _STOP_S
            for stray in self._strays():
                if str(stray.pid) == pid:
                    _say(f"{self.name} of a keeper that was killed still runs, as {pid}, and is stopped")
                    with contextlib.suppress(psutil.Error):
                        stray.send_signal(self.stop_signal)
            while strays := self._strays():
                for stray in strays if time.monotonic() > deadline else ():
                    with contextlib.suppress(psutil.Error):
                        stray.kill()
                time.sleep(0.05)
        for left in (self.pid_file, self.socket_path, self.socket_path.with_name(f"{self.socket_path.name}.lock")):
            left.unlink(missing_ok=True)

    def _strays(self) -> list[psutil.Process]:
        name = Path(self.command[0]).name
        return [process for process in _working_in(self.folder) if process.info["name"] == name]

    def _failure(self, what: str) -> Failure:
        said = last_lines(self.log_file.read_bytes()[self._log_start :])
        return Failure(
            f"{self.name} {what}; {self.log_file} ends: {said}. "
            f"Mend that, or set {self.variable} to a server of your own"
        )


def _postgres(data_dir: Path, run: Path, programs: Path) -> Server:
    """PostgreSQL, with its cluster made where there is none; one that is not whole never has its name."""
    folder = data_dir / "postgres"
    if not folder.exists():
        fresh = data_dir / "postgres.new"
        _remove(fresh)
        fresh.mkdir(mode=0o700)
        try:
            _make_cluster(fresh, programs)
            fresh.rename(folder)
        finally:
            _remove(fresh)
    settings = {
        "listen_addresses": "",
        "port": "5432",  # names the socket
        "unix_socket_directories": str(run),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "max_locks_per_transaction": "512",  # a query of all history locks the partition of every month
        "log_checkpoints": "off",  # one every five minutes would be most of the log
    }
    pid_file = folder / "postmaster.pid"

    def answers() -> bool:  # the last word in the file is the state, for which pg_ctl waits too
        return _read(pid_file).split()[-1:] == ["ready"]

    return Server(
        name="PostgreSQL",
        variable="DATABASE_URL",
        command=[f"{programs}/postgres", "-D", str(folder), *(f"--{name}={value}" for name, value in settings.items())],
        folder=folder,
        pid_file=pid_file,
        socket_path=run / ".s.PGSQL.5432",
        stop_signal=signal.SIGINT,  # fast: clients are sent away, then all is written
        answers=answers,
    )


def _remove(half: Path) -> None:
    """Remove a folder that may be there, once what a killed keeper left at work in it has ended."""
    while strays := _working_in(half):
        for stray in strays:
            with contextlib.suppress(psutil.Error):
                stray.kill()
        time.sleep(0.05)
    if half.exists():
        shutil.rmtree(half)


def _make_cluster(folder: Path, programs: Path) -> None:
    """Make a cluster in an empty folder, with superuser and database `smartfin`; a Failure says what initdb said."""
    _hand_over(folder)
    store = ["--username=smartfin", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    initdb = [f"{programs}/initdb", "-D", str(folder), *store]
    single = [f"{programs}/postgres", "--single", "-D", str(folder), "-c", "exit_on_error=on", "template1"]
    for command, commands in ((initdb, b""), (single, b"CREATE DATABASE smartfin\n")):
        process = _spawn(command, folder, subprocess.PIPE, signal.SIGTERM, stdin=subprocess.PIPE)
        said, _ = process.communicate(commands)
        if process.returncode:
            raise Failure(
                f"PostgreSQL could not make its cluster in {folder.parent}: {last_lines(said)}. "
                "Mend that, name another folder in SMARTFIN_DATA_DIR, or set DATABASE_URL and REDIS_URL"
            )


def _valkey(data_dir: Path, run: Path, program: Path) -> Server:
    """Valkey, as a cache and a bus: a snapshot now and then, and one as it stops, are enough."""
    folder = data_dir / "valkey"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        _hand_over(folder)
    socket_path = run / "valkey.sock"
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "pidfile": "valkey.pid",
        "set-proc-title": "no",
        "save": "300 1",
        "shutdown-on-sigterm": "save force",
        "stop-writes-on-bgsave-error": "no",  # a full disk must not stop a cache
        # Under memory pressure only keys that expire may go, the longest unused first: those are the caches. Leases and
        # counters expire too, but are touched all the time. The queue of jobs, which never expires, must not go
        # (allkeys-lru would take it), and full caches must not make new jobs fail (noeviction would).
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
    }

    def answers() -> bool:  # not while it still loads its snapshot
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        return False

    return Server(
        name="Valkey",
        variable="REDIS_URL",
        command=[str(program), *(word for name, value in settings.items() for word in (f"--{name}", *value.split()))],
        folder=folder,
        pid_file=folder / "valkey.pid",
        socket_path=socket_path,
        stop_signal=signal.SIGTERM,
        answers=answers,
    )


def _make_run(data_dir: Path) -> Path:
    """A fresh private folder for the sockets.

    A socket's path may have some 100 bytes, and PostgreSQL and URLs give commas and the like a meaning: where the data
    folder's path is not short and plain, `run` is a link to a folder in /tmp (TMPDIR may be as long).
    """
    run = data_dir / RUN
    earlier = run.resolve() if run.is_symlink() else None
    _remove_run(data_dir)
    longest = os.fsencode(run / ".s.PGSQL.5432")
    if len(longest) <= 100 and re.fullmatch(rb"[A-Za-z0-9/._-]+", longest):
        run.mkdir(mode=0o700)
        return run
    private = None
    if earlier is not None and earlier.name.startswith("smartfin-"):
        # That of a keeper that was killed, whose users know it by this name.
        with contextlib.suppress(OSError):
            earlier.mkdir(mode=0o700)
            private = earlier
    private = private or Path(tempfile.mkdtemp(prefix="smartfin-", dir="/tmp"))
    run.symlink_to(private)
    return private


def _remove_run(data_dir: Path) -> None:
    run = data_dir / RUN
    shutil.rmtree(run.resolve(), ignore_errors=True)
    if run.is_symlink():
        run.unlink()


def _serve(run: Path, first: socket.socket, servers: list[Server]) -> list[socket.socket]:
    """Tell each user that comes that all is ready; when all have gone, return those that wait for the end."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        users = set[socket.socket]()
        leaving = list[socket.socket]()

        def welcome(user: socket.socket) -> None:
            with contextlib.suppress(OSError):  # it has gone already: its connection reads as ended, too
                user.sendall(READY)
            selector.register(user, selectors.EVENT_READ, data=user)
            users.add(user)

        listener.bind(str(run / SOCKET))
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        welcome(first)
        try:
            while users:
                events = selector.select(_LOOK_S)
                for server in servers:
                    server.revive()
                for key, _ in events:
                    if key.fileobj is listener:
                        welcome(listener.accept()[0])
                    else:  # a user never writes, so this is its end
                        selector.unregister(key.data)
                        users.remove(key.data)
                        leaving.append(key.data)
                while users and leaving:
                    leaving.pop().close()
        except SystemExit:
            for user in users:
                with contextlib.suppress(OSError):
                    user.sendall(TOLD_TO_END)
            raise
        return leaving


def main(data_dir: Path, postgres_programs: Path, valkey_program: Path) -> None:
    """Run the servers until the last user has gone; the first user is standard input."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    first = socket.socket(fileno=sys.stdin.fileno())
    servers: list[Server] = []
    try:
        run = _make_run(data_dir)
        servers = [_postgres(data_dir, run, postgres_programs), _valkey(data_dir, run, valkey_program)]
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_it_answers()
        _leaving = _serve(run, first, servers)  # stay open until this process ends, which is what they wait for
    except (Failure, OSError) as error:
        failure = error if isinstance(error, Failure) else f"{data_dir} cannot be used: {error}; mend that"
        _say(str(failure))
        with contextlib.suppress(OSError):
            first.sendall(f"{failure}\n".encode(errors="backslashreplace"))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for server in servers:
            server.stop()
        _remove_run(data_dir)


if __name__ == "__main__":
    if os.fork():  # its parent would have to bury it; so it has none
        os._exit(0)
    main(*map(Path, sys.argv[1:]))
