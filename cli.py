"""The `smartfin` command."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from errors import SmartFinError, StartError

if TYPE_CHECKING:
    from db.database import Database
    from db.importer import ImportedBars, ImportedSplits
    from settings import Mode, Settings

ROOT = Path(__file__).parent
INTERVALS = ("M1", "M5", "M15", "M30", "H1", "H4", "D1", "W1", "MN1")
SHOWN_SYMBOLS = 10


def main() -> None:
    """Run the command; what goes wrong is one line on stderr and exit code 1."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except SmartFinError as error:
        import logs

        click.echo(logs.scrubbed(f"smartfin: {error}"), err=True)
        sys.exit(1)


@click.group()
@click.version_option(package_name="smartfin", message="%(prog)s %(version)s")
def commands() -> None:
    """Market data behind one GraphQL endpoint.

    Settings are variables of the environment; the options of a command go before them.
    """


def _settings(**options: Any) -> "Settings":
    """The settings, with the options of the command line in the environment so that child processes see them too."""
    import logs
    from settings import Settings, load_settings

    for name, value in options.items():
        if value is not None:
            os.environ[str(Settings.model_fields[name].alias)] = str(value)
    try:
        settings = load_settings()
    except ValueError as error:
        raise StartError(str(error)) from None
    logs.hide(*settings.secrets)
    logs.configure(settings.log_level, settings.log_format)
    if settings.licences is not None:
        from sources.catalog import terms_by_tier

        terms_by_tier(settings)  # raises StartError
    return settings


@commands.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 if left out.")
@click.option("--port", type=int, help="Port to listen on; 8000 if left out, 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer; 1 if left out.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="The make-believe exchange, or real data.")
@click.option("--role", type=click.Choice(["all", "api"]), help="Answer, collect and do jobs, or answer only.")
def serve(**options: Any) -> None:
    """Serve GraphQL over HTTP and WebSocket."""
    settings = _settings(**options)
    listening = _listen(settings.host, settings.port)
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, lambda *_: sys.exit())  # uvicorn drains first, and then raises the signal again
    from db.embedded import servers
    from gateway import server

    with servers(settings):  # before and after every worker: a folder that will not do is told of once
        server.serve(settings, listening, settings.workers)


@commands.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="The make-believe exchange, or real data.")
def collect(**options: Any) -> None:
    """Bring ticks to servers that run with `--role api`.

    Several share the symbols, and take over those of one that dies.
    """
    settings = _settings(role="all", **options)
    from app import opened
    from gateway.running import Runner
    from schema.build import build_schema

    async def run() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
        async with opened(settings, build_schema(), Runner(settings)):
            click.echo(f"SmartFin collects (pid {os.getpid()}).")
            await told.wait()

    asyncio.run(run())


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise StartError(f"Cannot listen on {host}:{port}: {error}; choose another with --host and --port.") from None


@asynccontextmanager
async def _database(settings: "Settings", mode: "Mode") -> AsyncIterator["Database"]:
    """PostgreSQL alone: neither Redis nor the application, which takes a second to import."""
    from db.database import Database
    from db.embedded import servers

    with ExitStack() as stack:
        url = settings.database_dsn or stack.enter_context(servers(settings)).database_url
        database = Database(url, mode.value)
        try:
            yield database
        finally:
            await database.aclose()


@commands.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose tables.")
def migrate(**options: Any) -> None:
    """Bring the tables up to date.

    Safe while others do the same; `serve` and `import` do so by themselves.
    """
    settings = _settings(**options)

    async def run() -> None:
        from db.migrate import migrate

        async with _database(settings, settings.mode) as database:
            await migrate(database)

    asyncio.run(run())
    click.echo(f"The tables of {settings.mode} are up to date.")


