"""`bin/demo`: starts everything, runs the jobs of examples/, shows what became of them, and ends
all that it started."""

import contextlib
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

import hodei
from hodei.cli import program
from hodei.cli.database_url import database_url_options
from hodei.domain.job import JobState
from hodei.local import engine, own_python
from hodei.local.binaries import NoPostgres
from hodei.local.embedded_postgres import CannotStart, EmbeddedPostgres
from hodei.local.stack import Stack, forget_databases, inherited, mint_token

TREE = Path(__file__).parents[2]
EXAMPLES = TREE / "examples"
LINES = 100_000

GROWS_S = 1.0
"""Seconds between the first and the last line of the growing log, at least: it takes 2.1 s."""

WORKERS = ("alpha", "beta")


class WentWrong(Exception):
    """What was expected, and what came."""


class Demo:
    """The tour, each command as a user types it in this tree while a Hodei runs."""

    def __init__(self, address: str, folder: Path) -> None:
        """`folder`: gets the program that scripts call, which is that of this interpreter."""
        program = folder / "hodei"
        argv = shlex.join(own_python.command("hodei.cli.main"))
        program.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
        program.chmod(0o755)
        self._environment = {
            **inherited(),
            **own_python.environment(),
            "HODEI_SERVER_ADDRESS": address,
            "HODEI": str(program),
        }

    def run(self, image: str | None) -> None:
        """`image`: that of a job in a container; None: no worker runs containers."""
        heading("1. Real work on real input: checksum and compress this project's tree")
        tree = ("--env", f"TREE={TREE}")
        self._hodei("job", "run", "--script", str(EXAMPLES / "checksum-tree.sh"), *tree)
        heading("2. A log that grows while it is followed")
        self._growing_log()
        heading("3. Three jobs, of which each reads what the one before has written")
        self._show(str(EXAMPLES / "pipeline.sh"))
        self._run([str(EXAMPLES / "pipeline.sh")])
        self._hodei("job", "list", "--correlation-id", "example-pipeline")
        heading(f"4. A log of {LINES:,} lines")
        self._long_log()
        heading("5. A job that fails: its exit code, its place in the list, its story")
        self._hodei("job", "run", "--script", str(EXAMPLES / "fails.sh"), expect=3)
        self._hodei("job", "list", "--state", JobState.FAILED)
        self._hodei("job", "timeline", "--last")
        if image:
            heading("6. A job in a container, without network and with limits of its own")
            self._container_job(image)
        heading(f"{7 if image else 6}. The workers, and the whole system")
        self._hodei("worker", "list")
        self._hodei("status")

    def _container_job(self, image: str) -> None:
        limits = ("--network", "none", "--memory", "64m", "--pids", "20", "--read-only")
        show = "echo user $(id -u), in a root of its own: $(ls /)"
        self._hodei("job", "run", "--image", image, *limits, "--command", show)

    def _growing_log(self) -> None:
        """Prints each line as it comes, with its time. WentWrong: they came all at once."""
        arguments = ("job", "run", "--script", str(EXAMPLES / "steps.sh"))
        self._show("bin/hodei", *arguments)
        with subprocess.Popen(
            own_python.command("hodei.cli.main", *arguments),
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout
            started, times = time.monotonic(), []
            for line in running.stdout:
                times.append(time.monotonic() - started)
                print(f"  after {times[-1]:.1f} s  {line}", end="", flush=True)
        if running.returncode or times[-1] - times[0] < GROWS_S:
            raise WentWrong(
                f"the growing log: expected lines over {GROWS_S} s, got them after {times} s"
            )

    def _long_log(self) -> None:
        script = ("--script", str(EXAMPLES / "lines.py"), "--interpreter", "python3")
        started = time.monotonic()
        lines = self._hodei("job", "run", *script, keep=True).splitlines()
        numbers = [int(line.split(" ", 1)[0]) for line in lines]
        if numbers != list(range(1, LINES + 1)):
            raise WentWrong(
                f"the long log: expected lines 1 to {LINES}, each once and in order, got {len(lines)} lines"
            )
        took = time.monotonic() - started
        print(f"…\n{lines[-1]}\n{len(lines):,} lines, each once and in order, in {took:.1f} s")

    def _hodei(self, *arguments: str, expect: int = 0, keep: bool = False) -> str:
        """Runs the real program; its output is shown, or kept and returned."""
        self._show("bin/hodei", *arguments)
        return self._run(own_python.command("hodei.cli.main", *arguments), expect, keep=keep)

    def _show(self, *argv: str) -> None:
        words = shlex.join(word.replace(f"{TREE}/", "") for word in argv).replace(str(TREE), "$PWD")
        bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{bold}$ {words}{plain}", flush=True)

    def _run(self, argv: list[str], expect: int = 0, *, keep: bool = False) -> str:
        ran = subprocess.run(
            argv,
            env=self._environment,
            stdout=subprocess.PIPE if keep else None,
            text=True,
            check=False,
            timeout=120,
        )
        if ran.returncode != expect:
            raise WentWrong(f"{argv[-1]} ended with {ran.returncode}, expected {expect}")
        return ran.stdout or ""


def heading(words: str) -> None:
    print(f"\n── {words}", flush=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hodei.__version__)
@database_url_options(
    ambient=False, about="Use this PostgreSQL, not an embedded one; DATABASE_URL alone is not used."
)
@click.option(
    "--docker",
    is_flag=True,
    help="Also run a job in a container, where a Docker Engine answers.",
)
@click.option(
    "--image",
    default="busybox",
    show_default=True,
    metavar="IMAGE",
    help="The image of that job: it must have sh, id and ls.",
)
def main(database_url: str | None, docker: bool, image: str) -> None:
    """Starts a whole Hodei, runs the jobs of examples/, shows what became of them, and ends all
    that it started."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="hodei-demo-") as folder,
        contextlib.ExitStack() as ends,
    ):
        Path(folder).chmod(0o711)
        stack: Stack | None = None
        try:
            url = database_url
            if url is None:
                for name in forget_databases():
                    print(
                        f"{name} is set and not used: another database than ours is taken by --database-url-file FILE"
                    )
                heading("starting PostgreSQL, two servers and two workers")
                url = ends.enter_context(EmbeddedPostgres(Path(folder) / "postgres")).dsn()
            stack = ends.enter_context(Stack(Path(folder) / "logs"))
            addresses = [stack.server(f"server-{n}", url) for n in (1, 2)]
            containers = engine.flags_of_worker() if docker else ()
            for name in WORKERS:
                state = Path(folder) / name
                stack.worker(
                    name,
                    ",".join(addresses),
                    state,
                    mint_token(url),
                    "--name",
                    name,
                    "--slots",
                    "2",
                    *containers,
                )
            print(
                f"up after {time.monotonic() - started:.1f} s: "
                f"servers at {' and '.join(addresses)}, workers {' and '.join(WORKERS)}"
            )
            Demo(",".join(addresses), Path(folder)).run(image if containers else None)
        except (WentWrong, CannotStart, NoPostgres, subprocess.TimeoutExpired) as error:
            print(f"\nThe demo went wrong: {error}", file=sys.stderr)
            for part in stack.parts if stack else []:
                print(f"\n{part.name} logged last:\n{part.tail()}", file=sys.stderr)
            sys.exit(1)
    print(
        f"\nAll went as it should, in {time.monotonic() - started:.0f} s; everything that was started has ended."
    )
    print(GO_ON)


GO_ON = """
Go on:
  bin/hodei dev                                  # a system that stays, in this terminal
  bin/hodei job run --command 'echo hello'       # in another terminal, in this folder
  examples/pipeline.sh

Read on: docs/README.md has the pages for those who run jobs, operate Hodei, or change it."""


if __name__ == "__main__":
    program.run(main, "bin/demo")
