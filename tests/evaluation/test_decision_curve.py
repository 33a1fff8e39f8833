"""Net benefit worked by hand, and its limiting cases."""

import numpy as np
import pytest

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import confusion
from prostate_alm.evaluation.decision_curve import decision_curve, net_benefit


def test_worked_by_hand():
    # of ten patients two are found and three recalled; at 20 % a recall weighs a quarter of a miss
    counts = confusion([True] * 5 + [False] * 5, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1])
    assert net_benefit(counts, 0.2) == pytest.approx(2 / 10 - 3 / 10 * 0.25)


def test_everybody_has_the_prevalence_less_the_weighed_others():
    labels = [1] * 3 + [0] * 7
    curve = decision_curve(np.linspace(0.9, 0.1, 10), labels, thresholds=[0.1, 0.3, 0.5])
    assert curve.everybody == pytest.approx([0.3 - 0.7 * t / (1 - t) for t in (0.1, 0.3, 0.5)])
    assert curve.everybody[1] == pytest.approx(0.0)  # where the threshold is the prevalence


def test_a_perfect_model_has_the_prevalence_and_none_better():
    labels = np.array([1, 1, 0, 0, 0])
    curve = decision_curve(labels.astype(float), labels, fixed={"all": confusion([True] * 5, labels)})
    assert curve.model == pytest.approx([0.4] * len(curve.thresholds))
    assert curve.fixed["all"] == curve.everybody


@pytest.mark.parametrize("threshold", [0.0, 1.0, 20.0])
def test_a_threshold_that_is_no_chance_is_refused(threshold):
    with pytest.raises(ArgumentError, match="threshold"):
        decision_curve([0.2, 0.4], [0, 1], thresholds=[threshold])
