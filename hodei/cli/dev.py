"""`hodei dev`: everything on this machine, in the foreground; data is kept between runs."""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hodei.cli.database_url import database_url_options
from hodei.cli.errors import Lines

if TYPE_CHECKING:
    from hodei.local.stack import Stack

WORKER = "dev"
"""The name of the worker."""


def default_data_dir() -> str:
    if os.geteuid() == 0:
        return "/var/lib/hodei/dev"
    try:
        return str(Path.home() / ".local/state/hodei/dev")
    except RuntimeError:
        raise click.UsageError(
            "--data-dir: expected a folder, as this user has no home; give one"
        ) from None


@click.command(epilog="\b\nExample:\n  hodei dev --servers 2 --slots 8")
@click.option(
    "--data-dir",
    envvar="HODEI_DATA_DIR",
    default=default_data_dir,
    show_default="/var/lib/hodei/dev or ~/.local/state/hodei/dev",
    help="Folder for the database, the logs and the worker.",
)
@click.option(
    "--servers",
    envvar="HODEI_SERVERS",
    default=1,
    show_default=True,
    type=click.IntRange(1, 16),
    help="Number of servers.",
)
@click.option(
    "--port",
    envvar="HODEI_PORT",
    default=50051,
    show_default=True,
    type=click.IntRange(1, 65_520),
    help="Of the first server; the next ones follow it.",
)
@click.option(
    "--slots",
    envvar="HODEI_SLOTS",
    default=4,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Number of jobs that the worker runs at the same time.",
)
@database_url_options(
    ambient=False, about="Use this PostgreSQL, not an embedded one; DATABASE_URL alone is not used."
)
@click.option("--verbose", is_flag=True, help="Show all log lines, not only warnings.")
def dev(
    data_dir: str, servers: int, port: int, slots: int, database_url: str | None, verbose: bool
) -> None:
    """PostgreSQL, servers and a worker on loopback, until Ctrl-C."""
    from hodei.local.binaries import NoPostgres
    from hodei.local.embedded_postgres import CannotStart

    _StopRequest()
    data = _folder(data_dir)
    try:
        run(data, servers, port, slots, database_url, verbose=verbose)
    except (CannotStart, NoPostgres) as error:
        raise click.ClickException(Lines(error)) from error
    except _Stopped:
        click.echo("stopped", err=True)


def _folder(text: str) -> Path:
    """The whole path of a folder. UsageError: programs cannot be told of it, or it has a ~ that
    means nobody."""
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise click.UsageError(f"--data-dir: expected a user's home, got {text[:80]!r}") from None
    if not str(path).isprintable():
        raise click.UsageError(f"--data-dir: expected a path in UTF-8, got {text[:80]!r}")
    return path


class _Stopped(Exception):
    """A signal came."""


