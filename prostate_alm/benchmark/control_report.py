"""The control's figures: each arm, and each arm against the one that it differs from in a single thing."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from prostate_alm.benchmark.cells import constraint_share, figure, labels, summary
from prostate_alm.benchmark.control import Arm, arms
from prostate_alm.benchmark.figures import Difference, interval_figure, roc_figure
from prostate_alm.benchmark.rendering import chosen_text, p_text, share_text, write_text
from prostate_alm.benchmark.studies import Outcome
from prostate_alm.benchmark.table import Caption
from prostate_alm.evaluation.bootstrap import FewPositivesWarning, fpr_at_tpr_difference
from prostate_alm.evaluation.comparisons import SeedComparison, holm, paired_seeds
from prostate_alm.evaluation.delong import delong_test
from prostate_alm.evaluation.resampling import PairedDifference
from prostate_alm.evaluation.roc import RocCurve, roc_curve
from prostate_alm.parcel import write_json

TPRS = (0.98, 0.95)
AUC = "auc"
MAIN_ARMS = ("BCE", "BCE, class-aware", "ALM", "ALM, class-aware")
METRICS = (*(f"fpr@tpr={tpr}" for tpr in TPRS), AUC)


@dataclass(frozen=True)
class Comparison:
    """An arm against another, by one metric, as differences in percentage points (arm minus reference).

    Attributes:
        arm: name.
        reference: name of the other.
        question: that the comparison answers.
        metric: one of `METRICS`.
        members: over pairs of members that share split and seed: what training once more would give.
        members_p_adjusted: of the t test, adjusted over all comparisons by this metric (Holm).
        ensemble: of the two ensembles, over test images.
        ensemble_p_adjusted: of its test, adjusted likewise.
    """

    arm: str
    reference: str
    question: str
    metric: str
    members: SeedComparison
    members_p_adjusted: float
    ensemble: PairedDifference
    ensemble_p_adjusted: float


def compared(outcomes: Mapping[str, Outcome], among: Sequence[Arm] | None = None) -> list[Comparison]:
    """All comparisons of arms that have all their runs, metric by metric.

    Args:
        outcomes: by arm.
        among: the arms; None for those on images.
    """
    among = arms() if among is None else among
    pairs = [(arm.method.name, arm.reference, arm.question) for arm in among if arm.reference is not None]
    pairs.append(("ALM, class-aware", "BCE", "what both give together"))
    pairs = [pair for pair in pairs if _complete(outcomes, pair[0]) and _complete(outcomes, pair[1])]
    found: list[Comparison] = []
    for metric in METRICS if pairs else ():
        both = [(outcomes[arm], outcomes[reference]) for arm, reference, _ in pairs]
        members = [paired_seeds(_of_members(arm, metric), _of_members(other, metric)) for arm, other in both]
        ensembles = [_of_ensembles(arm, other, metric) for arm, other in both]
        of_members = holm([one.p_t for one in members]).tolist()
        of_ensembles = holm([one.p_value for one in ensembles]).tolist()
        found += [
            Comparison(*pair, metric, over_members, p_members, over_images, p_images)
            for pair, over_members, p_members, over_images, p_images in zip(
                pairs, members, of_members, ensembles, of_ensembles, strict=True
            )
        ]
    return found


def write_control(
    outcomes: Mapping[str, Outcome], folder: Path, caption: Caption, among: Sequence[Arm] | None = None
) -> Path:
    """Write `control.md`, `control.json`, `control.png` (differences) and `control-roc.png`; returns the first."""
    comparisons = compared(outcomes, among)
    complete = {name: outcome for name, outcome in outcomes.items() if _complete(outcomes, name)}
    figures = {name: arm_figures(outcome) for name, outcome in complete.items()}
    content = {"caption": caption.model_dump(), "arms": figures, "comparisons": [asdict(c) for c in comparisons]}
    write_json(folder / "control.json", content)
    first = [c for c in comparisons if c.metric == METRICS[0]]
    if first:
        differences = [
            Difference(f"{c.arm} − {c.reference}", c.members.mean_difference, c.members.low, c.members.high)
            for c in first
        ]
        interval_figure(
            differences,
            folder / "control.png",
            quantity=_title(METRICS[0]),
            reference="reference",
            better="lower",
        )
    curves = {name: ensemble_curve(complete[name]) for name in MAIN_ARMS if name in complete}
    if curves:
        roc_figure(curves, folder / "control-roc.png")
    path = folder / "control.md"
    write_text(path, _markdown(figures, comparisons, caption))
    return path


def arm_figures(outcome: Outcome) -> dict[str, Any]:
    """Choice and figures of an arm, in percent: members' mean and standard deviation, the ensemble's with interval."""
    found: dict[str, Any] = {
        "chosen": dict(outcome.chosen), "members": len(outcome.runs), "constraint_share": constraint_share(outcome)
    }  # fmt: skip
    for metric in METRICS:
        values, ensemble = _of_members(outcome, metric), figure(metric, outcome)
        found[metric] = {
            "mean": float(values.mean()), "sd": float(values.std(ddof=1)) if values.size > 1 else None,
            "ensemble": ensemble.value, "low": ensemble.low, "high": ensemble.high,
        }  # fmt: skip
    return found


def ensemble_curve(outcome: Outcome) -> RocCurve:
    """The ROC curve of an arm's ensemble on the test images."""
    return roc_curve(summary(outcome).ensemble_logits, labels(outcome))


