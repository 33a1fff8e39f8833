"""`prostate-alm recalibrate`: an ensemble's thresholds set anew on a site's own labelled patients."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from prostate_alm.commands.evaluate import read_parcel
from prostate_alm.commands.scoring import StudyScore, known_studies, score_entries
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import CohortError, Reason
from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_rules import DEFAULT_RULES, Rule
from prostate_alm.evaluation.reference import Reference, spread_of
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.parcel import REFERENCE, sealed_bytes
from prostate_alm.study import QUALITY_GATES
from prostate_alm.training.assembly import operating_points
from prostate_alm.training.recalibration import (
    Recalibration,
    SitePatients,
    refuse_existing,
    tightened_reference,
    write_recalibrated,
)
from prostate_alm.training.scoring import Scores

MANY_BEYOND = 0.2


def recalibrate(
    ensemble: Path,
    *,
    datalist: Path,
    out: Path,
    rules: Sequence[Rule] = DEFAULT_RULES,
    device: str = "auto",
    workers: int = 1,
) -> Path:
    """Score a site's patients, set operating points on them, and write a new ensemble to `out`; returns it.

    Scores are kept beside `out` until it is written: interrupted, the same command goes on.

    Args:
        ensemble: its folder; it is only read.
        datalist: of patients that training never touched; both its sections are used.
        out: the new ensemble.
        rules: of the operating points, fixed before any score is seen.
        device: auto, cpu or cuda.
        workers: processes that score.

    Raises:
        EnsembleError: the ensemble can't be used, or `out` exists.
        CohortError: a patient was in training, or there is none with a score of a class.
        ArgumentError: there are too few positives for a rule; the message says how many it takes.
        TrainingError: as `ArgumentError`, or too few patients pass every quality gate.
    """
    refuse_existing(out)
    parcel, content = read_parcel(ensemble), read_datalist(datalist)
    entries = [*content.entries("training"), *content.entries("test")]
    if rules != DEFAULT_RULES:
        for rule in rules:
            rule.misses(sum(entry["label"] for entry in entries))
    kept = out.with_name(f".{out.name}.scores")
    scores = score_entries(ensemble, entries, sha256=parcel.sha256, kept=kept, device=device, workers=workers)
    studies = known_studies(entries, scores, cohort=content.name)
    parcel.known.refuse_overlap(studies, uses=("training",))
    scored = _scored(entries, scores)
    parent = Reference.from_json(sealed_bytes(ensemble, REFERENCE, parcel.manifest))
    new = Recalibration(
        points=operating_points(scored, rules, evidence="calibration"),
        reference=tightened_reference(parent, _site_patients(scores)),
        validation=ValidationScores.of(scored.logits, scored.labels, evidence="calibration"),
        known=KnownStudies(
            training=parcel.known.training, calibration=sorted(studies, key=lambda study: study.content)
        ),
        datalist_sha256=content.sha256,
    )
    write_recalibrated(out, ensemble, parcel.manifest, parcel.sha256, new)
    shutil.rmtree(kept, ignore_errors=True)
    _print(new, left_out=len(entries) - scored.labels.size, out=out)
    return out


def _scored(entries: Sequence[Mapping[str, Any]], scores: Sequence[StudyScore]) -> Scores:
    """Those with a finite score.

    Raises:
        CohortError: a class is missing.
    """
    rows = [(e["index"], s.logit, e["label"]) for e, s in zip(entries, scores, strict=True) if math.isfinite(s.logit)]
    found = Scores(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.int64),
    )
    positives = int(found.labels.sum())
    if positives in (0, found.labels.size):
        raise CohortError(
            f"the datalist has {positives} positives and {found.labels.size - positives} negatives with a score; "
            "both are needed to set a threshold."
        )
    return found


def _site_patients(scores: Sequence[StudyScore]) -> SitePatients:
    """The figures of those who passed every quality gate; spread and distance are no such gates."""
    gates = len(QUALITY_GATES)
    kept = [s for s in scores if math.isfinite(s.logit) and all(gate.passed for gate in s.quality[:gates])]
    distance = [next(g.value for g in s.quality if g.reason is Reason.OUT_OF_DISTRIBUTION) for s in kept]
    return SitePatients(
        logits=np.array([s.logit for s in kept], dtype=np.float64),
        spread=np.array([spread_of([v for v in s.member_logits if v is not None]) for s in kept], dtype=np.float64),
        distance=np.array(distance, dtype=np.float64),
        quality=np.array([[g.value for g in s.quality[:gates]] for s in kept], dtype=np.float64).reshape(-1, gates),
    )


def _print(new: Recalibration, *, left_out: int, out: Path) -> None:
    console = Console(stderr=True)
    for point in new.points.points:
        console.print(
            f"{point.name}: threshold {point.threshold:.4f}, {point.false_negatives} of {point.positives} missed, "
            f"up to {point.miss_rate_upper_95:.1%} (95 %), {point.status}"
        )
    if left_out:
        console.print(f"{left_out} studies could not be scored and are left out: for them the answer fails safe")
    beyond = new.reference.outlier.limit.expected_beyond
    if beyond > MANY_BEYOND:
        console.print(
            f"{beyond:.0%} of this site's patients are unlike those of the training and will fail safe: train with "
            "patients of this site"
        )
    console.print(f"ensemble written to {out}")
