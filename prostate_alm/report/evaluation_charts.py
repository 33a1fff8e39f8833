"""The pictures of an evaluation report."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prostate_alm.evaluation.calibration import ReliabilityBin
from prostate_alm.evaluation.delong import AucInterval
from prostate_alm.evaluation.predictive import OfHundred
from prostate_alm.evaluation.roc import roc_curve
from prostate_alm.report.charts import Chart
from prostate_alm.report.evaluation_record import EvaluationRecord

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
BINS = 36
SQUARE, STEP, ROWS, COLUMNS = 15, 18, 5, 20

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def roc_chart(record: EvaluationRecord, logits: Floats, labels: Labels) -> str:
    """The ROC curve, and where thresholds fixed beforehand fall on it."""
    auc = record.discrimination.auc
    chart = Chart(f"ROC curve with an AUC of {auc.auc:.3f}.", (0.0, 1.0), (0.0, 1.0), width=430, height=420)
    chart.axes_("FPR: contrast without need", "TPR: contrast where needed", x_ticks=FIFTHS, y_ticks=FIFTHS)
    chart.line_([(0, 0), (1, 1)], "chance")
    curve = roc_curve(logits, labels)
    points = _staircase(curve.fpr.tolist(), curve.tpr.tolist())
    chart.area_(points, "under")
    chart.line_(points, "curve")
    for number, one in enumerate(record.fixed_thresholds):
        counts = one.model_alone.counts
        place = (counts.recalled / counts.negatives, counts.found / counts.positives)
        chart.mark_(place, f"mark m{number % 3}", number)
    return chart.svg()


def _staircase(fpr: Sequence[float], tpr: Sequence[float]) -> list[tuple[float, float]]:
    """The curve without points that lie on a straight line between others."""
    points = [(x, y) for x, y in zip(fpr, tpr, strict=True)]
    kept = points[:1]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        turn = (here[0] - before[0]) * (after[1] - here[1]) - (here[1] - before[1]) * (after[0] - here[0])
        if abs(turn) > 1e-12:
            kept.append(here)
    return [*kept, points[-1]]


def score_chart(record: EvaluationRecord, logits: Floats, labels: Labels) -> str:
    """How the scores of both classes are spread: positives up, negatives down; thresholds as lines."""
    thresholds = [one.point.threshold for one in record.fixed_thresholds]
    low, high = min(*logits, *thresholds), max(*logits, *thresholds)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    edges = np.asarray(np.linspace(low, high + 1e-9, BINS + 1), dtype=np.float64)
    shares = [np.histogram(logits[labels == label], edges)[0] / max(1, (labels == label).sum()) for label in (1, 0)]
    reach = 1.08 * float(max(share.max() for share in shares))
    chart = Chart(
        "Scores of those who need contrast, upwards, and of those who do not, downwards.", (low, high), (-reach, reach),
        width=560, height=420,
    )  # fmt: skip
    chart.axes_("Score (mean logit of the members)", "Share of the class", x_ticks=_round_ticks(low, high), y_ticks=(),
                percent="")  # fmt: skip
    for positive, negative, start, end in zip(*shares, edges, edges[1:], strict=False):
        if positive:
            chart.bar_((float(start), 0.0), (float(end), float(positive)), "needed")
        if negative:
            chart.bar_((float(start), -float(negative)), (float(end), 0.0), "spared")
    chart.line_([(low, 0.0), (high, 0.0)], "axis")
    for number, one in enumerate(record.fixed_thresholds):
        chart.line_([(one.point.threshold, -reach), (one.point.threshold, reach)], f"threshold m{number % 3}")
    chart.text_((chart.left + 6, chart.top + 14), "need contrast ↑", css="note")
    chart.text_((chart.left + 6, chart.height - chart.bottom - 8), "do not need it ↓", css="note")
    return chart.svg()


def _round_ticks(low: float, high: float) -> list[float]:
    """About six round numbers within a range."""
    rough = max(high - low, 1e-9) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step) + 1)]


def calibration_chart(record: EvaluationRecord) -> str:
    """What was said against what was so, with exact intervals."""
    chart = Chart("Observed share against mean probability.", (0.0, 1.0), (0.0, 1.0), width=430, height=420)
    chart.axes_("Mean probability", "Observed share who need contrast", x_ticks=FIFTHS, y_ticks=FIFTHS)
    chart.line_([(0, 0), (1, 1)], "chance")
    calibration = record.calibration
    _reliability(chart, calibration.before.bins, "before", 1)
    if calibration.after is not None:
        _reliability(chart, calibration.after.bins, "after", 0)
    return chart.svg()


def _reliability(chart: Chart, bins: Sequence[ReliabilityBin], css: str, shape: int) -> None:
    for one in bins:
        chart.line_([(one.predicted, one.observed.low), (one.predicted, one.observed.high)], f"whisker {css}")
        chart.mark_((one.predicted, one.observed.value or 0.0), css, shape)


def decision_chart(record: EvaluationRecord) -> str:
    """Net benefit by the chance at which one would give contrast."""
    curve = record.decision_curve
    top = max(0.05, *curve.everybody, *curve.model)
    low = -0.25 * top
    chart = Chart("Net benefit of the model, of contrast for everybody and for nobody.", (0.0, curve.thresholds[-1]),
                  (low, 1.05 * top), width=560, height=420)  # fmt: skip
    chart.axes_("Chance at which one would give contrast", "Net benefit per patient", x_ticks=TENTHS,
                y_ticks=_round_ticks(low, 1.05 * top), percent="x")  # fmt: skip
    chart.line_([(0.0, 0.0), (curve.thresholds[-1], 0.0)], "nobody")
    named = [
        ("everybody", curve.everybody),
        *((f"fixed m{n % 3}", line) for n, line in enumerate(curve.fixed.values())),
    ]
    for css, values in [*named, ("curve", curve.model)]:
        visible = [(t, value) for t, value in zip(curve.thresholds, values, strict=True) if value >= low]
        if len(visible) > 1:
            chart.line_(visible, css)
    return chart.svg()


def hundred_chart(table: OfHundred) -> str:
    """100 squares, a patient each, in the order missed, found, recalled, spared."""
    counts = whole_hundred(table)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    parts: list[str] = []
    for number, kind in enumerate(kinds):
        x, y = number % COLUMNS * STEP, number // COLUMNS * STEP
        parts.append(f'<rect class="p-{kind}" x="{x}" y="{y}" width="{SQUARE}" height="{SQUARE}" rx="3"/>')
        if kind == "missed":
            parts.append(f'<path class="cross" d="M{x + 4} {y + 4}l7 7m0-7l-7 7"/>')
    width, height = COLUMNS * STEP, ROWS * STEP
    return (
        f'<svg class="hundred" viewBox="0 0 {width} {height}" role="img" aria-label="Of 100 patients: {words}.">'
        f"{''.join(parts)}</svg>"
    )


def whole_hundred(table: OfHundred) -> dict[str, int]:
    """The expected numbers as whole patients that add up to 100 (largest remainders); a miss never rounds to none.

    >>> whole_hundred(OfHundred(prevalence=0.13, spared=43.5, recalled=43.5, found=12.9, missed=0.1, missed_upper_95=3))
    {'missed': 1, 'found': 13, 'recalled': 43, 'spared': 43}
    """
    exact = {"missed": table.missed, "found": table.found, "recalled": table.recalled, "spared": table.spared}
    whole = {kind: math.floor(value + 1e-9) for kind, value in exact.items()}
    if exact["missed"] > 0:
        whole["missed"] = max(1, math.ceil(exact["missed"] - 1e-9))
    others = sorted((kind for kind in exact if kind != "missed"), key=lambda kind: whole[kind] - exact[kind])
    short = 100 - sum(whole.values())
    for kind in others[:short]:
        whole[kind] += 1
    while sum(whole.values()) > 100:  # a miss was rounded up
        whole[max((kind for kind in others if whole[kind]), key=lambda kind: whole[kind] - exact[kind])] -= 1
    return whole


def forest_row(auc: AucInterval, overall: float) -> str:
    """An AUC with its interval on an axis from 0.5 (or below) to 1, and the overall AUC as a line."""
    low = min(0.5, math.floor(10 * auc.low) / 10)

    def place(value: float) -> float:
        return 6 + 168 * (value - low) / (1 - low)

    label = f"{auc.auc:.2f}, {auc.low:.2f} to {auc.high:.2f}"
    return (
        f'<svg class="forest" viewBox="0 0 180 20" role="img" aria-label="{label}">'
        f'<path class="grid" d="M6 10H174"/><path class="overall" d="M{place(overall):.1f} 1V19"/>'
        f'<path class="whisker after" d="M{place(auc.low):.1f} 10H{place(auc.high):.1f}"/>'
        f'<circle class="after" cx="{place(auc.auc):.1f}" cy="10" r="4.5"/></svg>'
    )
