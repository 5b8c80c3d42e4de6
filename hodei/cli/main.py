"""`hodei`: the root command."""

import sys

import click

from hodei.cli import global_flags, program
from hodei.cli.exit_codes import HODEI_FAILED
from hodei.cli.groups import Group, Lazy

COMMANDS = {
    "job": Lazy("hodei.cli.job", "job", "Run, submit, follow and cancel jobs."),
    "worker": Lazy(
        "hodei.cli.worker", "worker", "List, show, drain and revoke workers; run one here."
    ),
    "token": Lazy("hodei.cli.token", "token", "Mint and revoke one-time tokens for workers."),
    "provider": Lazy("hodei.cli.provider", "provider", "Where servers make workers on demand."),
    "login": Lazy("hodei.cli.login", "login", "Keep a server, its CA and an API key in a context."),
    "context": Lazy("hodei.cli.login", "context", "List, choose and remove contexts."),
    "apikey": Lazy("hodei.cli.apikey", "apikey", "Create, list and revoke API keys."),
    "project": Lazy(
        "hodei.cli.project", "project", "List projects; grant them to roles of the database."
    ),
    "secret": Lazy("hodei.cli.secret", "secret", "Keep values that jobs are given."),
    "audit": Lazy(
        "hodei.cli.audit", "audit", "Who did what: keys, tokens, workers, refused calls."
    ),
    "status": Lazy("hodei.cli.status", "status", "Jobs, queue, workers and servers at a glance."),
    "dev": Lazy("hodei.cli.dev", "dev", "A whole Hodei on this machine, in the foreground."),
    "server": Lazy("hodei.cli.server", "server", "Run a server (as hodei-server)."),
    "tls": Lazy("hodei.cli.tls", "tls", "Make a CA and certificates."),
    "db": Lazy("hodei.cli.db", "db", "Apply and check the database's schema; maintain its tables."),
    "completion": Lazy("hodei.cli.completion", "completion", "Completion for bash, zsh and fish."),
    "help": Lazy("hodei.cli.help", "help_command", "Show the help of a command."),
}

EXAMPLE = """\b
Example:
  hodei dev                                        # everything on this machine
  hodei job run --name hello --command "echo hello"
  hodei job list"""


@click.command(
    cls=Group,
    lazy=COMMANDS,
    params=list[click.Parameter](global_flags.of_root()),
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=EXAMPLE,
)
def cli() -> None:
    """Run shell commands, scripts and programs on your workers, and watch them.

    --server, --utc, --version and --help may also stand after the command, and --format after those
    that have it. Every flag can come from the environment, by the name that the help shows."""


def main() -> None:
    if sys.argv[1:2] == ["server"]:
        from hodei.cli import server

        server.run_in_json(sys.argv[2:], "hodei server")
    program.run(cli, "hodei", failed=HODEI_FAILED, tracebacks=False)


if __name__ == "__main__":
    main()