@commands.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def postgres(program: tuple[str, ...], **options: Any) -> None:
    """Run a PROGRAM of PostgreSQL on the database, with its arguments: psql, pg_dump, pg_restore."""
    settings = _settings(**options)
    from db.embedded import postgresql_programs, servers
    from db.programs import environment

    name, *arguments = program
    path = os.environ.get("PATH", os.defpath)
    with suppress(StartError):  # there are none for this machine: then its own
        path = os.pathsep.join([str(postgresql_programs()), path])
    found = shutil.which(name, path=path)
    if found is None:
        raise StartError(f"There is no program {name!r}; PostgreSQL's are psql, pg_dump, pg_restore, ….")

    with ExitStack() as stack:
        url = settings.database_dsn or stack.enter_context(servers(settings)).database_url
        told = os.environ | environment(url)
        code = subprocess.run([found, *arguments], env=told, check=False).returncode  # noqa: S603 - what one typed
    sys.exit(code)


@commands.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose sources.")
def doctor(**options: Any) -> None:
    """Tell what works: PostgreSQL, its tables, Redis, the disk, sources, keys, quotas.

    It ends with 1 if something does not.
    """
    settings = _settings(**options)
    from jobs.doctor import Verdict, examine
    from opening import open_sources_alone

    async def run() -> bool:
        well = True
        async with open_sources_alone(settings) as opened:
            async for finding in examine(settings, *opened):
                well = well and finding.verdict is not Verdict.ILL
                click.echo(f"{finding.verdict:4}  {finding.what}: {finding.details}")
                if finding.query:
                    click.echo(f"        {finding.query}")
        return well

    click.echo(f"Mode: {settings.mode.value}")
    well = asyncio.run(run())
    click.echo("The queries are to paste into GraphiQL, while it serves; so is this one, of all sources:")
    click.echo("        { sources { name breaker successRate quotas { window limit used resetsAt } } }")
    if not well:
        sys.exit(1)


@commands.command()
@click.option("--user", "email", required=True, help="E-mail address of the user, who is made if there is none.")
@click.option("--tier", type=click.Choice(["registered", "vip", "admin"]), help="What the user may do from now on.")
@click.option("--expires", default="1h", show_default=True, help="How long it is good: 30m, 1h, 7d; 365d at most.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose users.")
def token(email: str, tier: str | None, expires: str, **options: Any) -> None:
    """Print an access token for a user, who is made if there is none."""
    from people import Tier, parse_email

    try:
        email = parse_email(email)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--user") from None
    lifetime = _lifetime(expires)
    settings = _settings(**options)
    from db.migrate import migrate
    from db.sealing import token_key
    from db.tokens import AccessTokens
    from db.users import UserStore

    async def run() -> str:
        async with _database(settings, settings.mode) as database:
            await migrate(database)
            users = UserStore(database)
            account, is_new = await users.enter(email, Tier[(tier or "registered").upper()])
            if is_new:
                click.echo(f"{account.email} is a new user of {settings.mode}, {account.tier}.", err=True)
            elif tier and account.tier is not Tier[tier.upper()]:
                await users.set_tier(account.id, Tier[tier.upper()])
                click.echo(f"{account.email} was {account.tier}, and is {tier.upper()} now.", err=True)
            if not account.is_active:
                raise StartError(f"{account.email} is barred (users.is_active); a token would not be taken.")
            return AccessTokens(token_key(settings), settings.mode).signed(account.id, lifetime).text

    click.echo(asyncio.run(run()))


