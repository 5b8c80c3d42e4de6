"""The command `hodei-worker`. A flag goes before the environment, and that before the default."""

import asyncio
import gc
import os
import pwd
import socket
import sys
from pathlib import Path
from typing import Any

import click

import hodei_worker
from hodei.protocol import grpc_lines, standard_streams
from hodei.tls.caller import Tls
from hodei_worker import identity, secret_file
from hodei_worker.config import BadSetting, Settings, addresses, labels, projects, seconds
from hodei_worker.container_flags import container_flags, container_options
from hodei_worker.flags import empty_refused, environment_shown, whole_numbers
from hodei_worker.on_demand import on_demand_options
from hodei_worker.registrar_key import VARIABLES, RegistrarKey, registrar_key
from hodei_worker.tls_flags import tls_options


def default_state_dir() -> str:
    if os.geteuid() == 0:
        return "/var/lib/hodei/worker"
    try:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    except RuntimeError:
        raise click.UsageError(
            "--state-dir: expected a folder, as this user has no home; give one"
        ) from None
    return str(base / "hodei/worker")


@empty_refused
@whole_numbers
@environment_shown
@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Example:
  HODEI_OTP_TOKEN=$(hodei token create) hodei-worker --server server-1:50051,server-2:50051 --slots 8 --label gpu=a100""",
)
@click.option(
    "--server",
    envvar=["HODEI_SERVER_ADDRESS", "HODEI_SERVER"],
    default="127.0.0.1:50051",
    show_default=True,
    metavar="HOST:PORT[,…]",
    help="Addresses of servers. The worker connects to one of them and tries the next if it fails."
    " https://HOST:PORT means TLS.",
)
@tls_options
@click.option(
    "--token",
    envvar=["HODEI_OTP_TOKEN", "HODEI_TOKEN"],
    help="One-time bootstrap token, needed only for the first start."
    " Visible to all users of this host when given here.",
)
@click.option(
    "--token-file",
    envvar=["HODEI_OTP_TOKEN_FILE", "HODEI_TOKEN_FILE"],
    metavar="FILE",
    help="File with the token. It is needed only for the first start.",
)
@click.option(
    "--api-key-file",
    envvar="HODEI_API_KEY_FILE",
    metavar="FILE",
    help="File with an API key of the role registrar. It registers a worker that has no token.",
)
@click.option(
    "--slots",
    envvar="HODEI_SLOTS",
    default=4,
    show_default=True,
    type=int,
    help="Number of jobs that run at the same time.",
)
@click.option(
    "--label",
    "label",
    envvar="HODEI_LABEL",
    multiple=True,
    metavar="K=V",
    help="Label that jobs can require, such as gpu=a100; repeatable.",
)
@click.option(
    "--project",
    "project",
    envvar="HODEI_PROJECT",
    multiple=True,
    metavar="PROJECT",
    help="Take jobs of this project only; repeatable. Without it, of all projects.",
)
@click.option(
    "--state-dir",
    envvar="HODEI_STATE_DIR",
    default=default_state_dir,
    show_default="/var/lib/hodei/worker or ~/.local/state/hodei/worker",
    help="Folder for the worker's identity, the jobs' folders and their output.",
)
@click.option(
    "--name",
    envvar="HODEI_NAME",
    default=socket.gethostname,
    show_default="host name",
    help="Name of this worker in lists.",
)
@click.option(
    "--job-user", envvar="HODEI_JOB_USER", help="Run jobs as this user. Only root can do so."
)
@click.option(
    "--log-limit",
    envvar="HODEI_LOG_LIMIT",
    default=100 << 20,
    show_default=True,
    help="Bytes to keep of each attempt's log; 0: no limit.",
)
@click.option(
    "--on-worker-exit",
    envvar="HODEI_ON_WORKER_EXIT",
    type=click.Choice(["keep", "kill"]),
    default="keep",
    show_default=True,
    help="What happens to running jobs when this process ends: the next one adopts them (keep),"
    " or they are stopped (kill).",
)
@click.option(
    "--on-disconnect",
    envvar="HODEI_ON_DISCONNECT",
    type=click.Choice(["keep", "stop"]),
    default="keep",
    show_default=True,
    help="What happens to running jobs when no server has answered for so long that servers call"
    " this worker lost: they go on (keep), or are stopped (stop).",
)
@click.option(
    "--drain-timeout",
    envvar="HODEI_DRAIN_TIMEOUT",
    default="30s",
    show_default=True,
    metavar="TIME",
    help="Time to wait for running jobs after SIGTERM, as 30, 90s or 2m.",
)
@click.option(
    "--log-level",
    envvar="HODEI_LOG_LEVEL",
    default="info",
    show_default=True,
    help="Least level to log. HODEI_LOG=info,hodei_worker.session=debug sets it for parts.",
)
@click.option(
    "--log-format",
    envvar="HODEI_LOG_FORMAT",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the log.",
)
@click.version_option(hodei_worker.__version__, prog_name="hodei-worker")
@container_options
@on_demand_options
@click.pass_context
def worker(
    context: click.Context,
    /,
    server: str,
    token: str | None,
    token_file: str | None,
    api_key_file: str | None,
    slots: int,
    label: tuple[str, ...],
    project: tuple[str, ...],
    state_dir: str,
    name: str,
    job_user: str | None,
    log_limit: int,
    on_worker_exit: str,
    on_disconnect: str,
    drain_timeout: str,
    log_level: str,
    log_format: str,
    tls: bool,
    tls_ca: str | None,
    tls_name: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    worker_id: str | None,
    max_jobs: int,
    **containers: Any,
) -> None:
    """Run jobs on this host for a hodei-server. The worker keeps its identity in the state folder
    and needs a token only for its first start."""
    from hodei_worker import log

    try:
        log.configure(log_level, log_format, os.environ.get("HODEI_LOG", ""), "")
        check_user(job_user)
        settings = Settings(
            addresses(server, tls=tls),
            token_of(context, Path(state_dir)),
            slots,
            labels(label),
            Path(state_dir).absolute(),
            name,
            job_user,
            log_limit,
            on_worker_exit,
            seconds(drain_timeout, "--drain-timeout"),
            on_disconnect,
            container_flags(containers),
            "process" in containers["executor"],
            Tls(tls_ca or None, tls_name or None, tls_cert or None, tls_key or None),
            projects(project),
            max_jobs,
            key=key_of(api_key_file, Path(state_dir)),
        )
        run(settings, log_level, log_format, worker_id)
    except (BadSetting, OSError, click.ClickException) as error:
        if log_format == "json":
            log.last_words(str(error), log_format)
            sys.exit(1 if isinstance(error, OSError) else 2)
        if isinstance(error, BadSetting):
            raise click.UsageError(str(error)) from error
        raise


def token_of(context: click.Context, state_dir: Path) -> str | None:
    """Returns the token, if there is one. A token file that does not exist is an error only for a
    worker without an identity, because only registration needs the token. Raises BadFile."""
    from loguru import logger

    try:
        return secret_file.value_of(context, "token")
    except secret_file.BadFile as error:
        if not identity.is_kept(state_dir):
            raise
        logger.info(
            "{}; no token is needed, because this worker has registered before", error.message
        )
        return None


def key_of(file: str | None, state_dir: Path) -> RegistrarKey | None:
    """Returns the API key, if there is one. Only registration needs it: a worker with an identity
    does not read it now. Raises BadSetting."""
    key = registrar_key(file, os.environ)
    if key and not identity.is_kept(state_dir):
        key.read()
    return key


def check_user(name: str | None) -> None:
    if name is None:
        return
    if os.geteuid() != 0:
        raise BadSetting("--job-user: only root can run jobs as another user")
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise BadSetting(f"--job-user: no user {name!r} on this host") from None


def run(settings: Settings, log_level: str, log_format: str, worker_id: str | None) -> None:
    # Before grpc is imported. This process never forks.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    grpc_lines.silence(also_asked_for=log_format == "json")
    from loguru import logger

    from hodei_worker import log, on_demand
    from hodei_worker.agent import Agent
    from hodei_worker.link import SupervisorGone
    from hodei_worker.registration import GiveUp

    identity.own(settings.state_dir)
    on_demand.begin(settings.state_dir, worker_id)
    me = identity.load(settings.state_dir)
    log.configure(log_level, log_format, os.environ.get("HODEI_LOG", ""), me.worker_id)
    if settings.token:
        named = os.environ.get("HODEI_OTP_TOKEN")
        logger.info("HODEI_OTP_TOKEN is set" if named else "a one-time token is given")
    tokens = ("HODEI_OTP_TOKEN", "HODEI_TOKEN", "HODEI_OTP_TOKEN_FILE", "HODEI_TOKEN_FILE")
    for name in (*tokens, *VARIABLES):
        os.environ.pop(name, None)

    gc.freeze()
    gc.set_threshold(20_000)  # jobs leave few cycles; the default cost a tenth of the time

    async def main() -> None:
        await Agent(settings, me).run()

    try:
        asyncio.run(main())
    except GiveUp as error:
        log.last_words(str(error), log_format, worker_id=me.worker_id)
        sys.exit(1)
    except SupervisorGone as error:
        logger.error("{}", error)
        sys.exit(1)


def main() -> None:
    from hodei_worker import before_log

    standard_streams.fill()
    words = sys.argv[1:]
    log_format = "json" if before_log.in_json(words, os.environ) else "text"
    before_log.run(worker, "hodei-worker", words, log_format=log_format)


if __name__ == "__main__":
    main()
