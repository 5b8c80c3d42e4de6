"""`bin/demo`: starts everything, runs the jobs of examples/, shows what became of them, and ends
all that it started."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from hodei.cli import program
from hodei.cli.database_url import database_url_options
from hodei.local import own_python
from hodei.local.binaries import NoPostgres
from hodei.local.embedded_postgres import CannotStart, EmbeddedPostgres
from hodei.local.stack import Stack, forget_databases, mint_token

TREE = Path(__file__).parents[2]
EXAMPLES = TREE / "examples"
LINES = 100_000


class WentWrong(Exception):
    """What was expected, and what came."""


class Demo:
    def __init__(self, address: str) -> None:
        self._address = address

    def hodei(self, *arguments: str, expect: int = 0, keep: bool = False) -> str:
        """Runs the real program; its output is shown, or kept and returned."""
        shown = " ".join(
            a if a and not set(a) & set(" '\"{}$") else f"'{a}'" for a in arguments
        ).replace(f"{TREE}/", "")
        print(
            f"\n\033[1m$ hodei {shown}\033[0m" if sys.stdout.isatty() else f"\n$ hodei {shown}",
            flush=True,
        )
        ran = subprocess.run(
            own_python.command("hodei.cli.main", "--server", self._address, *arguments),
            env=os.environ | own_python.environment(),
            stdout=subprocess.PIPE if keep else None,
            text=True,
            check=False,
            timeout=120,
        )
        if ran.returncode != expect:
            raise WentWrong(f"`hodei {shown}` ended with {ran.returncode}, expected {expect}")
        return ran.stdout or ""

    def run(self) -> None:
        heading("1. Real work on real input: checksum and compress this project's tree")
        self.hodei(
            "job",
            "run",
            "--name",
            "checksum tree",
            "--script",
            str(EXAMPLES / "checksum-tree.sh"),
            "--env",
            f"TREE={TREE}",
        )
        heading("2. Three steps under one correlation id")
        ids = self.hodei(
            "job", "submit", "--file", str(EXAMPLES / "pipeline.json"), keep=True
        ).split()
        for job_id in ids:
            self.hodei("job", "logs", "-f", job_id)
        self.hodei("job", "list", "--correlation-id", "example-pipeline")
        heading(f"3. {LINES:,} lines, followed live")
        self._long_log()
        heading("4. A job that fails with exit code 3 is shown as failed")
        self.hodei(
            "job", "run", "--name", "fails", "--script", str(EXAMPLES / "fails.sh"), expect=3
        )
        self.hodei("job", "list", "--state", "FAILED")
        heading("One job's timeline, and the whole system")
        self.hodei("job", "timeline", ids[-1])
        self.hodei("status")

    def _long_log(self) -> None:
        started = time.monotonic()
        script = ("--script", str(EXAMPLES / "lines.py"), "--interpreter", "python3")
        lines = self.hodei("job", "run", "--name", "long log", *script, keep=True).splitlines()
        numbers = [int(line.split(" ", 1)[0]) for line in lines]
        if numbers != list(range(1, LINES + 1)):
            raise WentWrong(
                f"the long log: expected lines 1 to {LINES}, each once and in order, got {len(lines)} lines"
            )
        print(
            f"…\n{lines[-1]}\n{len(lines):,} lines, each once and in order, in {time.monotonic() - started:.1f} s"
        )


def heading(words: str) -> None:
    print(f"\n── {words}", flush=True)


@click.command()
@database_url_options(
    ambient=False, about="Use this PostgreSQL, not an embedded one; DATABASE_URL alone is not used."
)
def main(database_url: str | None) -> None:
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
                heading("starting PostgreSQL, two servers and a worker")
                url = ends.enter_context(EmbeddedPostgres(Path(folder) / "postgres")).dsn()
            stack = ends.enter_context(Stack(Path(folder) / "logs"))
            addresses = [stack.server(f"server-{n}", url) for n in (1, 2)]
            stack.worker(
                "worker",
                ",".join(addresses),
                Path(folder) / "worker",
                mint_token(url),
                "--name",
                "demo",
            )
            print(
                f"up after {time.monotonic() - started:.1f} s: servers at {' and '.join(addresses)}"
            )
            Demo(",".join(addresses)).run()
        except (WentWrong, CannotStart, NoPostgres, subprocess.TimeoutExpired) as error:
            print(f"\nThe demo went wrong: {error}", file=sys.stderr)
            for part in stack.parts if stack else []:
                print(f"\n{part.name} logged last:\n{part.tail()}", file=sys.stderr)
            sys.exit(1)
    print(
        f"\nAll went as it should, in {time.monotonic() - started:.0f} s; everything that was started has ended."
    )
    print(
        "Go on with `bin/hodei dev`, and in another terminal: bin/hodei job run --command 'echo hello'"
    )


if __name__ == "__main__":
    program.run(main, "bin/demo")