def _lifetime(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    found = re.fullmatch(r"(\d{1,8})([smhd])", text)
    lifetime = timedelta(**{units[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < lifetime <= timedelta(days=365):
        raise click.BadParameter(f"{text!r} is no time such as 30m, 1h or 7d, 365d at most", param_hint="--expires")
    return lifetime


@commands.command()
@click.argument("manifest", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Where they are served.")
def documents(manifest: Path, **options: Any) -> None:
    """Publish the GraphQL documents of FILE.

    It is a JSON object of texts by id; clients then ask by `documentId`.
    """
    settings = _settings(**options)
    from db.documents import DocumentStore
    from db.embedded import servers
    from db.redis import Keys, connect
    from gateway.documents import Documents
    from gateway.manifest import publish
    from schema.build import build_schema

    async def run(redis_url: str) -> int:
        async with connect(redis_url) as redis:
            store = DocumentStore(redis, Keys(settings.mode))
            return await publish(manifest, Documents(build_schema(), settings, store), store)

    with servers(settings) as urls:
        count = asyncio.run(run(urls.redis_url))
    click.echo(f"{count} documents of {manifest.name} are served in {settings.mode} mode.")


@commands.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", help="The symbol of every row, where the file does not name it.")
@click.option("--interval", type=click.Choice(INTERVALS), default="D1", show_default=True, help="Length of the bars.")
@click.option("--splits", type=click.Path(path_type=Path), help="CSV of splits: symbol, date, numerator, denominator.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
def import_(file: Path, symbol: str | None, interval: str, splits: Path | None, **options: Any) -> None:
    """Take in RAW bars from a CSV or Parquet FILE.

    They are served in live mode. A bad row is told with its line and its reason, and stops nothing else.
    """
    settings = _settings(**options)
    from db.archive import Archive
    from db.importer import ImportedBars, ImportedSplits, import_bars, import_splits
    from db.migrate import migrate
    from db.partitions import Partitions
    from market import Interval
    from settings import Mode

    async def run() -> tuple[ImportedBars, ImportedSplits | None]:
        async with _database(settings, Mode.LIVE) as database:
            await migrate(database)
            archive = Archive(database, settings.archive_url)
            with click.progressbar(length=1, label=f"Importing {file.name}", file=sys.stderr) as bar:

                def report(done: int, total: int | None) -> None:
                    bar.length = total or done
                    bar.update(done - bar.pos)

                bars = await import_bars(
                    database,
                    Partitions(database),
                    file,
                    interval=Interval(interval),
                    symbol=symbol,
                    archive=archive,
                    report=report,
                )
            return bars, await import_splits(database, splits, symbol=symbol, archive=archive) if splits else None

    bars, taken = asyncio.run(run())
    _tell(file, "bars", bars)
    if bars.first and bars.last:
        named = ", ".join(bars.symbols[:SHOWN_SYMBOLS]) + (", …" if len(bars.symbols) > SHOWN_SYMBOLS else "")
        click.echo(f"  {named}: {bars.first:%Y-%m-%d} to {bars.last:%Y-%m-%d}")
    if taken and splits:
        _tell(splits, "splits", taken)


def _tell(file: Path, what: str, result: "ImportedBars | ImportedSplits") -> None:
    for rejected in result.rejected:
        click.echo(f"{file}:{rejected.line}: {rejected.reason}", err=True)
    click.echo(
        f"{file.name}: {result.rows} {what}, {result.changed} changed, {result.unchanged} unchanged,"
        f" {len(result.rejected)} rejected."
    )


@commands.command()
@click.option("--before", type=click.DateTime(["%Y-%m"]), help="Months that lie before this one: 2015-01.")
@click.option("--restore", is_flag=True, help="Bring back, all that is archived or what lies before --before.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose bars.")
def archive(*, before: datetime | None, restore: bool, **options: Any) -> None:
    """Move months of bars to Parquet files, or bring them back.

    Where SMARTFIN_ARCHIVE_URL says; archived months answer the same queries.
    """
    if before is None and not restore:
        raise click.UsageError("Name the months with --before YYYY-MM, or bring all back with --restore.")
    if before is not None and before > datetime.now(UTC).replace(tzinfo=None):
        raise click.BadParameter("the months are not over", param_hint="--before")
    settings = _settings(**options)
    from db.archive import Archive
    from db.migrate import migrate

    async def run() -> None:
        async with _database(settings, settings.mode) as database:
            await migrate(database)
            archive = Archive(database, settings.archive_url)
            month = before.date() if before else None
            if restore:
                moves = archive.restore(month)
            else:
                assert month is not None
                moves = archive.move(month)
            count = 0
            async for moved in moves:
                count += 1
                click.echo(f"{moved.month:%Y-%m}: {moved.bars} bars, {', '.join(moved.files)}")
        click.echo(f"Months {'brought back' if restore else 'archived'}: {count}.")

    asyncio.run(run())


@commands.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose jobs.")
def work(**options: Any) -> None:
    """Do jobs until told to end.

    Backfills, the bars of closed sessions, the nightly review, the messages of alerts; `serve` does them too, unless
    it runs with `--role api`.
    """
    settings = _settings(**options)
    from opening import working

    async def run() -> None:
        ended = asyncio.Event()
        for told in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, ended.set)
        async with working(settings):
            click.echo(f"Doing the jobs of {settings.mode}.")
            await ended.wait()

    asyncio.run(run())


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
@click.option("--mode", type=click.Choice(["sandbox", "live"]), help="Whose jobs.")
def jobs(*, as_json: bool, **options: Any) -> None:
    """List the jobs: what runs, what waits, what failed and why."""
    settings = _settings(**options)
    import orjson

    import logs
    from db.embedded import servers
    from db.jobs import JobQueue, JobReport
    from db.redis import Keys, connect

    async def run(redis_url: str) -> list[JobReport]:
        async with connect(redis_url) as redis:
            return await JobQueue(redis, Keys(settings.mode)).all()

    with servers(settings) as urls:
        found = asyncio.run(run(urls.redis_url))
    if as_json:
        click.echo(logs.scrubbed(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()))
        return
    for job in found:
        line = f"{job.state:<9}  {job.at:%FT%TZ}  {job.percent:5.1f} %  {job.name:<16}  {job.id}"
        click.echo(logs.scrubbed(f"{line}  {job.error}" if job.error else line))
    if not found:
        click.echo(f"No jobs in {settings.mode} mode.")


@commands.command()
@click.argument("symbols", nargs=-1, required=True)
@click.option("--interval", type=click.Choice(INTERVALS), default="D1", show_default=True, help="Length of the bars.")
@click.option("--from", "start", type=click.DateTime(), required=True, help="Earliest bar, in UTC.")
@click.option("--to", "end", type=click.DateTime(), help="End, exclusive, in UTC; now if left out.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the servers that SmartFin runs itself.")
def backfill(symbols: tuple[str, ...], interval: str, start: datetime, end: datetime | None, **options: Any) -> None:
    """Fetch the bars of SYMBOLS that the live store lacks.

    Stopped and begun again, it goes on where it was.
    """
    settings = _settings(mode="live", **options)
    from jobs.backfill import Progress, backfill
    from market import Interval, Window, parse_symbol
    from opening import open_supply

    try:
        wanted = [parse_symbol(symbol) for symbol in symbols]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="SYMBOLS") from None
    window = Window(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC) if end else datetime.now(UTC))
    if window.start >= window.end:
        raise click.BadParameter("--from is not before --to")

    async def run() -> Progress:
        async with open_supply(settings) as opened:
            with click.progressbar(length=1, label="Fetching", file=sys.stderr, show_eta=True) as bar:

                async def tell(progress: Progress) -> None:
                    bar.length = max(progress.total, 1)
                    bar.label = f"{progress.bars} bars"
                    bar.update((progress.done if progress.total else 1) - bar.pos)

                return await backfill(opened.bars, opened.supply, wanted, Interval(interval), window, tell)

    done = asyncio.run(run())
    for failure in done.failures:
        click.echo(failure, err=True)
    click.echo(f"{done.bars} bars fetched, {done.changed} changed.")
    if done.failures:
        sys.exit(1)


@commands.command()
@click.option("--check", is_flag=True, help="Fail if schema.graphql is not what the code gives.")
@click.option("--write", is_flag=True, help="Write schema.graphql.")
def schema(*, check: bool, write: bool) -> None:
    """Print the GraphQL schema."""
    from schema.build import build_schema

    sdl = build_schema().as_str() + "\n"
    committed = ROOT / "schema.graphql"
    if write:
        committed.write_text(sdl, encoding="utf-8")
    elif not check:
        click.echo(sdl, nl=False)
    elif not committed.exists() or committed.read_text(encoding="utf-8") != sdl:
        raise StartError("schema.graphql is not what the code gives; run: smartfin schema --write")
