"""A picture of the ROC curve with its operating points."""

# matplotlib leaves its `**kwargs` untyped
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.evaluation.roc import auc, roc_curve, split_scores

CURVE, GRID, INK = "#1f4e79", "#d9dee3", "#24292f"
MARKS = ("#c2410c", "#7c3aed", "#0f766e")
SHAPES = ("o", "s", "D")


def save_roc_figure(
    path: Path, scores: ArrayLike, *, labels: ArrayLike, points: Sequence[OperatingPoint], title: str
) -> None:
    """Draw the ROC curve of `scores` and where the thresholds of `points` fall on it, as a PNG.

    Args:
        path: the picture, written with its folder.
        scores: ``[N]`` ensemble logits.
        labels: ``[N]``, 0 or 1.
        points: operating points to mark, up to three; their thresholds are applied to these scores.
        title: what the scores are, such as "Unseen patients".

    Raises:
        ArgumentError: scores or labels are unusable (see `prostate_alm.evaluation.roc.split_scores`).
    """
    figure = Figure(figsize=(5.9, 6.1), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    positives, negatives = split_scores(scores, labels)
    curve = roc_curve(scores, labels)
    axes.fill_between(curve.fpr, curve.tpr, color=CURVE, alpha=0.08, linewidth=0)
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.2, linestyle=(0, (4, 4)))
    axes.plot(curve.fpr, curve.tpr, color=CURVE, linewidth=2.2, label=f"AUC {auc(scores, labels):.3f}")
    for point, colour, shape in zip(points, MARKS, SHAPES, strict=False):
        fpr, tpr = float(np.mean(negatives >= point.threshold)), float(np.mean(positives >= point.threshold))
        label = f"{point.name}: {round((1 - tpr) * positives.size)} missed, {(1 - fpr) * 100:.0f} % spared DCE"
        axes.plot(
            fpr, tpr, marker=shape, color=colour, markersize=10, markeredgecolor="white", linestyle="", label=label,
            zorder=3, clip_on=False,
        )  # fmt: skip
    _dress(axes, f"{title} ({positives.size} need DCE, {negatives.size} do not)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _dress(axes: Axes, title: str) -> None:
    """Axes, grid and legend."""
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=12)
    axes.set_xlabel("False-positive rate (DCE given although not needed)", color=INK)
    axes.set_ylabel("True-positive rate (DCE given where needed)", color=INK)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_aspect("equal")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", frameon=True, framealpha=0.95, edgecolor=GRID, fontsize=10)
