"""`python -m bench.report`: docs/performance.md, docs/scaling.md and their plots, from
docs/figures.json and nothing else.

No figure stands in these pages that the file does not hold, so none can grow old by itself.
`--check` says whether the pages are what the file makes of them; it needs no matplotlib."""

from pathlib import Path

from bench.report.performance import performance
from bench.report.plots import draw
from bench.report.scaling import scaling
from bench.report.targets import Figures

DOCS = Path(__file__).parents[2] / "docs"


def pages(figures: Figures, folder: Path) -> dict[str, str]:
    notes = folder / "profile-notes.md"
    return {
        "performance.md": performance(figures, notes.read_text() if notes.exists() else ""),
        "scaling.md": scaling(figures),
    }


def write(figures: Figures, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in pages(figures, folder).items():
        (folder / file).write_text(text)
    draw(figures, folder / "plots")


def outdated(figures: Figures, folder: Path) -> list[str]:
    """Pages that are not what these figures make."""
    return [
        file
        for file, text in pages(figures, folder).items()
        if not (folder / file).exists() or (folder / file).read_text() != text
    ]
