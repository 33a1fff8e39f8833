"""`hardest_patients.html`: both lists with montages and the multipliers over the epochs, in one file."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.montage import draw_montage
from prostate_alm.html_page import EmbeddedPicture, data_uri, embedded, narrowed, page_templates, write_page
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.hardest import Hardest, hardest_patients, write_hardest

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "hardest_patients.html"
PICTURED = 15  # patients of each list that are shown with their images
LISTED = 100  # rows of a table
WIDTH = 640  # pixels of a montage
MARKED, OTHER, INK, GRID = ("#b42318", "#7c3aed", "#0f766e", "#92500b", "#1f4e79"), "#9aa5b1", "#24292f", "#d9dee3"


def write_hardest_patients(run: EnsembleRun) -> Path | None:
    """Write `hardest_patients.json` and `.html` below `run.out`; returns the page, None without the constraint.

    Args:
        run: finished and scored out of fold.
    """
    hardest = hardest_patients(run)
    if hardest is None:
        return None
    write_hardest(hardest, run.out)
    page = run.out / PAGE
    write_page(page, render_page(hardest, run))
    return page


def render_page(hardest: Hardest, run: EnsembleRun) -> str:
    """The page as HTML."""
    pictured = [patient.index for patient in (*hardest.critical[:PICTURED], *hardest.others[:PICTURED])]
    return (
        page_templates(TEMPLATES)
        .get_template("hardest_patients.html.j2")
        .render(
            hardest=hardest,
            members=run.members,
            listed=LISTED,
            pictured=PICTURED,
            style=(TEMPLATES / "hardest_patients.css").read_text(encoding="utf-8"),
            figure=_multipliers(hardest),
            montages=_montages(run, pictured),
        )
    )


def _montages(run: EnsembleRun, pictured: Sequence[int]) -> Mapping[int, EmbeddedPicture]:
    """Small montages by index."""
    load = LoadStudy()
    chosen = {int(entry["index"]): entry for entry in read_datalist(run.datalist).entries("training")}
    return {
        index: embedded(narrowed(draw_montage(load(chosen[index])["study"]), WIDTH), quality=55) for index in pictured
    }


def _multipliers(hardest: Hardest) -> EmbeddedPicture:
    """Relative multipliers over the epochs, a line a patient, the hardest in colour."""
    size, dots = (8.4, 3.6), 110
    figure = Figure(figsize=size, dpi=dots, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    marked = hardest.critical[: len(MARKED)]
    for patient in hardest.critical[len(MARKED) :]:
        history = hardest.histories[patient.index]
        axes.plot(range(1, len(history) + 1), history, color=OTHER, linewidth=0.8, alpha=0.6)
    for patient, colour in zip(marked, MARKED, strict=False):
        history = hardest.histories[patient.index]
        axes.plot(range(1, len(history) + 1), history, color=colour, linewidth=2, label=patient.study, marker=".")
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel("multiplier over the member's mean", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.spines[:].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, title="hardest first")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return EmbeddedPicture(data_uri(buffer.getvalue(), "png"), round(size[0] * dots), round(size[1] * dots))
