"""`python -m bench.report`: docs/performance.md, docs/scaling.md and their plots, from
docs/figures.json and the notes beside this file.

No figure stands in these pages that the file does not hold, so none can grow old by itself.
`--check` says whether the pages are what the file makes of them; it needs no matplotlib."""

from pathlib import Path

from bench.report.figures import Figures
from bench.report.performance import performance
from bench.report.plots import draw
from bench.report.scaling import scaling

DOCS = Path(__file__).parents[2] / "docs"
NOTES = Path(__file__).with_name("profile-notes.md")  # written by hand, below the profile


def pages(figures: Figures) -> dict[str, str]:
    return {
        "performance.md": performance(figures, NOTES.read_text()),
        "scaling.md": scaling(figures),
    }


def write(figures: Figures, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in pages(figures).items():
        (folder / file).write_text(text)
    draw(figures, folder / "plots")


def outdated(figures: Figures, folder: Path) -> list[str]:
    """Pages that are not what these figures make."""
    return [
        file
        for file, text in pages(figures).items()
        if not (folder / file).exists() or (folder / file).read_text() != text
    ]
