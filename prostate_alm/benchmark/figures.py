"""Pictures of results: pairs of a baseline and its constrained rows, ROC curves, and differences with intervals.

All are PNG at 150 dpi. Colours are those of Okabe and Ito, told apart by readers with any colour vision, and each
also has a shape or a line of its own, for print in grey.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from prostate_alm.benchmark.table import Cell, Column, ResultTable, Row
from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import RocCurve
from prostate_alm.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Better = Literal["lower", "higher"]

DPI = 150
PALETTE = 128
"""Colours of a PNG: enough for smooth edges, and a third of the bytes of true colour."""
ROC_TITLE = "ROC on the test set"
INK, MUTED, GRID, STRIPE = "#24292f", "#6b7280", "#d9dee3", "#f5f6f8"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
ARMS = ((ORANGE, "o"), (BLUE, "D"), (GREEN, "s"))
CURVES = (
    (BLUE, "-"),
    (VERMILLION, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (ORANGE, (0, (6, 1, 1, 1, 1, 1))),
    (SKY, (0, (9, 2))),
)


@dataclass(frozen=True)
class Difference:
    """An arm minus the reference: `estimate` and the ends of its interval, in percentage points."""

    label: str
    estimate: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.estimate, self.low, self.high))) or self.low > self.high:
            raise ArgumentError(
                f"difference {self.label!r} needs a finite `estimate` and `low` <= `high`, got "
                f"{self.estimate}, {self.low}, {self.high}."
            )


def pair_figure(table: ResultTable, path: Path) -> None:
    """Write the picture of `draw_pairs` to `path`, whole or not at all."""
    _write(draw_pairs(table), path)


def roc_figure(curves: Mapping[str, RocCurve], path: Path, *, title: str = ROC_TITLE) -> None:
    """Write the picture of `draw_roc` to `path`, whole or not at all."""
    _write(draw_roc(curves, title=title), path)


def interval_figure(
    differences: Sequence[Difference], path: Path, *, quantity: str, reference: str, better: Better, title: str = ""
) -> None:
    """Write the picture of `draw_intervals` to `path`, whole or not at all."""
    _write(draw_intervals(differences, quantity=quantity, reference=reference, better=better, title=title), path)


def draw_pairs(table: ResultTable) -> "Figure":
    """Each baseline joined to its constrained rows: a panel for each column, a line of panels for a class ratio.

    Filled marks with bars are ours and their intervals, hollow ones behind them the paper's. A missing result is
    written in its place.

    Raises:
        ArgumentError: the table has no cells.
    """
    if not table.rows or not table.columns:
        raise ArgumentError(f"Table {table.number} has no cells to draw.")
    families = _families(table)
    ratios = table.ratios()
    lines = [[column for column in table.columns if column.ratio == ratio] for ratio in ratios]
    across = max(map(len, lines))
    arms = len(_arms(table))
    figure = _new_figure(1.4 + max(2.3 * across, 4.2), 1.3 + len(lines) * (0.8 + (0.15 + 0.13 * arms) * len(families)))
    grid = figure.subplots(len(lines), across, squeeze=False)
    for panels, columns, ratio in zip(grid, lines, ratios, strict=True):
        for place, axes in enumerate(panels):
            axes.set_visible(place < len(columns))
        for axes, column in zip(panels, columns, strict=False):
            _draw_column(axes, table, families, column)
            _dress_column(axes, families, column, first=column is columns[0])
        if ratio is not None:
            panels[0].set_ylabel(f"Class ratio 1:{ratio}", fontsize=10, color=INK, labelpad=8)
    figure.suptitle(f"Table {table.number}. {table.title}", x=0.01, ha="left", fontsize=12, color=INK)
    _pair_legend(figure, table)
    return figure


def draw_roc(curves: Mapping[str, RocCurve], *, title: str = ROC_TITLE) -> "Figure":
    """The ROC curves of several arms, whole and where no more than a fifth of the positives is missed.

    Args:
        curves: by arm, in the order of the legend; up to six.
        title: what the scores are.

    Raises:
        ArgumentError: no curve or more than six.
    """
    if not 1 <= len(curves) <= len(CURVES):
        raise ArgumentError(f"`curves` must hold 1 to {len(CURVES)} arms to stay readable, got {len(curves)}.")
    figure = _new_figure(10.0, 5.2)
    whole, high = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for (name, curve), (colour, dashes) in zip(curves.items(), CURVES, strict=False):
        label = f"{name} (AUC {100 * np.trapezoid(curve.tpr, curve.fpr):.1f}%)"
        for axes in (whole, high):
            axes.plot(100 * curve.fpr, 100 * curve.tpr, color=colour, linestyle=dashes, linewidth=1.7, label=label)
    whole.axhspan(80, 100, color=STRIPE, zorder=0)
    whole.plot([0, 100], [0, 100], color=GRID, linewidth=1, zorder=1)
    whole.set(xlim=(-1, 101), ylim=(-1, 101), aspect="equal", ylabel="True-positive rate (%)")
    high.set(xlim=(-1, 101), ylim=(80, 100.3), yticks=[80, 85, 90, 92, 95, 98, 100])
    for axes, name in ((whole, "Whole curve"), (high, "At most a fifth of the positives missed")):
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("False-positive rate (%), lower is better")
        _clean(axes, "both")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9, handlelength=3)
    return figure


def draw_intervals(
    differences: Sequence[Difference], *, quantity: str, reference: str, better: Better, title: str = ""
) -> "Figure":
    """Differences from a reference with their intervals (a forest plot), the numbers beside them.

    An interval on the better side of 0 is a blue diamond, on the worse a vermilion cross, across 0 a grey circle.

    Args:
        differences: arm minus reference, from the top down.
        quantity: what differs, such as "FPR @ 95% TPR".
        reference: the arm that the others are compared with.
        better: whether a "lower" or a "higher" quantity is.
        title: of the picture.

    Raises:
        ArgumentError: there is no difference.
    """
    if not differences:
        raise ArgumentError("`differences` is empty, there is nothing to draw.")
    figure = _new_figure(7.4, 1.5 + 0.34 * len(differences))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for place, difference in enumerate(differences):
        colour, marker = _verdict(difference, better)
        axes.plot([difference.low, difference.high], [place, place], color=colour, linewidth=1.6)
        axes.plot(difference.estimate, place, marker=marker, color=colour, markersize=7, markeredgecolor="white")
        numbers = f"{difference.estimate:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]".replace("-", "−")
        axes.text(1.02, place, numbers, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
    _include_zero(axes, differences)
    axes.set_yticks(range(len(differences)), [difference.label for difference in differences])
    axes.set_ylim(len(differences) - 0.4, -0.6)
    sides = ("← better", "worse →") if better == "lower" else ("← worse", "better →")
    for x, side, align in ((0, sides[0], "left"), (1, sides[1], "right")):
        axes.text(x, 1.01, side, transform=axes.transAxes, ha=align, va="bottom", fontsize=9, color=MUTED)
    axes.set_xlabel(f"{quantity}: difference from {reference} (percentage points)")
    _clean(axes, "x")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _arms(table: ResultTable) -> list[str]:
    """The kinds of rows, "Baseline" first; their place chooses colour and shape."""
    constrained = dict.fromkeys(row.method.partition(" + ")[0] for row in table.rows if row.pair is not None)
    return ["Baseline", *constrained]


def _families(table: ResultTable) -> dict[str, list[Row]]:
    """The rows by the baseline they belong to."""
    families: dict[str, list[Row]] = {}
    for row in table.rows:
        families.setdefault(row.pair or row.method, []).append(row)
    return families


def _draw_column(axes: "Axes", table: ResultTable, families: Mapping[str, Sequence[Row]], column: Column) -> None:
    arms = _arms(table)
    offsets = np.linspace(-0.22, 0.22, len(arms)) if len(arms) > 1 else np.zeros(1)
    missing: list[tuple[float, Cell]] = []
    for place, rows in enumerate(families.values()):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=STRIPE, zorder=0, linewidth=0)
        joined: list[tuple[float, float]] = []
        for row in rows:
            arm = 0 if row.pair is None else arms.index(row.method.partition(" + ")[0])
            y = place if len(rows) == 1 else place + offsets[arm]
            cell = table.cell(row.method, column.ratio, column.metric)
            _draw_cell(axes, cell, y, ARMS[arm % len(ARMS)])
            if cell.value is None:
                missing.append((y, cell))
            else:
                joined.append((cell.value, y))
        axes.plot(*zip(*joined, strict=True) if joined else ((), ()), color=MUTED, alpha=0.6, linewidth=1, zorder=2)
    _say_missing(axes, missing)


def _draw_cell(axes: "Axes", cell: Cell, y: float, style: tuple[str, str]) -> None:
    """The paper's number hollow, ours filled in front of it."""
    colour, marker = style
    if cell.paper is not None:
        axes.plot(
            cell.paper, y, marker=marker, markersize=7.5, markerfacecolor="white", markeredgecolor=colour,
            markeredgewidth=0.9, alpha=0.75, zorder=1.5, linestyle="",
        )  # fmt: skip
    if cell.low is not None and cell.high is not None:
        axes.plot([cell.low, cell.high], [y, y], color=colour, linewidth=1.3, zorder=2.5)
    if cell.value is not None:
        axes.plot(
            cell.value, y, marker=marker, markersize=5, color=colour, markeredgecolor="white", markeredgewidth=0.5,
            zorder=3, linestyle="",
        )  # fmt: skip


