"""Sections of docs/performance.md about API keys and secrets."""

from collections.abc import Iterable

from bench.report.figures import Figures
from bench.report.words import number, prose, table


def keys(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Single creates come by turns with an API key and without one, in {section['rounds']} rounds.",
        "The ratios are medians of the rounds: a create with a key beside one without.",
    )
    rate, spent = section["creates_per_s"], section["server_us"]
    yield table(
        ["", "without a key", "with a key", "ratio"],
        [
            (
                "creates per second",
                number(rate["without"]),
                number(rate["with"]),
                f"{section['throughput_ratio']:.3f}",
            ),
            (
                "server, µs a create",
                number(spent["without"]),
                number(spent["with"]),
                f"{section['server_cpu_ratio']:.3f}",
            ),
        ],
    )


def masking(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "Megabytes of output for each second of processor time. *Search*: the search alone, in a log.",
        "*Worker*: a worker's process that reads the output and spools it, by turns with secrets and",
        "without.",
    )
    search = [
        (f"search, {kind}", number(of["a log"])) for kind, of in section["search_mb_per_s"].items()
    ]
    worker = [(f"worker, {kind}", number(of)) for kind, of in section["worker_mb_per_s"].items()]
    yield table(["values", "MB/s"], search + worker)
