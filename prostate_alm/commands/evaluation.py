"""Joining datalist, scores and decisions into the record of an evaluation."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from prostate_alm import __version__
from prostate_alm.commands.scoring import StudyScore
from prostate_alm.datasets.datalist import Datalist
from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.parcel import Manifest
from prostate_alm.report.evaluation_figures import (
    Decided,
    Scored,
    calibration_figures,
    cautions,
    comparison,
    decision_figures,
    discrimination,
    fixed_threshold,
    kinds_of_positives,
    subgroups,
)
from prostate_alm.report.evaluation_record import (
    Comparison,
    EvaluatedEnsemble,
    EvaluationRecord,
    Failure,
    FixedThreshold,
    Patients,
    Subgroup,
)
from prostate_alm.report.triage import Basis, ModelIdentity, Recommendation, TriageAnswer, decide

Entry = Mapping[str, Any]
COLUMNS = ("vendor", "field_strength")


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate.

    Attributes:
        against: another ensemble to compare with on the same patients.
        prevalences: besides the observed one, each between 0 and 1.
        columns: of the datalist whose groups are shown apart.
        cases: failures that are shown with pictures.
        resamples: of the bootstrap.
        device: auto, cpu or cuda.
        workers: processes that score.
    """

    against: Path | None = None
    prevalences: tuple[float, ...] = ()
    columns: tuple[str, ...] = COLUMNS
    cases: int = 6
    resamples: int = 2000
    device: str = "auto"
    workers: int = 1


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Labelled studies and what an ensemble says of them.

    Attributes:
        entries: S of a datalist.
        scores: theirs.
        manifest: of the ensemble.
        sha256: of the manifest.
        points: its operating points, in the order of the file.
    """

    entries: Sequence[Entry]
    scores: Sequence[StudyScore]
    manifest: Manifest
    sha256: str
    points: Sequence[OperatingPoint]

    @cached_property
    def labels(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """``[S]``."""
        return np.array([entry["label"] for entry in self.entries], dtype=np.int64)

    @cached_property
    def logits(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """``[S]``, NaN where there is no finite score."""
        return np.array([score.logit for score in self.scores], dtype=np.float64)

    @cached_property
    def has_score(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """``[S]``, whether there is a finite score."""
        return np.isfinite(self.logits)

    @cached_property
    def scored(self) -> Scored:
        """Those with a score."""
        members = [score.member_logits for score in self.scores if math.isfinite(score.logit)]
        return Scored(self.logits[self.has_score], np.array(members, dtype=np.float64).T, self.labels[self.has_score])

    @cached_property
    def answers(self) -> dict[str, list[TriageAnswer]]:
        """What the service would answer, by operating point, for each study."""
        model = ModelIdentity(
            name=self.manifest.name, version=self.manifest.version, sha256=self.sha256, members=self.manifest.members
        )
        evidence = [score.evidence(self.sha256) for score in self.scores]
        return {
            point.name: [decide("evaluation", one, operating_point=point, model=model) for one in evidence]
            for point in self.points
        }

    def decided(self, point: OperatingPoint) -> Decided:
        """All studies with what the service would recommend at a point."""
        contrast = [one.recommendation is Recommendation.DCE_RECOMMENDED for one in self.answers[point.name]]
        return Decided(self.logits, self.labels, np.array(contrast, dtype=np.bool_))

    def rows(self) -> list[dict[str, Any]]:
        """`scores.json`: a row a study, in the order of the datalist."""
        return [
            {
                "index": entry["index"],
                "study": entry["study"],
                "label": entry["label"],
                "reason": entry.get("reason", ""),
                "logit": score.logit if math.isfinite(score.logit) else None,
                "member_logits": list(score.member_logits),
                "refused": score.refused,
                "failed_gates": list(score.failed_gates),
                "recommendations": {name: answers[place].recommendation for name, answers in self.answers.items()},
            }
            for place, (entry, score) in enumerate(zip(self.entries, self.scores, strict=True))
        ]


def make_record(
    found: Evaluation,
    *,
    datalist: Datalist,
    parcel: EvaluatedEnsemble,
    validation: ValidationScores,
    options: EvaluationOptions,
    other: tuple[EvaluatedEnsemble, Sequence[StudyScore]] | None = None,
) -> EvaluationRecord:
    """The record of an evaluation.

    Args:
        found: scores and decisions.
        datalist: of the patients.
        parcel: which ensemble it was.
        validation: the scores that its thresholds were set on.
        options: how to evaluate.
        other: another ensemble with its scores of the same studies.

    Raises:
        ArgumentError: a statistic is not defined for these patients.
    """
    calibrated = calibration_figures(found.scored, validation)
    thresholds = [_threshold(found, point, options.prevalences) for point in found.points]
    failures, in_all = _failures(found, options.cases)
    counts = thresholds[0].whole_decision.counts
    return EvaluationRecord(
        software=__version__,
        ensemble=parcel,
        patients=_patients(found, datalist),
        discrimination=discrimination(found.scored, resamples=options.resamples),
        fixed_thresholds=thresholds,
        calibration=calibrated,
        decision_curve=decision_figures(found.scored, calibrated, found.points),
        subgroups=_subgroups(found, options.columns),
        failures=failures,
        failures_in_all=in_all,
        comparison=None if other is None else _comparison(found, *other, resamples=options.resamples),
        cautions=cautions(
            {"positives": counts.positives, "negatives": counts.negatives}, thresholds, calibration=calibrated,
        ),
    )  # fmt: skip


def evaluated_ensemble(manifest: Manifest, sha256: str, known: KnownStudies) -> EvaluatedEnsemble:
    """Which ensemble it is."""
    return EvaluatedEnsemble(
        name=manifest.name,
        version=manifest.version,
        sha256=sha256,
        parent_sha256=manifest.parent_sha256,
        members=manifest.members,
        trained_on_sha256=manifest.datalist_sha256,
        training=manifest.training,
        versions=manifest.versions,
        training_studies=len(known.training),
        calibration_studies=len(known.calibration),
    )


def _patients(found: Evaluation, datalist: Datalist) -> Patients:
    positives = int(found.labels.sum())
    gates = Counter(reason for score in found.scores if math.isfinite(score.logit) for reason in score.failed_gates)
    passed = [math.isfinite(score.logit) and not score.failed_gates for score in found.scores]
    return Patients(
        datalist=datalist.name,
        datalist_sha256=datalist.sha256,
        studies=len(found.entries),
        patients=len({entry["patient"] for entry in found.entries}),
        positives=positives,
        negatives=len(found.entries) - positives,
        scored=int(found.has_score.sum()),
        refused=dict(Counter(score.refused for score in found.scores if score.refused is not None)),
        gates_failed=dict(gates.most_common()),
        passed_every_gate=sum(passed),
    )


def _threshold(found: Evaluation, point: OperatingPoint, prevalences: Sequence[float]) -> FixedThreshold:
    return fixed_threshold(
        point,
        found.scored,
        decided=found.decided(point),
        failed_safe=sum(one.basis is Basis.FAILSAFE for one in found.answers[point.name]),
        prevalences=prevalences,
    )


def _subgroups(found: Evaluation, columns: Sequence[str]) -> list[Subgroup]:
    """By column, by whether every gate passed, and by the kind of positive."""
    decided = found.decided(found.points[0])
    rows: list[Subgroup] = []
    for column in columns:
        rows += subgroups(column, [_text(entry.get(column)) for entry in found.entries], decided)
    gates = ["a gate failed" if score.failed_gates or score.refused else "passed every gate" for score in found.scores]
    rows += subgroups("quality", gates, decided)
    return rows + kinds_of_positives([_text(entry.get("reason")) for entry in found.entries], decided)


def _text(value: object) -> str:
    """A column's value as the name of a group; numbers without noise."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _failures(found: Evaluation, cases: int) -> tuple[list[Failure], dict[Any, int]]:
    """The worst misses of the model alone at any operating point, and the worst false alarms at the first."""
    first, highest = found.points[0].threshold, max(point.threshold for point in found.points)
    order = np.argsort(np.where(found.has_score, found.logits, np.inf), kind="stable").tolist()
    missed = [i for i in order if found.has_score[i] and found.labels[i] == 1 and found.logits[i] < highest]
    alarms = [i for i in reversed(order) if found.has_score[i] and found.labels[i] == 0 and found.logits[i] >= first]
    room = max(cases - min(len(alarms), cases // 2), 0)  # half of the places at least are for misses
    shown = missed[:room]
    shown += alarms[: cases - len(shown)]
    return [_failure(found, place) for place in shown], {"missed": len(missed), "false alarm": len(alarms)}


def _failure(found: Evaluation, place: int) -> Failure:
    entry, logit = found.entries[place], float(found.logits[place])
    answer = found.answers[found.points[0].name][place]
    positive = bool(found.labels[place])
    return Failure(
        study=entry["study"],
        kind="missed" if positive else "false alarm",
        label_reason=_text(entry.get("reason")),
        logit=logit,
        missed_at=[point.name for point in found.points if positive and logit < point.threshold],
        failed_safe=list(answer.reasons),
    )


def _comparison(
    found: Evaluation, other: EvaluatedEnsemble, scores: Sequence[StudyScore], *, resamples: int
) -> Comparison:
    """On the studies that both could score."""
    logits = np.array([score.logit for score in scores], dtype=np.float64)
    both = found.has_score & np.isfinite(logits)
    chosen = Scored(found.logits[both], np.empty((0, int(both.sum()))), found.labels[both])
    return comparison(chosen, logits[both], other, resamples=resamples)