def _complete(outcomes: Mapping[str, Outcome], name: str) -> bool:
    return name in outcomes and bool(outcomes[name].runs) and not outcomes[name].failures


def _of_members(outcome: Outcome, metric: str) -> Any:
    """``[members]`` in percent."""
    return 100 * np.array([run.metrics[metric] for run in outcome.runs])


def _of_ensembles(arm: Outcome, reference: Outcome, metric: str) -> PairedDifference:
    """Difference of the ensembles in percentage points, over test images."""
    a, b, truth = summary(arm).ensemble_logits, summary(reference).ensemble_logits, labels(arm)
    if metric == AUC:
        tested = delong_test(a, b, truth)
        half = NormalDist().inv_cdf(0.975) * tested.standard_error
        low, high = tested.difference - half, tested.difference + half
        return PairedDifference(100 * tested.difference, 100 * low, 100 * high, tested.p_value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewPositivesWarning)
        found = fpr_at_tpr_difference(a, b, truth, float(metric.partition("=")[2]))
    return PairedDifference(
        100 * found.difference, 100 * found.low, 100 * found.high, found.p_value, found.reliable, found.note
    )


def _markdown(figures: Mapping[str, Any], comparisons: Sequence[Comparison], caption: Caption) -> str:
    """Both tables for a reader."""
    lines = [
        "### The control",
        "",
        "In percent. Single members: mean ± standard deviation; ensemble: 95 % interval.",
        "",
    ]
    lines += [
        "| arm | chosen on validation | constraint's share of the loss | "
        + " | ".join(f"{_title(m)}, member | ensemble" for m in METRICS)
        + " |"
    ]
    lines += ["|---|---|---|" + "---|---|" * len(METRICS)]
    for name, found in figures.items():
        cells = [
            f"{_spread(found[m])} | {found[m]['ensemble']:.1f} ({found[m]['low']:.1f}–{found[m]['high']:.1f})"
            for m in METRICS
        ]
        choice = f"{chosen_text(found['chosen'])} | {share_text(found['constraint_share'])}"
        lines += [f"| {name} | {choice} | " + " | ".join(cells) + " |"]
    for metric in METRICS:
        lines += ["", f"#### {_title(metric)}: differences", ""]
        lines += [
            "| arm − reference | asks | members (95 %) | p, Holm | ensemble (95 %) | p, Holm |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_comparison_line(c) for c in comparisons if c.metric == metric]
    lines += ["", *(f"- {name.capitalize()}: {text}" for name, text in caption)]
    return "\n".join(lines) + "\n"


def _comparison_line(c: Comparison) -> str:
    members = f"{c.members.mean_difference:+.1f} ({c.members.low:+.1f} to {c.members.high:+.1f})"
    ensemble = f"{c.ensemble.difference:+.1f} ({c.ensemble.low:+.1f} to {c.ensemble.high:+.1f})"
    p_members = f"{p_text(c.members.p_t)}, {p_text(c.members_p_adjusted)}"
    p_ensemble = f"{p_text(c.ensemble.p_value)}, {p_text(c.ensemble_p_adjusted)}"
    return f"| {c.arm} − {c.reference} | {c.question} | {members} | {p_members} | {ensemble} | {p_ensemble} |"


def _spread(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.1f}" + ("" if found["sd"] is None else f" ± {found['sd']:.1f}")


def _title(metric: str) -> str:
    return "AUC" if metric == AUC else f"FPR @ {100 * float(metric.partition('=')[2]):g} % TPR"
