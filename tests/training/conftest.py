"""Members of tiny networks that train in this process, in a second or two."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.parcel import write_json
from prostate_alm.training.ensemble import Backend, EnsembleRun

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"


@pytest.fixture
def member_workflow(cohort: Path) -> Callable[..., ConfigWorkflow]:
    """Make the workflow of a member that writes to a folder: `member_workflow(output, **settings)`."""

    def make(output: Path, **settings: Any) -> ConfigWorkflow:
        configs = BUNDLE / "configs"
        defaults: dict[str, Any] = {
            "dataset_dir": str(cohort.parent),
            "output_dir": str(output),
            "cache_dir": str(cohort.parent / "cache"),
            "profile": "tiny",
            "box_mm": [128.0, 128.0, 60.0],
            "repeats": 1,
            "folds": 3,
            "max_epochs": 4,
            "batch_size": 4,  # three batches an epoch
            "mu": 0.5,
            "mu_margin": 0.0,
            "network_def#widths": [4, 4],
        }
        workflow = ConfigWorkflow(
            config_file=str(configs / "train.yaml"),
            meta_file=str(configs / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            **(defaults | settings),
        )
        workflow.initialize()
        return workflow

    return make


def train_member(run: EnsembleRun, member: int) -> None:
    """Train a member as its own process would."""
    arguments = run.arguments(member)
    files = {name: arguments.pop(name) for name in ("config_file", "meta_file")}
    arguments.pop("logging_file")
    workflow = ConfigWorkflow(**files, logging_file=False, workflow_type="train", **arguments)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@pytest.fixture
def train_here() -> Callable[[EnsembleRun], None]:
    """Train the members of a run in this process."""

    def train(run: EnsembleRun) -> None:
        for member in range(run.members):
            train_member(run, member)

    return train


class InThisProcess:
    """A backend without the seconds that a process of its own needs to begin."""

    slots = 1

    def __init__(self, train: Callable[[EnsembleRun, int], None]) -> None:
        self.train = train

    def submit(self, run: EnsembleRun, member: int) -> "Future[None]":
        """Train a member now."""
        done: Future[None] = Future()
        self.train(run, member)
        write_json(run.folder(member) / "finished.json", run.arguments(member))
        done.set_result(None)
        return done

    def close(self) -> None:
        """Nothing is left open."""


@pytest.fixture
def backend_here() -> Backend:
    """Train members in this process, for `train_members` and the commands that call it."""
    return InThisProcess(train_member)
