"""What the number of training samples of each class says: priors and weights."""

from collections.abc import Sequence

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.per_sample import checked_positive


def checked_counts(counts: Sequence[int]) -> torch.Tensor:
    """Return the samples a class as ``[C]`` float64, class 0 first; the binary case has two.

    Raises:
        ArgumentError: fewer than two classes, or a class without samples.
    """
    values = torch.tensor([float(count) for count in counts], dtype=torch.float64)
    if values.numel() < 2 or not (values >= 1).all() or values.isinf().any():
        raise ArgumentError(
            f"`counts` must be the training samples of each class, at least two classes and one sample each; "
            f"got {list(counts)}."
        )
    return values


def priors(counts: Sequence[int]) -> torch.Tensor:
    """Share of each class ``[C]``, float64.

    Raises:
        ArgumentError: `counts` are no class counts.
    """
    values = checked_counts(counts)
    return values / values.sum()


def class_balanced_weights(counts: Sequence[int], beta: float = 0.9999, *, normalize: bool = True) -> torch.Tensor:
    """Weight of each class by its effective number of samples, ``w_c = (1 - beta) / (1 - beta ** n_c)``.

    Source: Cui et al. 2019. ``1 - beta ** n`` is computed as ``-expm1(n log beta)``: in float32 the direct form is
    1.3 % off at beta = 0.999999.

    Args:
        counts: samples of each class, >= 1.
        beta: in [0, 1); 0 weighs all classes alike, towards 1 by the inverse of their counts.
        normalize: scale the weights to the sum C, as Cui et al. do. False leaves them as they are: some hundredths
            for large beta, so the loss's scale drops with them.

    Returns:
        ``[C]`` float64.

    Raises:
        ArgumentError: an argument is out of range.

    >>> class_balanced_weights([300, 100], beta=0.0).tolist()
    [1.0, 1.0]
    """
    values = checked_counts(counts)
    if not 0.0 <= beta < 1.0:
        raise ArgumentError(f"`beta` must be in [0, 1), got {beta}.")
    weights = (1.0 - beta) / -torch.expm1(values * torch.tensor(beta, dtype=torch.float64).log())
    return weights / weights.sum() * values.numel() if normalize else weights


def checked_class_weights(weights: Sequence[float]) -> torch.Tensor:
    """Return the weight of each class, ``[C]`` float32.

    Raises:
        ArgumentError: fewer than two, or one is not > 0.
    """
    if len(weights) < 2:
        raise ArgumentError(f"`weights` must be those of at least two classes, got {list(weights)}.")
    return torch.tensor([checked_positive("weights", weight) for weight in weights])