def _say_missing(axes: "Axes", missing: Sequence[tuple[float, Cell]]) -> None:
    """Write "not run" or "failed" on the side where the paper's mark is not."""
    left, right = axes.get_xlim()
    for y, cell in missing:
        crowded_left = cell.paper is not None and cell.paper < (left + right) / 2
        x, align = (0.98, "right") if crowded_left else (0.02, "left")
        axes.text(
            x, y, cell.status, transform=axes.get_yaxis_transform(), ha=align, va="center", fontsize=6.5,
            style="italic", color=MUTED, zorder=4,
        )  # fmt: skip


def _dress_column(axes: "Axes", families: Mapping[str, object], column: Column, *, first: bool) -> None:
    arrow = "← lower is better (%)" if column.better == "lower" else "higher is better → (%)"
    axes.set_title(column.title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(arrow)
    axes.set_yticks(range(len(families)), list(families) if first else [""] * len(families))
    axes.set_ylim(len(families) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=5)
    _clean(axes, "x")


def _pair_legend(figure: "Figure", table: ResultTable) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - no part of training or serving waits for matplotlib

    cells = [cell for _, cell in table.named_cells()]
    present = [any(row.pair is None for row in table.rows), *(True for _ in _arms(table)[1:])]
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=6, linewidth=1.3, label=arm)
        for arm, shown, (colour, marker) in zip(_arms(table), present, ARMS * 2, strict=False)
        if shown
    ]
    hollow = {"marker": "o", "markersize": 7.5, "markerfacecolor": "white", "markeredgecolor": MUTED}
    of_paper = any(cell.paper is not None for cell in cells)
    said = ["hollow: the paper's"] * of_paper + ["bars: 95% intervals"] * any(cell.low is not None for cell in cells)
    if said:
        handles.append(Line2D([], [], linestyle="", label="; ".join(said), **(hollow if of_paper else {})))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)


