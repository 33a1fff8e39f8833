"""What a batch must be: logits and labels checked, in a form that every loss can use."""

from typing import Literal

import torch

from prostate_alm.errors import ArgumentError

Reduction = Literal["mean", "sum", "none"]


def as_binary(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits as ``[B]`` in at least float32 and labels as ``[B]`` bool.

    Raises:
        ArgumentError: the shapes do not agree, a label is neither 0 nor 1, or a logit is NaN.
    """
    scores, targets = logits.reshape(-1), labels.reshape(-1)
    if scores.shape != targets.shape or logits.shape[:1] != scores.shape:
        raise ArgumentError(
            f"expected one logit and one label a sample, `logits` [B] or [B, 1] and `labels` [B] or [B, 1]; "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if not ((targets == 0) | (targets == 1)).all():
        raise ArgumentError("`labels` must be 0 or 1; map your classes before the loss.")
    return full_precision(_checked(scores)), targets.bool()


def as_classes(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits as ``[B, C]`` in at least float32 and labels as ``[B]`` int64 in [0, C).

    Raises:
        ArgumentError: the shapes do not agree, a label is outside the classes, or a logit is NaN.
    """
    targets = labels.reshape(-1)
    if logits.ndim != 2 or logits.shape[1] < 2 or logits.shape[0] != targets.numel() or targets.is_floating_point():
        raise ArgumentError(
            "expected `logits` [B, C] with C >= 2 and integer `labels` [B]; "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)} of {labels.dtype}."
        )
    if targets.numel() and not ((targets >= 0) & (targets < logits.shape[1])).all():
        raise ArgumentError(f"`labels` must be 0 to {logits.shape[1] - 1}, one of the classes of `logits`.")
    return full_precision(_checked(logits)), targets.long()


def reduced(values: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    """Reduce a value a sample ``[B]``; the mean of an empty batch is 0."""
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.sum() / max(values.numel(), 1)


def checked_reduction(reduction: str) -> Reduction:
    """Return `reduction` when it is one.

    Raises:
        ArgumentError: it is not.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"`reduction` is {reduction!r}. Available: 'mean', 'sum', 'none'.")
    return reduction


def full_precision(scores: torch.Tensor) -> torch.Tensor:
    """Half precision, as autocast gives it, makes ties of different scores; losses compute in float32."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _checked(scores: torch.Tensor) -> torch.Tensor:
    if scores.isnan().any():
        raise ArgumentError("`logits` hold NaN: the network diverged or its input was NaN; lower the learning rate.")
    return scores
