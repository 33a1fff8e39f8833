"""The rows of the paper's tables: base losses, each alone and under the constraint, with what is searched for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prostate_alm.benchmark.studies import Method, Settings

BINARY_LOSSES = ("BCE", "S-ML", "S-FL", "A-ML", "A-FL", "CB-BCE", "W-BCE", "LDAM")
MULTICLASS_LOSSES = {
    "CE": "ce", "FL": "s-fl", "CB-CE": "cb-ce", "LDAM": "ldam", "S-ML": "s-ml", "A-ML": "a-ml", "A-FL": "a-fl"
}  # fmt: skip


@dataclass(frozen=True)
class Grids:
    """What is tried for a method.

    Attributes:
        parameters: of each loss that has one.
        learning_rates: for losses without a parameter of their own; of BCE they are the paper's choice of the common
            settings.
        penalties: pairs of `mu` and `rho`, tried together.
        deltas: tried when the penalty is fixed.
        critical_per_batch: tried for class-aware batches.
    """

    parameters: Mapping[str, Sequence[float]]
    learning_rates: Sequence[float]
    penalties: Sequence[tuple[float, float]]
    deltas: Sequence[float]
    critical_per_batch: Sequence[int] = (2,)

    def of_loss(self, loss: str) -> list[Settings]:
        """Candidates for the baseline itself."""
        if loss in self.parameters:
            return [{"loss_parameter": value} for value in self.parameters[loss]]
        return [{"learning_rate": rate} for rate in self.learning_rates]

    def of_constraint(self) -> list[list[Settings]]:
        """The two stages of the constraint."""
        return [[{"mu": mu, "rho": rho} for mu, rho in self.penalties], [{"delta": delta} for delta in self.deltas]]


def binary_methods(grids: Grids, losses: Sequence[str] = BINARY_LOSSES, *, mbauc: bool = True) -> list[Method]:
    """Rows of a table with two classes: `losses`, MBAUC, and `losses` under the constraint."""
    baselines = [_baseline(name, name.lower(), grids) for name in losses]
    extra = [_baseline("MBAUC", "mbauc", grids)] if mbauc else []
    return [*baselines, *extra, *(_constrained(f"ALM + {base.name}", base, grids, {}) for base in baselines)]


def multiclass_methods(grids: Grids, losses: Sequence[str]) -> list[Method]:
    """Rows of a table with more classes: `losses`, then each with the constraints of Eq. 6 and Eq. 7."""
    baselines = [_baseline(name, MULTICLASS_LOSSES[name], grids) for name in losses]
    rows = list(baselines)
    for form, own_class in (("ALM_m1", False), ("ALM_m2", True)):
        rows += [_constrained(f"{form} + {base.name}", base, grids, {"own_class": own_class}) for base in baselines]
    return rows


def _baseline(name: str, loss: str, grids: Grids) -> Method:
    return Method(name, {"loss_name": loss, "alm": False}, [grids.of_loss(loss)])


def _constrained(name: str, base: Method, grids: Grids, settings: Settings) -> Method:
    return Method(
        name,
        {**base.settings, "alm": True, **settings},
        grids.of_constraint(),
        baseline=base.name,
        inherited=[(base.settings, stage) for stage in base.stages],
    )
