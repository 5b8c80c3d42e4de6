"""`hodei`: the root command, which loads a command's module only when it is called."""

import importlib

import click

from hodei.cli import program, show

COMMANDS = {
    "job": ("hodei.cli.job", "job", "Run, submit, follow and cancel jobs."),
    "worker": ("hodei.cli.worker", "worker", "List, show, drain and revoke workers; run one here."),
    "token": ("hodei.cli.token", "token", "Mint and revoke one-time tokens for workers."),
    "status": ("hodei.cli.status", "status", "Jobs, queue, workers and servers at a glance."),
    "dev": ("hodei.cli.dev", "dev", "A whole Hodei on this machine, in the foreground."),
    "server": ("hodei.cli.server", "server", "Run a server (as hodei-server)."),
    "db": ("hodei.cli.db", "db", "Apply and check the database's schema; maintain its tables."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and first line; imports one when it is used."""

    def __init__(
        self, *args: object, lazy: dict[str, tuple[str, str, str]], **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, name, _ = self._lazy[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, help_text) for name, (_, _, help_text) in self._lazy.items()]
            )


@click.command(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Example:
  hodei dev                                        # everything on this machine
  hodei job run --name hello --command "echo hello"
  hodei job list""",
)
@click.option(
    "--server",
    envvar=["HODEI_SERVER_ADDRESS", "HODEI_SERVER"],
    default="127.0.0.1:50051",
    show_default=True,
    metavar="HOST:PORT[,…]",
    help="Any server will do; the first that serves is used.",
)
@click.option(
    "-o",
    "--format",
    "output",
    envvar="HODEI_FORMAT",
    type=click.Choice(show.FORMATS),
    help="How commands print that know several: for people, or as one document.",
)
@click.option("--utc", envvar="HODEI_UTC", is_flag=True, help="Times in UTC, not in local time.")
@click.version_option(package_name="hodei", prog_name="hodei")
@click.pass_context
def cli(ctx: click.Context, server: str, output: str | None, utc: bool) -> None:
    """Run shell commands, scripts and programs on your workers, and watch them.

    Every flag can come from the environment: HODEI_ and the command's words, as
    HODEI_JOB_LIST_LIMIT=50."""
    ctx.obj = server
    ctx.meta[show.FORMAT_KEY] = output
    ctx.meta[show.UTC_KEY] = utc


def main() -> None:
    program.run(cli, "hodei", auto_envvar_prefix="HODEI")


if __name__ == "__main__":
    main()
