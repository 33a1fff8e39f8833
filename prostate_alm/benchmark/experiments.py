"""What has to be run for each table of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from prostate_alm.benchmark import cohorts
from prostate_alm.benchmark.budgets import Budget
from prostate_alm.benchmark.methods import BINARY_LOSSES, binary_methods, multiclass_methods
from prostate_alm.benchmark.studies import Method, Protocol, Settings
from prostate_alm.datasets.cifar.subsets import DEFAULT_PAIRS
from prostate_alm.errors import ArgumentError

MAJOR_MULTICLASS, OTHER_MULTICLASS = ("CE", "FL", "CB-CE", "LDAM"), ("S-ML", "A-ML", "A-FL")


@dataclass(frozen=True)
class Experiment:
    """The runs behind a table; tables that show other figures of the same runs share them.

    Attributes:
        bundle: what is trained.
        archive: cifar10 or cifar100; None trains on a prostate cohort.
        ratios: of the table's blocks; the ratio of a cohort is its own, None.
        settings: of the bundle, but budget and ratio.
        losses: rows without the constraint.
        mbauc: whether MBAUC is a row.
    """

    bundle: str
    archive: str | None
    ratios: Sequence[int | None]
    settings: Settings = field(default_factory=dict)
    losses: Sequence[str] = BINARY_LOSSES
    mbauc: bool = True

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return not self.bundle.endswith("long_tailed")

    def methods(self, budget: Budget) -> list[Method]:
        """The rows."""
        if self.binary:
            grids = budget.cohort_grids if self.archive is None else budget.binary_grids
            return binary_methods(grids, self.losses, mbauc=self.mbauc)
        return multiclass_methods(budget.multiclass_grids, self.losses)

    def only(self, names: Sequence[str]) -> "Experiment":
        """The same with these losses alone, in the table's order; all for none.

        Raises:
            ArgumentError: the table has no such loss.
        """
        if not names:
            return self
        rows = {name.lower(): name for name in (*self.losses, *(["MBAUC"] if self.mbauc and self.binary else []))}
        if stray := [name for name in names if name.lower() not in rows]:
            raise ArgumentError(f"the table has no loss {stray[0]!r}. Available: {', '.join(rows.values())}.")
        kept = {rows[name.lower()] for name in names}
        return replace(self, losses=[loss for loss in self.losses if loss in kept], mbauc="MBAUC" in kept)

    def protocol(self, budget: Budget, ratio: int | None, data_sha256: str) -> Protocol:
        """What the rows of one ratio share."""
        kind = 2 if self.archive is None else 0 if self.binary else 1
        at: Settings = {} if ratio is None else {"ratio": ratio}
        settings = {**budget.settings.get(self.bundle, {}), **self.settings, **at}
        return Protocol(self.bundle, settings, budget.members[kind], budget.search_members[kind], data_sha256)


_FIRST_PAIR, _SECOND_PAIR = ({"majority": majority, "minority": minority} for majority, minority in DEFAULT_PAIRS)
_CIFAR10 = Experiment("cifar10_binary", "cifar10", (100, 200), _FIRST_PAIR)
_CIFAR100 = Experiment("cifar100_binary", "cifar100", (100, 200))
_COHORT = Experiment(cohorts.BUNDLE, None, (None,))
_TAILED = Experiment("cifar10_long_tailed", "cifar10", (100, 200), losses=MAJOR_MULTICLASS)
EXPERIMENTS: Mapping[int, Experiment] = {
    1: _CIFAR10,
    2: _CIFAR100,
    3: _COHORT,
    4: _TAILED,
    5: Experiment("cifar10_binary", "cifar10", (50,), _FIRST_PAIR),
    6: Experiment("cifar10_binary", "cifar10", (100, 200), _SECOND_PAIR),
    7: Experiment("cifar10_long_tailed", "cifar10", (100, 200), losses=OTHER_MULTICLASS),
    8: Experiment("cifar100_long_tailed", "cifar100", (20, 50), losses=MAJOR_MULTICLASS),
    9: Experiment("cifar10_long_tailed", "cifar10", (100, 200), {"critical": 2}, losses=MAJOR_MULTICLASS),
    10: _CIFAR10,
    11: _CIFAR100,
    12: replace(_CIFAR10, mbauc=False),
    13: replace(_CIFAR100, mbauc=False),
    14: replace(_COHORT, mbauc=False),
    15: replace(_COHORT, mbauc=False),
    16: Experiment(
        "cifar10_binary",
        "cifar10",
        (2, 9, 19),
        {**_FIRST_PAIR, "consistent": True},
        losses=[loss for loss in BINARY_LOSSES if loss != "LDAM"],
    ),
}


def find_experiment(table: int) -> Experiment:
    """Return what has to be run for a table.

    Raises:
        ArgumentError: there is none for it.
    """
    if table not in EXPERIMENTS:
        raise ArgumentError(f"there is no experiment for table {table}. Available: {', '.join(map(str, EXPERIMENTS))}.")
    return EXPERIMENTS[table]
