"""The paper's figures as metrics of an evaluator: computed once, over all predictions of an epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import EpochMetric
from monai.utils.dist import evenly_divisible_all_gather
from numpy.typing import NDArray

from prostate_alm.evaluation.ensembles import average_and_ensemble
from prostate_alm.evaluation.multiclass import error_at_tpr, from_logits, overall_accuracy, per_class_accuracy
from prostate_alm.evaluation.roc import fpr_at_false_negatives, fpr_at_tpr

Array = NDArray[Any]


class EpochFigure(EpochMetric):
    """A function of all of an epoch's logits ``[N, C]`` and labels ``[N]`` (NumPy arrays), as an ignite metric.

    Args:
        figure: what is computed.
        keys: under which the evaluator's output holds the logits; several are put side by side.
    """

    def __init__(self, figure: Callable[[Array, Array], float], keys: Sequence[str] = ("pred",)) -> None:
        def of_arrays(logits: torch.Tensor, labels: torch.Tensor) -> float:
            return figure(logits.reshape(len(labels), -1).numpy(), labels.numpy())

        def of_batch(output: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cat([output[key] for key in keys], dim=1), output["label"]

        super().__init__(of_arrays, output_transform=of_batch, check_compute_fn=False)

    def compute(self) -> float:
        """The figure over the predictions of all processes, which may hold more or fewer (ignite wants them equal)."""
        if not self._predictions:
            raise NotComputableError("an evaluator has figures only after it has seen a sample.")
        logits, labels = (
            evenly_divisible_all_gather(torch.cat(parts), concat=True) for parts in (self._predictions, self._targets)
        )
        return self.compute_fn(logits, labels)


def binary_figures(tprs: Sequence[float]) -> dict[str, EpochFigure]:
    """``fpr_at_tpr_98`` and so on, the false-positive rates at the sensitivities `tprs` (Tables 1 to 3)."""

    def rate(tpr: float) -> Callable[[Array, Array], float]:
        return lambda logits, labels: fpr_at_tpr(logits[:, 0], labels, tpr)

    return {f"fpr_at_tpr_{100 * tpr:g}": EpochFigure(rate(tpr)) for tpr in tprs}


def false_negative_figures(misses: Sequence[int]) -> dict[str, EpochFigure]:
    """``fpr_at_0_fn`` and so on, the false-positive rates with so many positives missed; NaN with no more positives."""

    def rate(k: int) -> Callable[[Array, Array], float]:
        return lambda logits, labels: (
            fpr_at_false_negatives(logits[:, 0], labels, k) if k < labels.sum() else float("nan")
        )

    return {f"fpr_at_{k}_fn": EpochFigure(rate(k)) for k in misses}


def member_figures(names: Sequence[str]) -> dict[str, EpochFigure]:
    """``members_mean_auc`` and, of two or more, ``members_sd_auc``, of the single members (Tables 10 and 11).

    Args:
        names: under which the evaluator's output holds each member's logit.
    """
    mean = EpochFigure(lambda logits, labels: average_and_ensemble(logits.T, labels).mean_auc, names)
    if len(names) == 1:
        return {"members_mean_auc": mean}
    spread = EpochFigure(lambda logits, labels: average_and_ensemble(logits.T, labels).sd_auc, names)
    return {"members_mean_auc": mean, "members_sd_auc": spread}


def multiclass_figures(critical_classes: Sequence[int], tprs: Sequence[float]) -> dict[str, EpochFigure]:
    """Accuracy of each critical class and of all others; with one critical class also the error at `tprs`.

    The names are ``accuracy_class_9``, ``accuracy_others`` and ``error_at_tpr_80`` (Tables 4, 7, 8 and 9).
    """
    critical = list(critical_classes)

    def of_class(wanted: int) -> Callable[[Array, Array], float]:
        return lambda logits, labels: per_class_accuracy(logits.argmax(axis=1), labels, [wanted])[wanted]

    def of_others(logits: Array, labels: Array) -> float:
        others = ~np.isin(labels, critical)
        return overall_accuracy(logits.argmax(axis=1)[others], labels[others])

    def error(tpr: float) -> Callable[[Array, Array], float]:
        def at_tpr(logits: Array, labels: Array) -> float:
            scores, other, _ = from_logits(logits, critical)
            return error_at_tpr(scores, other, labels, critical[0], tpr)

        return at_tpr

    found = {f"accuracy_class_{wanted}": EpochFigure(of_class(wanted)) for wanted in critical}
    found["accuracy_others"] = EpochFigure(of_others)
    if len(critical) == 1:
        found |= {f"error_at_tpr_{100 * tpr:g}": EpochFigure(error(tpr)) for tpr in tprs}
    return found
