"""What a search tries, stage after stage (section 5.2 and D.2 of the paper)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.losses.named import LOSS_PARAMETERS

Searched = Literal["loss_parameter", "learning_rate", "mu", "rho", "delta"]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Grid = Annotated[tuple[Positive, ...], Field(min_length=1)]
ON_A_LOG_SCALE = ("learning_rate", "mu")


class SearchPlan(BaseModel):
    """The grids of the staged search, and the ranges of the wide one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameter: Grid | None = Field(default=None, description="of the base loss; None: what the paper searches for it")
    learning_rate: Grid = Field(default=(1e-3, 3e-3, 1e-2), description="for a base loss without a parameter")
    mu: Grid = Field(
        default=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        description="the paper's, and what the bundle takes by default: in batches of 8 patients less is nearly silent",
    )
    rho: Grid = (2.0, 3.0)
    delta: Grid = (0.25, 0.1, 0.5, 1.0)
    ranges: dict[Searched, tuple[Positive, Positive]] = Field(
        default={"learning_rate": (3e-4, 3e-2), "mu": (1e-7, 1e-1), "rho": (1.5, 4.0), "delta": (0.05, 1.0)},
        description="of the wide search; that of the loss's parameter is by default what the paper's values span",
    )
    members: int | None = Field(default=None, ge=1, description="first members a trial is judged on; None: all")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "SearchPlan":
        for name, (low, high) in self.ranges.items():
            if low >= high:
                raise ValueError(f"`ranges.{name}` must be [low, high] with low < high.")
        return self


@dataclass(frozen=True)
class Stage:
    """A choice among candidates, all else fixed.

    Attributes:
        name: of the stage.
        settings: what all its candidates have in common.
        grid: values to try by setting; the first of them varies slowest.
        ranges: or bounds by setting.
        trials: how many candidates.
    """

    name: str
    settings: Mapping[str, bool]
    grid: Mapping[str, Sequence[float]] | None = None
    ranges: Mapping[str, tuple[float, float]] | None = None
    trials: int = 0

    @property
    def candidates(self) -> list[dict[str, float]]:
        """Every candidate of the grid, in its order, which decides between equals."""
        grid = self.grid or {}
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def grid_stages(plan: SearchPlan, *, loss: str, alm: bool) -> list[Stage]:
    """The paper's incremental search: the baseline's own parameter, then `mu` with `rho`, then `delta`.

    Args:
        plan: the grids.
        loss: name of the base loss.
        alm: False searches the baseline alone.
    """
    parameters = plan.parameter or LOSS_PARAMETERS.get(loss)
    own = {"loss_parameter": parameters} if parameters else {"learning_rate": plan.learning_rate}
    stages = [_grid("baseline", own, alm=False)]
    if alm:  # the smallest rho first: of equals it is taken, as the paper found it best
        stages += [
            _grid("penalty", {"rho": plan.rho, "mu": plan.mu}, alm=True),
            _grid("margin", {"delta": plan.delta}, alm=True),
        ]
    return stages


def wide_stage(plan: SearchPlan, *, loss: str, alm: bool, trials: int) -> Stage:
    """One stage over ranges: the base loss's parameter, the learning rate and the constraint's settings together."""
    ranges: dict[str, tuple[float, float]] = {**plan.ranges}
    values = plan.parameter or LOSS_PARAMETERS.get(loss, ())
    if "loss_parameter" not in ranges and len(values) > 1:
        ranges["loss_parameter"] = (min(values), max(values))
    if not alm:
        ranges = {name: bounds for name, bounds in ranges.items() if name in ("loss_parameter", "learning_rate")}
    return Stage("wide", {"alm": alm}, ranges=ranges, trials=trials)


def _grid(name: str, grid: Mapping[str, Sequence[float]], *, alm: bool) -> Stage:
    return Stage(name, {"alm": alm}, grid=grid, trials=math.prod(len(values) for values in grid.values()))
