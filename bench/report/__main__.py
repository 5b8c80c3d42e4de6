"""`python -m bench.report [--check]`."""

import argparse
import json
import sys

from bench.report import DOCS, outdated, write


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description="The pages of figures, from docs/figures.json."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 when the pages are not what the figures make",
    )
    given = parser.parse_args()
    source = DOCS / "figures.json"
    if not source.exists():
        sys.exit(f"{source} is not there: `bin/bench --docs` makes it")
    figures = json.loads(source.read_text())
    if not given.check:
        write(figures, DOCS)
    elif files := outdated(figures, DOCS):
        sys.exit(
            f"{', '.join(files)} in {DOCS} are not what figures.json makes: run `python -m bench.report`"
        )


if __name__ == "__main__":
    main()
