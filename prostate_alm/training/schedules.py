"""Learning rates over a run, as factors for `torch.optim.lr_scheduler.LambdaLR`."""

from dataclasses import dataclass

from prostate_alm.errors import ArgumentError


@dataclass(frozen=True)
class WarmUpThenSteps:
    """Factor of the learning rate, epoch by epoch: a linear rise, a plateau, then one step down after another.

    Everything is a share of the run, so that a shorter budget keeps the shape. With 200 epochs the defaults are the
    schedule of Cao et al. 2019: a rise over five epochs (which their code has and neither paper mentions), and steps
    by 0.01 after epochs 160 and 180 (Sangalli et al. 2021, supplement D). A rise shorter than one epoch is none.

    Args:
        max_epochs: length of the run.
        warm_up: the rise's share of the run; 0 is no rise.
        steps: after which shares of the run the factor is multiplied by `step_factor`.
        step_factor: in (0, 1].

    Raises:
        ArgumentError: an argument is out of its range.

    >>> factor = WarmUpThenSteps(max_epochs=200)
    >>> [round(factor(epoch), 6) for epoch in (0, 4, 159, 160, 180)]
    [0.2, 1.0, 1.0, 0.01, 0.0001]
    """

    max_epochs: int
    warm_up: float = 0.025
    steps: tuple[float, ...] = (0.8, 0.9)
    step_factor: float = 0.01

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or not 0.0 <= self.warm_up <= 1.0 or not 0.0 < self.step_factor <= 1.0:
            raise ArgumentError(
                "expected `max_epochs` >= 1, `warm_up` in [0, 1] and `step_factor` in (0, 1]; got "
                f"{self.max_epochs}, {self.warm_up} and {self.step_factor}."
            )
        if not all(0.0 <= share <= 1.0 for share in self.steps):
            raise ArgumentError(f"`steps` are shares of the run, each in [0, 1]; got {list(self.steps)}.")

    def __call__(self, epoch: int) -> float:
        """Factor of `epoch`, 0 for the first, as `LambdaLR` counts."""
        done = epoch + 1  # 160 of 200 epochs still have the full rate
        rise = self.warm_up * self.max_epochs
        passed = sum(done > share * self.max_epochs + 1e-9 for share in self.steps)  # 0.7 * 10 is a little above 7
        return min(1.0, done / rise if rise > 0.0 else 1.0) * self.step_factor**passed
