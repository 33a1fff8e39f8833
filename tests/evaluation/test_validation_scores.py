"""The sealed scores keep label and logit together, and nothing that tells whose they are."""

import pytest

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.validation_scores import ValidationScores


def test_scores_stay_with_their_labels_and_lose_their_order():
    scores = ValidationScores.of([3.0, -1.0, 2.0, -1.0], [1, 1, 0, 0], evidence="out-of-fold")
    assert [(row.logit, row.label) for row in scores.scores] == [(-1.0, 0), (-1.0, 1), (2.0, 0), (3.0, 1)]
    again = ValidationScores.from_json(scores.model_dump_json())
    assert (again.logits.tolist(), again.labels.tolist()) == ([-1.0, -1.0, 2.0, 3.0], [0, 1, 0, 1])


def test_scores_that_are_none_are_refused():
    with pytest.raises(ArgumentError):
        ValidationScores.of([0.0, 1.0], [1, 1], evidence="calibration")
    with pytest.raises(EnsembleError, match=r"scores\.0\.logit"):
        ValidationScores.from_json('{"evidence": "calibration", "scores": [{"label": 1, "logit": null}]}')
