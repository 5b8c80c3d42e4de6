"""`hodei-server`, also as `hodei server`."""

import os
import sys
from collections.abc import Sequence

import click

import hodei
from hodei.cli import program
from hodei.cli.database_url import VISIBLE, check_url, database_url_options, needed
from hodei.cli.errors import message_of
from hodei.domain.timing import LOST_AFTER_S
from hodei.protocol import grpc_lines, standard_streams
from hodei_worker import secret_file
from hodei_worker.flags import empty_refused, environment_shown, whole_numbers


@empty_refused
@whole_numbers
@environment_shown
@click.command(
    "server",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Example:
  HODEI_DATABASE_URL_FILE=/etc/hodei/database-url hodei-server --grpc 127.0.0.1:50051""",
)
@database_url_options(check=False)
@click.option(
    "--listen-url",
    envvar="HODEI_LISTEN_URL",
    help=f"For LISTEN, past a transaction pooler. {VISIBLE}",
    show_default="the database's own",
)
@click.option(
    "--listen-url-file",
    envvar="HODEI_LISTEN_URL_FILE",
    metavar="FILE",
    help="A file with that URL.",
)
@click.option(
    "--grpc",
    "grpc_addresses",
    envvar="HODEI_GRPC",
    multiple=True,
    default=["127.0.0.1:50051"],
    show_default=True,
    metavar="HOST:PORT[,client-ca=FILE]",
    help="An address to listen at; port 0 takes a free one. Repeatable. With client-ca every caller of"
    " this address must show a certificate of a CA in FILE.",
)
@click.option(
    "--tls-cert",
    envvar="HODEI_TLS_CERT",
    metavar="FILE",
    help="Certificate in PEM: with it every address has TLS. A replaced file is noticed.",
)
@click.option(
    "--tls-key",
    envvar="HODEI_TLS_KEY",
    metavar="FILE",
    help="The private key of that certificate, without a passphrase.",
)
@click.option(
    "--insecure",
    envvar="HODEI_INSECURE",
    is_flag=True,
    help="Allow plain text beyond loopback.",
)
@click.option(
    "--loopback-role",
    envvar="HODEI_LOOPBACK_ROLE",
    metavar="ROLE",
    help="Role of calls from this host without a key, where --grpc is a loopback address: none, "
    "viewer, submitter, operator or admin. Otherwise admin until the first key is made.",
)
@click.option(
    "--anonymous-role",
    envvar="HODEI_ANONYMOUS_ROLE",
    default="none",
    show_default=True,
    metavar="ROLE",
    help="Role of all other calls without a key, while keys are handed out.",
)
@click.option(
    "--prepare/--no-prepare",
    envvar="HODEI_PREPARE",
    default=True,
    help="Prepared statements (off for old poolers).",
)
@click.option(
    "--lost-after",
    envvar="HODEI_LOST_AFTER",
    default=f"{LOST_AFTER_S:g}s",
    show_default=True,
    metavar="TIME",
    help="Time without a heartbeat after which a worker is lost, as 60, 90s or 2m.",
)
@click.option(
    "--keep-days",
    envvar="HODEI_KEEP_DAYS",
    default=30,
    show_default=True,
    help="Days to keep final jobs, events and logs; 0 keeps them for ever.",
)
@click.option(
    "--advertise",
    envvar="HODEI_ADVERTISE",
    default="",
    metavar="HOST:PORT[,…]",
    help="Addresses of servers that workers on demand connect to.",
)
@click.option(
    "--secret-key-file",
    "secret_key_files",
    envvar="HODEI_SECRET_KEY_FILE",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="A key of secrets: 32 bytes or 64 hex digits. The first encrypts; repeatable.",
)
@click.option(
    "--log-level",
    envvar="HODEI_LOG_LEVEL",
    default="info",
    show_default=True,
    help="Least level to log. HODEI_LOG=info,hodei.flow=debug sets it for parts.",
)
@click.option(
    "--log-format",
    envvar="HODEI_LOG_FORMAT",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the log.",
)
@click.version_option(hodei.__version__, prog_name="hodei-server")
@click.pass_context
def server(
    context: click.Context,
    database_url: str | None,
    listen_url: str | None,
    listen_url_file: str | None,
    grpc_addresses: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    insecure: bool,
    loopback_role: str | None,
    anonymous_role: str,
    prepare: bool,
    lost_after: str,
    keep_days: int,
    advertise: str,
    secret_key_files: tuple[str, ...],
    log_level: str,
    log_format: str,
) -> None:
    """Claims jobs, sends them to workers, stores what they report. Any number may run on one
    database."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from hodei import log
    from hodei.config import Settings, listener, seconds
    from hodei.domain.errors import HodeiError, Invalid
    from hodei.domain.provider_keys import addresses

    url = needed(database_url)
    try:
        log.configure(log_level, log_format, os.environ.get("HODEI_LOG", ""))
        settings = Settings(
            database_url=url,
            listen_url=secret_file.value_of(context, "listen_url") or url,
            listeners=tuple(map(listener, grpc_addresses)),
            tls_cert=tls_cert or None,
            tls_key=tls_key or None,
            insecure=insecure,
            loopback_role=loopback_role or None,
            anonymous_role=anonymous_role,
            prepare=prepare,
            lost_after_s=seconds(lost_after, "--lost-after"),
            keep_days=keep_days,
            advertise=addresses(advertise, "--advertise"),
            secret_key_files=secret_key_files,
        )
        check_url(context, "database_url", settings.database_url)
        if settings.listen_url != settings.database_url:
            check_url(context, "listen_url", settings.listen_url)
        from hodei.server import run

        run(settings)
    except Invalid as error:
        if log_format == "text":
            raise click.UsageError(str(error)) from error
        log.last_words(str(error), log_format)
        sys.exit(2)
    except HodeiError as error:
        log.last_words(str(error), log_format)
        sys.exit(1)
    except OSError as error:
        if log_format == "text":
            raise
        log.last_words(str(error), log_format)
        sys.exit(1)


def run_in_json(words: Sequence[str], name: str) -> None:
    """Runs a server of which every line is JSON, also before its log is set up; returns if that is
    not asked for."""
    from hodei_worker import before_log  # loguru, which `hodei server --help` need not load

    if before_log.in_json(words, os.environ):
        standard_streams.fill()
        grpc_lines.silence(also_asked_for=True)
        before_log.run(server, name, words, log_format="json", message_of=message_of)


def main() -> None:
    run_in_json(sys.argv[1:], "hodei-server")
    program.run(server, "hodei-server")


if __name__ == "__main__":
    main()
