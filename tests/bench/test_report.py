"""The pages of figures are what the file of figures makes; no figure is asserted, that one was
measured and judged is."""

import json
from typing import Any

import pytest

from bench import throughput
from bench.report import DOCS, cost, outdated, pages
from bench.report.targets import TARGETS

FIGURES: dict[str, Any] = json.loads((DOCS / "figures.json").read_text())


def test_the_pages_are_what_the_figures_make() -> None:
    assert outdated(FIGURES, DOCS) == [], "run `python -m bench.report`"


def test_a_figure_that_changes_changes_its_page() -> None:
    changed = json.loads(json.dumps(FIGURES))
    changed["sections"]["startup"]["ms"]["hodei --help"]["median"] = 9876.5
    assert "9,876" in pages(changed)["performance.md"]
    assert outdated(changed, DOCS) == ["performance.md"]


def test_what_was_not_measured_is_said() -> None:
    made = pages({"sections": {}})
    assert made["performance.md"].count("Not measured.") > 5
    assert "Not measured." in made["scaling.md"]
    assert {target.how({}) for target in TARGETS} == {None}


def test_the_judge_found_nothing_in_what_was_measured() -> None:
    judged = {
        name: section["violations"]
        for name, section in FIGURES["sections"].items()
        if "violations" in section
    }
    assert len(judged) >= 7
    assert not any(judged.values())


@pytest.mark.slow
def test_a_small_bench_runs_and_its_database_is_sound() -> None:
    measured: dict[str, Any] = throughput.measure(
        1, 400, ["server path, queued", "sh -c true, real worker", "64 at once"], None
    )
    assert measured["violations"] == []
    assert {name: figure["median"] > 0 for name, figure in measured["per_second"].items()} == {
        "server path, queued": True,
        "single creates, 64 at once": True,
        "sh -c true, real worker": True,
    }
    assert measured["cpu_us_per_job"]["sh -c true, real worker"]["jobs"] > 0


def test_claims_of_a_limited_worker_stand_beside_those_of_one_of_all_projects() -> None:
    """Figures of before do not have them, and the page says nothing of them then."""
    ms = dict.fromkeys(("p50", "p99", "most", "first"), 1.5)
    both = {"a worker of all projects": ms, "a worker limited to one": ms}
    section: dict[str, Any] = {"claims": 200, "jobs_per_claim": 50, "ms": {"10,000 queued": ms}}
    assert "limited" not in "\n".join(cost.claims(section, {}))
    section["ms"]["10,000 of two projects in turn"] = both
    page = "\n".join(cost.claims(section, {}))
    assert "A worker that is limited to a project passes over" in page
    for kind in both:
        assert f"| 10,000 of two projects in turn: {kind} | 1.5" in page
