"""The control that the paper lacks: how much of the gain is the batches', how much the constraint's?

Arms that share network, budget, base loss, splits and seeds, and differ in one thing from another arm. Each arm but one
has three trials on the validation sets of two splits, then all members; the test images decide nothing.
"""

from dataclasses import dataclass, replace

from prostate_alm.benchmark.budgets import Budget
from prostate_alm.benchmark.methods import Grids, binary_methods
from prostate_alm.benchmark.studies import Method, Protocol, Settings
from prostate_alm.datasets.cifar.subsets import DEFAULT_PAIRS

RATIO = 100
MEMBERS = 10
SEARCH_MEMBERS = 2


@dataclass(frozen=True)
class Arm:
    """A method with the question that it answers, against another arm."""

    method: Method
    reference: str | None
    question: str


def control_protocol(budget: Budget, data_sha256: str) -> Protocol:
    """Binary CIFAR-10 at 1:100, classes 0 and 2: a thousand test positives resolve what a hundred can't."""
    majority, minority = DEFAULT_PAIRS[0]
    pair: Settings = {"ratio": RATIO, "majority": majority, "minority": minority}
    settings: Settings = {**budget.settings.get("cifar10_binary", {}), **pair}
    members, searched = (2, 1) if budget.name == "smoke" else (MEMBERS, SEARCH_MEMBERS)
    return Protocol("cifar10_binary", settings, members, searched, data_sha256)


_MU: list[Settings] = [{"mu": mu} for mu in (1e-4, 1e-5, 1e-3)]
_BCE: Settings = {"loss_name": "bce", "alm": False}
_ALM: Settings = {"loss_name": "bce", "alm": True}
_RATES: list[Settings] = [{"learning_rate": rate} for rate in (1e-3, 5e-4, 2e-3)]
_BATCHES: list[Settings] = [{"critical_per_batch": critical} for critical in (4, 2, 8)]
_PLAIN = [(_BCE, _RATES)]
_AWARE = [(_BCE, _RATES), (_BCE, _BATCHES)]


def arms() -> list[Arm]:
    """The arms, references before what refers to them."""
    bce = Method("BCE", _BCE, [_RATES])
    aware = Method("BCE, class-aware", _BCE, [_BATCHES], "BCE", _PLAIN)
    alm = Method("ALM", _ALM, [_MU], "BCE", _PLAIN)
    alm_aware = Method("ALM, class-aware", _ALM, [_MU], "BCE, class-aware", _AWARE)
    strong = Method("ALM, class-aware, mu 1e-3", _ALM, [[{"mu": 1e-3}]], "BCE, class-aware", _AWARE)
    return [
        Arm(bce, None, "the reference"),
        Arm(aware, "BCE", "what critical samples in every batch give without the constraint"),
        Arm(alm, "BCE", "what the paper's constraint gives with the paper's batches"),
        Arm(alm_aware, "BCE, class-aware", "what the constraint gives when it is never silent"),
        # the search may choose a penalty so small that nothing is constrained
        Arm(strong, "BCE, class-aware", "what the constraint gives where it is a sizeable part of the loss"),
        *(_safeguarded(*guard) for guard in _SAFEGUARDS),
    ]


def cohort_arms(grids: Grids) -> list[Arm]:
    """The arms on a prostate cohort; the two with plain batches are rows of table 3, their runs are shared."""
    bce, alm = binary_methods(grids, ["BCE"], mbauc=False)
    batches: list[Settings] = [{"critical_per_batch": critical} for critical in grids.critical_per_batch]
    plain = [(bce.settings, stage) for stage in bce.stages]
    aware = Method("BCE, class-aware", bce.settings, [batches], "BCE", plain)
    alm_aware = Method(
        "ALM, class-aware", alm.settings, alm.stages, "BCE, class-aware", [*plain, (bce.settings, batches)]
    )
    return [
        Arm(bce, None, "the reference"),
        Arm(aware, "BCE", "what critical patients in every batch give without the constraint"),
        Arm(replace(alm, name="ALM"), "BCE", "what the constraint gives with plain batches"),
        Arm(alm_aware, "BCE, class-aware", "what the constraint gives when it is never silent"),
    ]


# name, settings, the values of `mu` tried (of the size of its violations), question
_SAFEGUARDS: list[tuple[str, Settings, list[Settings], str]] = [
    ("moving average", {"moving_average": 0.9}, _MU, "whether averaged violations make better multipliers"),
    ("warm start", {"warm_up_epochs": 5}, _MU, "whether the constraint should wait five epochs"),
    (
        "hardest tenth",
        {"hardest": 0.1},
        [{"mu": mu} for mu in (1e-3, 1e-4, 1e-2)],
        "whether the constraint should look at the highest tenth of the others only",
    ),
    (
        "logit space",
        {"space": "logit", "delta": 1.0},
        [{"mu": mu} for mu in (1e-5, 1e-6, 1e-4)],
        "whether it should rank logits, which don't saturate",
    ),
]


def _safeguarded(name: str, settings: Settings, penalties: list[Settings], question: str) -> Arm:
    method = Method(f"ALM, class-aware, {name}", {**_ALM, **settings}, [penalties], "BCE, class-aware", _AWARE)
    return Arm(method, "BCE, class-aware", question)
