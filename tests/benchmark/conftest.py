"""Runs and records made by hand, and tiny ones that really train."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from prostate_alm.benchmark.records import RunRecord, RunSpec, Scores

Factory = Callable[..., Any]

# on the archives of `cifar_folder`: a second or two each
TINY: Mapping[str, Any] = {"width": 4, "max_epochs": 2, "validation_per_class": 4, "ratio": 10, "batch_size": 16}


def make_spec(member: int = 0, **settings: Any) -> RunSpec:
    """A run that nobody carries out."""
    return RunSpec(bundle="made_up", settings={"member": member, **settings}, data_sha256="0" * 64)


def make_record(
    spec: RunSpec,
    *,
    metric: float = 0.5,
    logits: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    critical: tuple[int, ...] = (1,),
) -> RunRecord:
    """The record of `spec` with these test logits ``[N, C]``."""
    logits = np.array([[-1.0], [0.0], [1.0]]) if logits is None else logits
    labels = np.array([0, 0, 1]) if labels is None else labels
    return RunRecord(
        spec=spec,
        commit="c" * 40,
        versions={"python": "3.11"},
        machine="made by hand",
        seed=0,
        seconds=1.0,
        counts=[2, 1],
        best_epoch=1,
        validation_metric=metric,
        epochs=[{"epoch": 1.0, "loss": 0.5}],
        validation=Scores.of(np.array([[0.0], [1.0]]), np.array([0, 1]), (1,)),
        test=Scores.of(logits, labels, critical),
        metrics={"auc": 0.5},
    )


@pytest.fixture(scope="session")
def spec_factory() -> Factory:
    """Make a run's specification from its settings."""
    return make_spec


@pytest.fixture(scope="session")
def record_factory() -> Factory:
    """Make a run's record from its specification."""
    return make_record


@pytest.fixture(scope="session")
def tiny_spec() -> Factory:
    """Make the specification of a tiny run of a shipped bundle."""
    from prostate_alm.benchmark.studies import Protocol

    def make(member: int = 0, bundle: str = "cifar10_binary", **settings: Any) -> RunSpec:
        tiny = TINY if bundle == "cifar10_binary" else {k: v for k, v in TINY.items() if k != "width"}
        return Protocol(bundle, {**tiny, "alm": True, **settings}, 1, 1, "0" * 64).spec({}, member)

    return make
