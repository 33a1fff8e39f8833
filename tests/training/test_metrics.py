"""The figures of an epoch are those of all its predictions, not means over batches."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from sklearn.metrics import roc_auc_score

from prostate_alm.training.metrics import (
    EpochFigure,
    binary_figures,
    false_negative_figures,
    member_figures,
    multiclass_figures,
)

Output = dict[str, torch.Tensor]


def measured(figures: Mapping[str, EpochFigure], output: Output, batch: int) -> dict[str, float]:
    """What an evaluator reports whose batches hold `batch` samples."""
    count = len(output["label"])
    evaluator = Engine(lambda _, rows: {name: values[rows] for name, values in output.items()})
    for name, figure in figures.items():
        figure.attach(evaluator, name)
    evaluator.run([slice(start, start + batch) for start in range(0, count, batch)])
    return {name: float(value) for name, value in evaluator.state.metrics.items()}


@pytest.mark.parametrize("batch", [3, 7, 100])
def test_false_positives_at_a_sensitivity_by_hand(batch: int) -> None:
    """Of five positives, four lie at 2 or more; three of the six negatives do, and five lie at 1 or more."""
    logits = torch.tensor([[5.0], [4.0], [3.0], [2.0], [1.0], [2.5], [2.0], [6.0], [1.5], [1.0], [0.0]])
    labels = torch.tensor([1] * 5 + [0] * 6)
    found = measured(binary_figures([0.8, 1.0]), {"pred": logits, "label": labels}, batch)
    assert found == pytest.approx({"fpr_at_tpr_80": 3 / 6, "fpr_at_tpr_100": 5 / 6})


def test_false_positives_at_so_many_misses_by_hand() -> None:
    """Two positives at 1 and 3; of four negatives three lie at 1 or more and one at 3 or more."""
    logits = torch.tensor([[1.0], [3.0], [0.0], [1.0], [2.0], [3.5]])
    labels = torch.tensor([1, 1, 0, 0, 0, 0])
    found = measured(false_negative_figures([0, 1, 2]), {"pred": logits, "label": labels}, 4)
    assert (found["fpr_at_0_fn"], found["fpr_at_1_fn"]) == (3 / 4, 1 / 4)
    assert np.isnan(found["fpr_at_2_fn"])


@pytest.mark.parametrize("members", [1, 3])
def test_members_are_judged_one_by_one(members: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation([0, 1] * 20)
    output = {f"m{i}": torch.tensor(rng.normal(labels)[:, None]) for i in range(members)}
    found = measured(member_figures(list(output)), {**output, "label": torch.tensor(labels)}, 16)
    aucs = [roc_auc_score(labels, values) for values in output.values()]
    expected = {"members_mean_auc": np.mean(aucs)}
    if members > 1:
        expected["members_sd_auc"] = np.std(aucs, ddof=1)
    assert found == pytest.approx(expected)


def test_several_classes_by_hand() -> None:
    """Class 2 is critical. Both its samples are found at logit 1; one other reaches that, one is wrong anyway."""
    rows = [
        ([0.0, 0.0, 3.0], 2),  # right
        ([2.0, 0.0, 1.0], 2),  # predicted 0, but found at a sensitivity of 1
        ([4.0, 0.0, 0.0], 0),  # right
        ([3.0, 0.0, 2.0], 0),  # right, but its critical logit reaches 1
        ([5.0, 1.0, 0.0], 1),  # predicted 0
        ([0.0, 1.0, 0.0], 1),  # right
    ]
    output = {"pred": torch.tensor([row for row, _ in rows]), "label": torch.tensor([label for _, label in rows])}
    found = measured(multiclass_figures([2], [0.5, 1.0]), output, 4)
    assert found == pytest.approx(
        {"accuracy_class_2": 1 / 2, "accuracy_others": 3 / 4, "error_at_tpr_50": 1 / 4, "error_at_tpr_100": 2 / 4}
    )


def test_with_two_critical_classes_only_accuracies_are_reported() -> None:
    output = {"pred": torch.eye(4), "label": torch.tensor([0, 1, 2, 2])}
    found = measured(multiclass_figures([3, 2], [0.8]), {**output, "label": torch.tensor([0, 1, 2, 3])}, 4)
    assert found == {"accuracy_class_3": 1.0, "accuracy_class_2": 1.0, "accuracy_others": 1.0}
