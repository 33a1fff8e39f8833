"""From scores, labels and decisions to the figures of `metrics.json`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.bootstrap import (
    FewPositivesWarning,
    fpr_at_false_negatives_difference,
    fpr_at_false_negatives_interval,
)
from prostate_alm.evaluation.calibration import calibration_of, fit_temperature, probabilities_of
from prostate_alm.evaluation.confusion import Confusion, Proportion, confusion
from prostate_alm.evaluation.decision_curve import DecisionCurve, decision_curve
from prostate_alm.evaluation.delong import AucInterval, delong_interval, delong_test
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.evaluation.predictive import of_hundred, predictive_values
from prostate_alm.evaluation.roc import misses_allowed
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.report.evaluation_record import (
    AtPrevalence,
    CalibrationFigures,
    Comparison,
    Discrimination,
    EvaluatedEnsemble,
    FixedThreshold,
    Outcome,
    RateDifference,
    RateFigure,
    Subgroup,
)

FALSE_NEGATIVES, TPRS = (0, 1, 2, 5), (0.90, 0.95, 0.98)
FEWEST_OF_A_CLASS = 10
"""An AUC of fewer positives or negatives is noise; the group's counts are shown all the same."""
MOST_GROUPS = 12
FEWEST_OF_A_BIN = 10

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of the studies that could be scored.

    Attributes:
        logits: ``[N]``, mean of the members.
        member_logits: ``[K, N]``.
        labels: ``[N]``, 0 or 1.
    """

    logits: Floats
    member_logits: Floats
    labels: Labels

    @property
    def positives(self) -> int:
        """Number of studies with label 1."""
        return int(self.labels.sum())


@dataclass(frozen=True, eq=False)
class Decided:
    """All studies with what the whole decision recommends.

    Attributes:
        logits: ``[S]``, NaN where there is no score.
        labels: ``[S]``, 0 or 1.
        contrast: ``[S]``, whether contrast is recommended.
    """

    logits: Floats
    labels: Labels
    contrast: Bools

    def only(self, chosen: Bools) -> "Decided":
        """Those of ``[S]`` that are chosen."""
        return Decided(self.logits[chosen], self.labels[chosen], self.contrast[chosen])


def discrimination(scored: Scored, *, resamples: int) -> Discrimination:
    """AUC of ensemble and members, and rates at thresholds set on these very patients.

    Raises:
        ArgumentError: a class has fewer than two studies, or as the statistics.
    """
    rates: list[RateFigure] = []
    for at, misses in _places(scored.positives):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewPositivesWarning)  # its text is the note
            found = fpr_at_false_negatives_interval(scored.logits, scored.labels, misses, resamples=resamples)
        rates.append(
            RateFigure(
                at=at,
                misses_allowed=misses,
                value=found.value,
                low=found.low,
                high=found.high,
                reliable=found.reliable,
                note=found.note,
            )
        )
    return Discrimination(
        auc=delong_interval(scored.logits, scored.labels),
        members=[delong_interval(member, scored.labels) for member in scored.member_logits],
        test_set_oracle=rates,
    )


def _places(positives: int) -> list[tuple[str, int]]:
    """Where rates are read: a name, and the misses allowed; without those that would allow all."""
    places = [(f"{k} FN", k) for k in FALSE_NEGATIVES]
    places += [(f"TPR {100 * tpr:g} %", misses_allowed(tpr, positives)) for tpr in TPRS]
    return [(at, misses) for at, misses in places if misses < positives]


def fixed_threshold(
    point: OperatingPoint,
    scored: Scored,
    *,
    decided: Decided,
    failed_safe: int,
    prevalences: Sequence[float],
) -> FixedThreshold:
    """A threshold fixed beforehand on these patients.

    Args:
        point: the operating point.
        scored: the studies of "model alone".
        decided: all studies, `contrast` at this point.
        failed_safe: how many of them failed safe.
        prevalences: besides the observed one.

    Raises:
        ArgumentError: as `predictive.predictive_values`.
    """
    return FixedThreshold(
        point=point,
        model_alone=_outcome(confusion(scored.logits >= point.threshold, scored.labels), prevalences),
        whole_decision=_outcome(confusion(decided.contrast, decided.labels), prevalences),
        failed_safe=failed_safe,
    )


def _outcome(counts: Confusion, prevalences: Sequence[float]) -> Outcome:
    observed = counts.positives / (counts.positives + counts.negatives)
    return Outcome(
        counts=counts,
        prevalences=[
            AtPrevalence(
                observed=position == 0,
                values=predictive_values(counts, prevalence),
                of_hundred=of_hundred(counts, prevalence),
            )
            for position, prevalence in enumerate((observed, *prevalences))
        ],
    )


def calibration_figures(scored: Scored, validation: ValidationScores) -> CalibrationFigures:
    """Calibration on these patients, before and after a temperature that was fitted on others."""
    bins = max(1, min(10, scored.labels.size // FEWEST_OF_A_BIN))
    temperature, note = None, ""
    try:
        temperature = fit_temperature(validation.logits, validation.labels)
    except ArgumentError as error:
        note = str(error)
    return CalibrationFigures(
        before=calibration_of(scored.logits, scored.labels, bins=bins),
        after=None if temperature is None else calibration_of(scored.logits / temperature, scored.labels, bins=bins),
        temperature=temperature,
        fitted_on=validation.evidence,
        fitted_patients=len(validation.scores),
        note=note,
    )


def decision_figures(
    scored: Scored, calibration: CalibrationFigures, points: Sequence[OperatingPoint]
) -> DecisionCurve:
    """The decision curve of the (scaled) probabilities, and the operating points on the same patients."""
    scale = 1.0 if calibration.temperature is None else calibration.temperature
    fixed = {point.name: confusion(scored.logits >= point.threshold, scored.labels) for point in points}
    return decision_curve(probabilities_of(scored.logits / scale), scored.labels, fixed=fixed)


def subgroups(column: str, values: Sequence[str], decided: Decided) -> list[Subgroup]:
    """The groups of a column, the largest first; those beyond `MOST_GROUPS` together as "other".

    Args:
        column: its name.
        values: ``[S]`` of all studies; empty where it is unknown.
        decided: all studies.

    Returns:
        Nothing where all studies are of one group.
    """
    groups = np.array([value or "unknown" for value in values], dtype=object)
    names, counts = np.unique(groups.astype(str), return_counts=True)
    ordered = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    if len(ordered) < 2:
        return []
    if len(ordered) > MOST_GROUPS:
        kept = ordered[: MOST_GROUPS - 1]
        groups = np.array([name if name in kept else "other" for name in groups], dtype=object)
        ordered = [*kept, "other"]
    return [_subgroup(column, name, decided.only(groups == name)) for name in ordered]


def kinds_of_positives(kinds: Sequence[str], decided: Decided) -> list[Subgroup]:
    """Each kind of positive against all negatives, where the datalist names the kind under `reason`.

    Args:
        kinds: ``[S]`` of all studies; empty where there is none.
        decided: all studies.
    """
    positive = decided.labels == 1
    named = sorted({kind for kind, label in zip(kinds, positive.tolist(), strict=True) if kind and label})
    rows: list[Subgroup] = []
    for kind in named:
        of_kind = np.array([one == kind for one in kinds], dtype=np.bool_)
        row = _subgroup("reason for contrast", kind, decided.only(of_kind & positive | ~positive))
        rows.append(row.model_copy(update={"note": f"Against all negatives. {row.note}".rstrip()}))
    return rows if len(rows) > 1 else []


def _subgroup(column: str, name: str, decided: Decided) -> Subgroup:
    counts = confusion(decided.contrast, decided.labels)
    auc, note = _auc_of_group(decided.logits, decided.labels)
    return Subgroup(
        column=column,
        group=name,
        studies=int(decided.labels.size),
        positives=counts.positives,
        auc=auc,
        sensitivity=counts.sensitivity,
        specificity=counts.specificity,
        note=note,
    )


def _auc_of_group(logits: Floats, labels: Labels) -> tuple[AucInterval | None, str]:
    known = np.isfinite(logits)
    positives, negatives = int((labels[known] == 1).sum()), int((labels[known] == 0).sum())
    if min(positives, negatives) < FEWEST_OF_A_CLASS:
        return None, f"{positives} positives and {negatives} negatives with a score are too few for an AUC."
    return delong_interval(logits[known], labels[known]), ""


def comparison(scored: Scored, other_logits: Floats, other: EvaluatedEnsemble, *, resamples: int) -> Comparison:
    """Paired DeLong and paired bootstrap on the same patients.

    Args:
        scored: of this ensemble, the studies that both could score.
        other_logits: ``[N]`` of the other, in the same order.
        other: which it is.
        resamples: of the bootstrap.

    Raises:
        ArgumentError: as the statistics.
    """
    test = delong_test(scored.logits, other_logits, scored.labels)
    rates: list[RateDifference] = []
    for at, misses in _places(scored.positives):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewPositivesWarning)
            found = fpr_at_false_negatives_difference(
                scored.logits, other_logits, scored.labels, misses, resamples=resamples
            )
        rates.append(
            RateDifference(
                at=at,
                difference=found.difference,
                low=found.low,
                high=found.high,
                p_value=found.p_value,
                reliable=found.reliable,
                note=found.note,
            )
        )
    return Comparison(
        other=other,
        studies=int(scored.labels.size),
        other_auc=delong_interval(other_logits, scored.labels),
        auc_difference=test.difference,
        standard_error=test.standard_error,
        p_value=test.p_value,
        note=test.note,
        rates=rates,
    )


def cautions(
    patients: Mapping[str, int], points: Sequence[FixedThreshold], *, calibration: CalibrationFigures
) -> list[str]:
    """What a reader must know of the figures, from the figures themselves.

    Args:
        patients: `positives` and `negatives`.
        points: applied to these patients.
        calibration: before and after the temperature.
    """
    told: list[str] = []
    positives, negatives = patients["positives"], patients["negatives"]
    if positives < 100:
        none = Proportion.of(0, positives).high
        told.append(
            f"{positives} positives are few: even none missed leaves a miss rate of up to {none:.1%} inside the 95 % "
            "interval, and a false-positive rate at 0 or 1 false negatives is the luck of one patient."
        )
    if negatives < 100:
        told.append(f"{negatives} negatives are few: specificity and net benefit are known to several per cent only.")
    if any(one.point.status == "approximate" for one in points):
        told.append(
            "The operating points were set on out-of-fold scores: their bounds are approximate. A calibration set "
            "(`train --calibration`, `recalibrate`) earns a guarantee."
        )
    worse = [f"`{one.point.name}`" for one in points if _exceeds(one)]
    if worse:
        told.append(
            f"At {', '.join(worse)} the model alone missed more than the bound that was set beforehand allows: the "
            "positives of this test set are not like those that the threshold was set on. Do not use it here."
        )
    if calibration.after is None:
        told.append("No temperature could be fitted on the validation scores; probabilities are shown as they are.")
    elif calibration.after.brier > calibration.before.brier:
        told.append(
            "Temperature scaling made the probabilities worse on these patients: it stretches the scores and can't "
            "shift them, as class-aware batches or another prevalence would need. Do not read them as probabilities, "
            "nor the model's decision curve; the thresholds are not touched by this."
        )
    return told


def _exceeds(one: FixedThreshold) -> bool:
    """Whether the exact interval of the miss rate lies above the bound that was claimed."""
    counts = one.model_alone.counts
    return 1 - counts.sensitivity.high > one.point.miss_rate_upper_95
