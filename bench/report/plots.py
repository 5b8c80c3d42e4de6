"""The plots of both pages, as SVG. Only here is matplotlib needed."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import model
from bench.report.cost import claim_rows
from bench.report.figures import Figures, at
from bench.report.scaling import CURVES
from bench.report.words import PARTS, PEERS, name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = {
    "server": "#0072B2",
    "worker": "#56B4E9",
    "supervisor": "#009E73",
    "postgres": "#E69F00",
    "jobs": "#CC79A7",
    "idle": "#DDDDDD",
}
OURS, THEIRS, TUNED, WALL = "#0072B2", "#BBBBBB", "#888888", "#E69F00"
Bar = tuple[str, float, str]


def plots(figures: Figures) -> "dict[str, Figure]":
    sections = figures.get("sections", {})
    drawn: dict[str, Figure] = {}
    if sections.get("throughput"):
        drawn |= {
            "sh": _bars(_sh_bars(sections), "jobs per second: sh -c true"),
            "cost": _cost(sections["throughput"]["cpu_us_per_job"]),
        }
    if sections.get("peers"):
        drawn["server-path"] = _bars(_noop_bars(sections), "no-op jobs per second")
    if sections.get("claims"):
        drawn["claims"] = _claims_plot(sections["claims"])
    if measures := sections.get("scaling"):
        fitted, points = model.fit(measures), model.points(measures)
        for curve in CURVES:
            if chosen := [point for point in points if point.curve == curve]:
                drawn[f"scaling-{curve}"] = _curve_plot(curve, chosen, fitted)
    return drawn


def _axes(height: float, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, height), layout="constrained", facecolor="white")
    axes = [figure.add_subplot(columns, 1, n + 1) for n in range(columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _noop_bars(sections: Figures) -> list[Bar]:
    paths = ("server path, queued", "server path, created in batches of 500")
    ours = [
        (f"Hodei: {path}", at(sections, "throughput", "per_second", path, "median"), OURS)
        for path in paths
    ]
    return [bar for bar in ours if bar[1] is not None] + _peer_bars(sections, "noop_per_s")


def _sh_bars(sections: Figures) -> list[Bar]:
    ours = [
        ("Hodei: sh -c true", "sh -c true, real worker", OURS),
        ("ceiling: C loop", "ceiling: sh -c true", WALL),
    ]
    bars = [
        (words, at(sections, "throughput", "per_second", path, "median"), colour)
        for words, path, colour in ours
    ]
    return [bar for bar in bars if bar[1] is not None] + _peer_bars(sections, "sh_per_s")


def _peer_bars(sections: Figures, rate: str) -> list[Bar]:
    return [
        (
            f"{PEERS.get(peer, peer)}, {kind}",
            figures[rate]["median"],
            THEIRS if kind == "default" else TUNED,
        )
        for peer, of in sections.get("peers", {}).items()
        if peer != "skipped"
        for kind, figures in of.items()
    ]


def _bars(bars: list[Bar], title: str) -> "Figure":
    bars = sorted(bars, key=lambda bar: bar[1])
    figure, (axes,) = _axes(0.7 + 0.27 * len(bars))
    drawn = axes.barh(
        [words for words, _, _ in bars],
        [rate for _, rate, _ in bars],
        color=[colour for _, _, colour in bars],
    )
    axes.bar_label(drawn, [number(rate) for _, rate, _ in bars], padding=3, fontsize=9)
    axes.margins(x=0.12, y=0.01)
    axes.set_title(title, loc="left", fontsize=11)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _cost(shares: dict[str, dict[str, float]]) -> "Figure":
    """Two scales: a process costs ten times what a job costs that starts none."""
    panels = [
        {path: of for path, of in shares.items() if ("real worker" in path) == real}
        for real in (False, True)
    ]
    panels = [panel for panel in panels if panel]
    figure, several = _axes(1.2 + 0.42 * len(shares) + 0.3 * len(panels), len(panels))
    for axes, panel in zip(several, panels, strict=True):
        paths, left = list(reversed(panel)), [0.0] * len(panel)
        for part in PARTS:
            us = [panel[path].get(part, 0.0) for path in paths]
            axes.barh(paths, us, left=left, color=COLOURS[part], label=name(part), height=0.65)
            left = [one + more for one, more in zip(left, us, strict=True)]
        for n, whole in enumerate(left):
            axes.annotate(
                number(whole),
                (whole, n),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.margins(x=0.08)
    several[0].legend(
        ncols=len(PARTS), loc="lower left", bbox_to_anchor=(-0.35, 1.06), frameon=False, fontsize=9
    )
    several[-1].set_xlabel("µs of processor for each job")
    return figure


def _claims_plot(section: Figures) -> "Figure":
    rows = list(reversed(list(claim_rows(section))))
    figure, (axes,) = _axes(1.1 + 0.5 * len(rows))
    for kind, shift, colour in (("p99", -0.2, TUNED), ("p50", 0.2, OURS)):
        ms = [of[kind] for _, of in rows]
        drawn = axes.barh(
            [n + shift for n in range(len(rows))], ms, height=0.38, color=colour, label=kind
        )
        axes.bar_label(drawn, [number(each) for each in ms], padding=3, fontsize=9)
    axes.set_yticks(range(len(rows)), [textwrap.fill(words, 36) for words, _ in rows])
    axes.margins(x=0.1)
    axes.set_xlabel("ms of a claim")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False)
    return figure


def _curve_plot(curve: str, points: list[model.Point], fitted: model.Model | None) -> "Figure":
    figure, (axes,) = _axes(3.4)
    axes.set_xscale("log", base=2 if curve in ("servers", "slots") else 10)
    line = _line(curve, points, fitted) if fitted and (curve != "slots" or fitted.slots_us) else []
    if line:
        axes.plot(*zip(*line, strict=True), color=WALL, label="model")
    for used, words in ((True, "fitted to"), (False, "held out")):
        chosen = [point for point in points if point.fitted == used]
        face = OURS if used else "white"
        axes.plot(
            [p.x for p in chosen],
            [p.per_s for p in chosen],
            "o",
            color=OURS,
            markerfacecolor=face,
            markersize=8,
            zorder=3,
            label=words,
        )
    for point in points:
        axes.plot([point.x] * len(point.all), point.all, ".", color=TUNED, markersize=4, zorder=4)
        axes.annotate(
            number(point.per_s),
            (point.x, point.per_s),
            xytext=(7, -12),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xticks([point.x for point in points], [number(point.x) for point in points])
    axes.minorticks_off()
    axes.margins(x=0.08)
    axes.set_ylim(
        0,
        1.15
        * max([per_s for point in points for per_s in point.all] + [per_s for _, per_s in line]),
    )
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(CURVES[curve][0])
    axes.set_ylabel("jobs per second")
    axes.legend(frameon=False, loc="lower right" if curve in ("servers", "slots") else "lower left")
    return figure


def _line(curve: str, points: list[model.Point], fitted: model.Model) -> list[tuple[int, float]]:
    first, last = min(point.x for point in points), max(point.x for point in points)
    steps = 60
    numbers = sorted({round(first * (last / first) ** (n / steps)) for n in range(steps + 1)})
    says: dict[str, Callable[[int], float]] = {
        "servers": lambda x: fitted.per_s(x, 2 * x),
        "workers": lambda x: fitted.per_s(2, x),
        "depths": lambda _: fitted.per_s(2, 2),
        "slots": fitted.slots_per_s,
    }
    return [(x, says[curve](x)) for x in numbers]


def draw(figures: Figures, folder: Path) -> None:
    """The same figures make the same files: no date, no random ids."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(
        {"svg.hashsalt": "hodei", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    ):
        for stem, figure in plots(figures).items():
            figure.savefig(
                folder / f"{stem}.svg", format="svg", metadata={"Date": None, "Creator": None}
            )
