"""An evaluation of made-up scores."""

from types import SimpleNamespace

import numpy as np
import pytest

from prostate_alm.errors import Reason
from prostate_alm.evaluation.operating_point import choose_by_rule
from prostate_alm.evaluation.operating_rules import parse_rules
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.report.evaluation_figures import (
    Decided,
    Scored,
    calibration_figures,
    comparison,
    decision_figures,
    discrimination,
    fixed_threshold,
    subgroups,
)
from prostate_alm.report.evaluation_record import EvaluatedEnsemble, EvaluationRecord, Failure, Patients


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = (rng.uniform(size=n) < 0.3).astype(np.int64)
    return labels, rng.normal(2.0 * labels - 1.0)


@pytest.fixture(scope="session")
def sample() -> SimpleNamespace:
    """A record, and the scores and labels it was made of."""
    rng = np.random.default_rng(8)
    labels, logits = draw(rng, 120)
    known_labels, known_logits = draw(rng, 200)
    points = [choose_by_rule(known_logits, known_labels, rule) for rule in parse_rules(["0-fn", "conformal=0.1"])]
    scored = Scored(logits, np.stack([logits + 0.1, logits - 0.1]), labels)
    validation = ValidationScores.of(known_logits, known_labels, evidence="out-of-fold")
    calibrated = calibration_figures(scored, validation)
    all_studies = [Decided(logits, labels, logits >= point.threshold) for point in points]
    ensemble = EvaluatedEnsemble(
        name="small", version="0.1.0", sha256="a" * 64, parent_sha256=None, members=2, trained_on_sha256="b" * 64,
        training={"loss": "bce"}, versions={"torch": "2"}, training_studies=200, calibration_studies=0,
    )  # fmt: skip
    record = EvaluationRecord(
        software="0.1.0",
        ensemble=ensemble,
        patients=Patients(
            datalist="cohort", datalist_sha256="c" * 64, studies=120, patients=119, positives=int(labels.sum()),
            negatives=120 - int(labels.sum()), scored=120, refused={}, gates_failed={Reason.MOTION_SUSPECTED: 3},
            passed_every_gate=117,
        ),
        discrimination=discrimination(scored, resamples=100),
        fixed_thresholds=[
            fixed_threshold(point, scored, decided=decided, failed_safe=3, prevalences=(0.13,))
            for point, decided in zip(points, all_studies, strict=True)
        ],
        calibration=calibrated,
        decision_curve=decision_figures(scored, calibrated, points),
        subgroups=subgroups("vendor", ["a" if i % 20 else "b" for i in range(120)], all_studies[0]),
        failures=[
            Failure(
                study="s001", kind="missed", label_reason="lesion", logit=-3.0, missed_at=["0-fn"],
                failed_safe=[Reason.MEMBERS_DISAGREE],
            )
        ],
        failures_in_all={"missed": 1, "false alarm": 7},
        comparison=comparison(scored, rng.normal(logits, 0.5), ensemble, resamples=100),
        cautions=["run `train` with care"],
    )  # fmt: skip
    return SimpleNamespace(record=record, logits=logits, labels=labels, points=points, scored=scored, rng=rng)