def _verdict(difference: Difference, better: str) -> tuple[str, str]:
    """Colour and shape of an interval: better, worse or undecided."""
    if difference.low <= 0 <= difference.high:
        return MUTED, "o"
    return (BLUE, "D") if (difference.high < 0) == (better == "lower") else (VERMILLION, "X")


def _include_zero(axes: "Axes", differences: Sequence[Difference]) -> None:
    low, high = min(0.0, *(d.low for d in differences)), max(0.0, *(d.high for d in differences))
    margin = 0.06 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)


def _clean(axes: "Axes", grid: Literal["x", "y", "both"]) -> None:
    axes.grid(axis=grid, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.xaxis.label.set(color=MUTED, size=9)
    axes.yaxis.label.set(color=INK, size=10)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _new_figure(width: float, height: float) -> "Figure":
    """An empty figure of that many inches, without pyplot and so without its state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as in `_pair_legend`
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.set_layout_engine("constrained", h_pad=0.07)
    FigureCanvasAgg(figure)
    return figure


def _write(figure: "Figure", path: Path) -> None:
    from PIL import Image  # noqa: PLC0415 - comes with matplotlib

    true_colour = io.BytesIO()
    figure.savefig(true_colour, format="png")
    picture = Image.open(true_colour).convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, format="png", optimize=True, dpi=(DPI, DPI))
