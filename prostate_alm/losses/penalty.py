"""When the penalty coefficient `mu` grows, and what keeps the multipliers in bounds."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from prostate_alm.errors import ArgumentError


class Progress(NamedTuple):
    """What a schedule knows when an epoch has ended.

    Attributes:
        epoch: 0 for the first.
        previous: the figure of the epoch before, NaN in the first.
        best: the largest figure before this epoch, NaN in the first.
        current: this epoch's figure.
    """

    epoch: int
    previous: float
    best: float
    current: float


class PenaltySchedule(Protocol):
    """Decides once an epoch whether `mu` grows."""

    def grows(self, progress: Progress) -> bool:
        """Whether `mu` is multiplied by `rho` now."""
        ...


@dataclass(frozen=True)
class MetricSchedule:
    """Algorithm 1: `mu` grows when the validation metric fell by more than `margin` since the epoch before.

    The metric is the AUC in the binary and the accuracy in the multi-class case; larger is better. The paper says "by
    a margin to avoid training instabilities" and gives no value; its authors' code uses 0.05.

    Raises:
        ArgumentError: `margin` is negative.
    """

    margin: float = 0.01

    def __post_init__(self) -> None:
        if not self.margin >= 0.0:
            raise ArgumentError(f"`margin` must be >= 0, got {self.margin}.")

    def grows(self, progress: Progress) -> bool:
        """Whether the metric fell by more than the margin."""
        return progress.current < progress.previous - self.margin


@dataclass(frozen=True)
class FeasibilitySchedule:
    """`mu` grows when the violation did not shrink to `share` of the epoch before (Bertsekas 1996, section 2.2).

    Step it with a violation, such as `ALMLoss.mean_violation`: smaller is better, and 0 never grows `mu`.

    Raises:
        ArgumentError: `share` is outside (0, 1].
    """

    share: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ArgumentError(f"`share` must be in (0, 1], got {self.share}.")

    def grows(self, progress: Progress) -> bool:
        """Whether the violation is more than `share` of what it was."""
        return progress.current > self.share * progress.previous


@dataclass(frozen=True)
class Safeguards:
    """What keeps multipliers in bounds; everything is off by default.

    Since ``q_j >= 0`` a multiplier never decreases by itself: a mislabelled sample's grows for ever.

    Attributes:
        multiplier_max: cap of each multiplier; None is none.
        multiplier_decay: a visited multiplier first shrinks by this share:
            ``lambda_j <- (1 - decay) lambda_j + mu q_j``.
        moving_average: weight of the past in a moving average of each sample's `q_j`, which then updates the
            multiplier in place of one batch's noisy `q_j`; 0 is none.
        warm_up_epochs: epochs of the base loss alone before the constraint starts.

    Raises:
        ArgumentError: a value is out of its range.
    """

    multiplier_max: float | None = None
    multiplier_decay: float = 0.0
    moving_average: float = 0.0
    warm_up_epochs: int = 0

    def __post_init__(self) -> None:
        shares = (self.multiplier_decay, self.moving_average)
        if not all(0.0 <= share < 1.0 for share in shares) or self.warm_up_epochs < 0:
            raise ArgumentError("expected `multiplier_decay` and `moving_average` in [0, 1) and `warm_up_epochs` >= 0.")
        if self.multiplier_max is not None and not self.multiplier_max > 0.0:
            raise ArgumentError(f"`multiplier_max` must be > 0 or None, got {self.multiplier_max}.")
