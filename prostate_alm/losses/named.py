"""The paper's losses by the names of its tables, with the argument that it searches for each."""

from collections.abc import Mapping, Sequence

from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.baseline import BCELoss, CrossEntropyLoss
from prostate_alm.losses.focal import FocalLoss
from prostate_alm.losses.ldam import LDAMLoss
from prostate_alm.losses.margin import MarginLoss
from prostate_alm.losses.ranking_auc import MiniBatchAUCLoss
from prostate_alm.losses.weighted import ClassBalancedLoss, WeightedBCELoss

NAMES = ("bce", "ce", "s-ml", "a-ml", "s-fl", "a-fl", "w-bce", "cb-bce", "cb-ce", "ldam", "mbauc")

BINARY_NAMES = tuple(name for name in NAMES if name not in ("ce", "cb-ce"))
# what the paper searches (section D.2); it does not search LDAM's margin
LOSS_PARAMETERS: Mapping[str, Sequence[float]] = {
    "s-ml": (0.5, 2.0, 4.0),
    "a-ml": (0.5, 2.0, 4.0),
    "s-fl": (0.5, 1.0, 2.0),
    "a-fl": (0.5, 1.0, 2.0),
    "w-bce": (1 / 3, 2 / 3, 1.0),
    "cb-bce": (0.99, 0.999, 0.9999),
    "cb-ce": (0.99, 0.999, 0.9999),
}


def named_loss(
    name: str, *, counts: Sequence[int], critical_classes: Sequence[int] = (1,), parameter: float | None = None
) -> nn.Module:
    """Return the loss that the tables of Sangalli et al. 2021 call `name`, in lower case.

    ========  ==========================  ==================================================================
    name      loss                        `parameter` (searched by the paper; the default stands first)
    ========  ==========================  ==================================================================
    bce, ce   cross-entropy               none
    s-ml      margin in every class       margin in logits: 0.5, 2, 4
    a-ml      margin of critical classes  margin in logits: 0.5, 2, 4
    s-fl      focal, every class          gamma: 1, 0.5, 2
    a-fl      focal, not critical         gamma: 1, 0.5, 2
    w-bce     cost-weighted               share of N in the cost, for one critical sample in N: 1/3, 2/3, 1
    cb-bce,   class-balanced              beta: 0.99, 0.999, 0.9999
    cb-ce
    ldam      label-distribution-aware    margin of the rarest class in cosines: 0.5 (Cao et al. 2019)
    mbauc     mini-batch AUC              none
    ========  ==========================  ==================================================================

    Args:
        name: one of `NAMES`.
        counts: training samples of each class.
        critical_classes: what the asymmetric losses treat as critical.
        parameter: None takes the default.

    Raises:
        ArgumentError: `name` is unknown, `parameter` is out of the loss's range or given where there is none, or a loss
            for two classes is asked for more.

    >>> named_loss("w-bce", counts=[300, 3], parameter=1.0).weight
    100.0
    """
    if name not in NAMES:
        raise ArgumentError(f"`name` is {name!r}. Available: {', '.join(NAMES)}.")
    if name in ("bce", "w-bce", "cb-bce", "mbauc") and len(counts) != 2:
        raise ArgumentError(f"`{name}` is for two classes, `counts` has {len(counts)}.")
    if name in ("bce", "ce", "mbauc"):
        return _without_parameter(name, parameter)
    critical = list(critical_classes)
    match name:
        case "s-ml" | "a-ml":
            return MarginLoss(_or(parameter, 0.5), critical if name == "a-ml" else None)
        case "s-fl" | "a-fl":
            return FocalLoss(_or(parameter, 1.0), critical if name == "a-fl" else None)
        case "w-bce":
            return WeightedBCELoss(_or(parameter, 1 / 3) * counts[0] / counts[1])
        case "ldam":
            return LDAMLoss(counts, max_margin=_or(parameter, 0.5))
        case _:
            return ClassBalancedLoss(counts, _or(parameter, 0.99))


def _without_parameter(name: str, parameter: float | None) -> nn.Module:
    if parameter is not None:
        raise ArgumentError(f"`{name}` has no parameter, got {parameter}.")
    return {"bce": BCELoss, "ce": CrossEntropyLoss, "mbauc": MiniBatchAUCLoss}[name]()


def _or(parameter: float | None, default: float) -> float:
    return default if parameter is None else parameter
