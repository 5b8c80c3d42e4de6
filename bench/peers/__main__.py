"""`python -m bench.peers`: the peers' jobs per second on this machine, as JSON."""

import argparse
import json

from bench.peers.measure import measure


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Jobs per second of what users would otherwise choose.",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORDS",
        help="peers and settings whose name has these words",
    )
    given = parser.parse_args()
    print(json.dumps(measure(given.rounds, given.only), indent=2))


if __name__ == "__main__":
    main()
