"""`python -m bench.startup`: how long our programs take to start, beside the interpreter and grpc,
which they all need. Medians."""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from bench.system import TELLING, System, system
from hodei.local.embedded_postgres import free_port
from hodei.local.stack import inherited, mint_token
from verify.checker import violations

SCRIPTS = Path(sysconfig.get_path("scripts"))
TREE = Path(__file__).parents[1]


def ran_s(argv: list[str | Path]) -> float:
    """From its start to its end; without a timeout, for which Python would look at the process at
    intervals."""
    begun = time.monotonic()
    subprocess.run(argv, env=_environment({}), stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def ready_s(argv: list[str | Path], words: str, environment: dict[str, str]) -> float:
    """From its start until its log says these words; then it is ended, which does not count."""
    begun = time.monotonic()
    with _ended_after(argv, environment) as process:
        said = b""
        for line in process.stdout or ():
            said += line
            if words.encode() in line:
                return time.monotonic() - begun
    raise SystemExit(f"{argv[0]} ended without {words!r}:\n{said.decode(errors='replace')}")


@contextlib.contextmanager
def _ended_after(
    argv: list[str | Path], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Straight from the entry point: the wrapper that ties the parts of a stack to us would count
    as a start of its own."""
    process = subprocess.Popen(
        argv,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _environment(added: dict[str, str]) -> dict[str, str]:
    """As hodei.local.stack: nothing of whoever measures decides how programs behave; ours is where
    bin/hodei finds them."""
    return inherited() | {"HODEI_VENV": str(SCRIPTS.parent)} | TELLING | added


def server_s(under_test: System) -> float:
    argv: list[str | Path] = [SCRIPTS / "hodei-server", "--grpc", f"127.0.0.1:{free_port()}"]
    return ready_s(argv, "hodei-server is ready", {"DATABASE_URL": under_test.url})


def worker_s(under_test: System, name: str, token: str = "") -> float:
    """Without a token: it has been here before, and registers no more."""
    argv: list[str | Path] = [
        SCRIPTS / "hodei-worker",
        "--server",
        under_test.servers[0],
        "--state-dir",
        under_test.folder / name,
        "--on-worker-exit",
        "kill",
    ]
    return ready_s(argv, "connected to", {"HODEI_OTP_TOKEN": token} if token else {})


def measure(rounds: int = 15) -> dict[str, Any]:
    """Round by round, so that a busy moment of the machine does not fall on one of them alone."""
    with system(servers=1) as under_test, psycopg.connect(under_test.url, autocommit=True) as conn:
        worker_s(under_test, "known", mint_token(under_test.url))
        numbers = iter(range(rounds))
        # The label is nobody's: what is submitted waits, and no worker runs it while it is timed.
        submit = [
            "--server",
            under_test.servers[0],
            "job",
            "submit",
            "--command",
            "true",
            "--label",
            "kind=nobody",
        ]
        starts: dict[str, Callable[[], float]] = {
            "python -c pass": lambda: ran_s([sys.executable, "-c", "pass"]),
            "python -c 'import grpc'": lambda: ran_s([sys.executable, "-c", "import grpc"]),
            "hodei --help": lambda: ran_s([SCRIPTS / "hodei", "--help"]),
            "bin/hodei --help": lambda: ran_s([TREE / "bin/hodei", "--help"]),
            "hodei job submit": lambda: ran_s([SCRIPTS / "hodei", *submit]),
            "bin/hodei job submit": lambda: ran_s([TREE / "bin/hodei", *submit]),
            "hodei-server to ready": lambda: server_s(under_test),
            "hodei-worker to connected": lambda: worker_s(under_test, "known"),
            "hodei-worker to connected, new": lambda: worker_s(
                under_test, f"new-{next(numbers)}", mint_token(under_test.url)
            ),
        }
        took: dict[str, list[float]] = {name: [] for name in starts}
        for _ in range(rounds):
            for name, start in starts.items():
                took[name].append(round(start() * 1e3, 1))
        figures = {
            name: {"median": statistics.median(ms), "least": min(ms), "most": max(ms)}
            for name, ms in took.items()
        }
        for name, figure in figures.items():
            print(f"{name}: {figure} ms", file=sys.stderr, flush=True)
        return {"rounds": rounds, "ms": figures, "violations": violations(conn)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.startup", description="How long our programs take to start."
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    result = measure(given.rounds)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