class _StopRequest:
    """Once it is made, Ctrl-C or SIGTERM raises _Stopped once; further signals do nothing, as the
    parts are ending already."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        if self._asked:
            return
        self._asked = True
        click.echo("\nstopping worker, servers, database …", err=True)
        raise _Stopped


def run(
    data: Path, servers: int, port: int, slots: int, database_url: str | None, *, verbose: bool
) -> None:
    """Starts everything and watches it until it ends. _Stopped: a signal came."""
    from hodei.local.stack import Stack

    with contextlib.ExitStack() as ends:
        psql = ""
        if database_url is None:
            database_url, psql = _start_postgres(ends, data)
        else:
            data.mkdir(parents=True, exist_ok=True)
        stack = ends.enter_context(Stack(data / "logs"))
        key = ("--secret-key-file", str(_secret_key(data)))
        addresses = [
            stack.server(f"server-{n + 1}", database_url, port + n, *key) for n in range(servers)
        ]
        _start_worker(stack, addresses, data / "worker", slots, database_url)
        click.echo(how_to_go_on(addresses, psql, data), err=True)
        _watch(stack, verbose=verbose)


def _secret_key(data: Path) -> Path:
    """Returns the file with the key that encrypts secrets; it is made when it is missing."""
    path = data / "secret-key"
    with contextlib.suppress(FileExistsError):
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w") as file:
            file.write(os.urandom(32).hex() + "\n")
    return path


def _start_postgres(ends: contextlib.ExitStack, data: Path) -> tuple[str, str]:
    """Starts PostgreSQL in a folder. Returns its URL, and a psql command without its password."""
    from hodei.local.embedded_postgres import EmbeddedPostgres
    from hodei.local.stack import forget_databases

    for name in forget_databases():
        click.echo(
            f"{name} is set and not used: another database than ours is taken by --database-url-file FILE",
            err=True,
        )
    click.echo(f"starting PostgreSQL in {data} …", err=True)
    embedded = ends.enter_context(EmbeddedPostgres(data))
    password = f"PGPASSWORD=$(cat {data}/password)"
    return embedded.dsn(), f"{password} psql -h 127.0.0.1 -p {embedded.port} -U postgres"


def _start_worker(
    stack: "Stack", addresses: list[str], state: Path, slots: int, database_url: str
) -> None:
    """Starts the worker, with a new token unless its kept identity is still known."""
    from hodei.local.stack import mint_token

    known = (state / "identity.json").exists() and _registered(database_url, state)
    token = None if known else mint_token(database_url)
    flags = ("--slots", str(slots), "--name", WORKER, "--drain-timeout", "2")
    stack.worker("worker", ",".join(addresses), state, token, *flags)


def _registered(database_url: str, state: Path) -> bool:
    """Returns whether the kept identity is still known: the database may be another one than last
    time."""
    import psycopg

    from hodei_worker.identity import load

    me = load(state)
    with psycopg.connect(
        database_url, application_name="hodei dev", client_encoding="UTF8"
    ) as conn:
        found = conn.execute(
            "SELECT FROM workers WHERE id = %s AND credential_sha256 = %s AND revoked_at IS NULL",
            (me.worker_id, me.secret_sha256),
        )
        return found.fetchone() is not None


def _own_name() -> str:
    """How a shell in this folder calls this program."""
    if named := os.environ.get("HODEI_PROGRAM"):  # bin/hodei of a checkout
        return named
    found = Path(sys.argv[0])
    is_known = found.name != "hodei" or shutil.which("hodei") == str(found)
    return "hodei" if is_known else str(found)


def how_to_go_on(addresses: list[str], psql: str, data: Path) -> str:
    """Returns what to do next, in words. The database's password is left out: what is printed stays
    on screens and in logs."""
    server = "" if addresses[0] == "127.0.0.1:50051" else f" --server {addresses[0]}"
    hodei = f"{shlex.quote(_own_name())}{server}"
    return f"""
Hodei is up: {len(addresses)} server{"s" if len(addresses) > 1 else ""} at {", ".join(addresses)}, one worker, {WORKER}.
In another terminal, in this folder:

  {hodei} job run --name hello --command "echo hello"
  {hodei} job list
  {hodei} worker get {WORKER}
  {hodei} status
  {psql}

Logs are in {data / "logs"}. Ctrl-C ends everything; the data stays.
"""


def _watch(stack: "Stack", *, verbose: bool) -> None:
    """Shows what the parts log (warnings and worse), until one of them ends by itself, which ends
    everything."""
    shown = {part.name: part.log.stat().st_size if not verbose else 0 for part in stack.parts}
    while (ended := stack.first_ended()) is None:
        for part in stack.parts:
            with part.log.open("rb") as file:
                file.seek(shown[part.name])
                news = file.read(1 << 20)
            shown[part.name] += len(news)
            for line in news.decode(errors="replace").splitlines():
                if verbose or any(
                    level in line for level in (" WARNING ", " ERROR ", " CRITICAL ")
                ):
                    click.echo(f"{part.name:<9} {line}", err=True)
        time.sleep(0.2)
    click.echo(
        f"{ended.name} ended by itself with code {ended.process.returncode}; {ended.log} ends:\n{ended.tail()}",
        err=True,
    )
    sys.exit(1)
