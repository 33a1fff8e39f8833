"""A member that was stopped and resumed is the member that was not; another run's state is refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.errors import TrainingError
from prostate_alm.networks.weights import load_weights

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
EPOCHS = 4


def make_workflow(cohort: Path, output: Path, **settings: Any) -> ConfigWorkflow:
    configs = BUNDLE / "configs"
    defaults: dict[str, Any] = {
        "dataset_dir": str(cohort.parent),
        "output_dir": str(output),
        "cache_dir": str(cohort.parent / "cache"),
        "profile": "tiny",
        "box_mm": [128.0, 128.0, 60.0],
        "repeats": 1,
        "folds": 3,
        "max_epochs": EPOCHS,
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


def train(workflow: ConfigWorkflow) -> None:
    workflow.run()
    workflow.finalize()


def test_resume_equals_uninterrupted(cohort: Path, tmp_path: Path, runs: SimpleNamespace) -> None:
    train(make_workflow(cohort, tmp_path / "whole"))
    for iteration in (2, 5):  # in the first epoch, where nothing is saved, and in the second
        stopped = make_workflow(cohort, tmp_path / "resumed")
        runs.kill(stopped, iteration)
    train(make_workflow(cohort, tmp_path / "resumed"))
    whole, resumed = (load_weights(tmp_path / name / "run_state.pt") for name in ("whole", "resumed"))
    assert whole["epoch"] == resumed["epoch"] == EPOCHS
    assert runs.differing(whole["objects"], resumed["objects"]) == []
    assert whole["objects"]["loss"]["multipliers"].count_nonzero() > 0
    for name in ("epochs.jsonl", "model.pt"):
        assert (tmp_path / "whole" / name).is_file()
    assert (tmp_path / "whole" / "epochs.jsonl").read_text() == (tmp_path / "resumed" / "epochs.jsonl").read_text()


def test_a_worse_model_never_overwrites_the_best_after_a_resume(
    cohort: Path, tmp_path: Path, runs: SimpleNamespace
) -> None:
    """Trained half way, then resumed with a best score that no later epoch can reach."""
    runs.kill(make_workflow(cohort, tmp_path), 5)
    state = load_weights(tmp_path / "run_state.pt")
    state["objects"]["best_model"]["best"] = 2.0
    torch.save(state, tmp_path / "run_state.pt")
    before = (tmp_path / "model.pt").read_bytes()
    train(make_workflow(cohort, tmp_path))
    assert (tmp_path / "model.pt").read_bytes() == before


def test_epochs_without_validation_are_logged_and_are_none_of_the_penaltys(cohort: Path, tmp_path: Path) -> None:
    train(make_workflow(cohort, tmp_path, val_interval=2, mu_margin=0.0, rho=2.0))
    rows = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "val_auc" in row] == [2, 4]
    assert load_weights(tmp_path / "run_state.pt")["objects"]["loss"]["history"][0] == 2  # steps of the penalty


def test_state_of_another_run_is_refused(cohort: Path, tmp_path: Path) -> None:
    train(make_workflow(cohort, tmp_path, max_epochs=1))
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps whatever a config's expression raises
        make_workflow(cohort, tmp_path, max_epochs=1, seed=5).run()
    assert isinstance(caught.value.__cause__, TrainingError)


def test_the_control_trains_without_the_constraint(cohort: Path, tmp_path: Path) -> None:
    train(make_workflow(cohort, tmp_path, max_epochs=1, alm=False))
    (row,) = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert set(row) == {"epoch", "loss", "val_auc"}


def test_members_share_the_cache_and_a_changed_image_leaves_it(cohort: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.parent, folder, ignore=shutil.ignore_patterns("cache"))
    settings: dict[str, Any] = {"cache_dir": str(tmp_path / "cache"), "max_epochs": 1}
    train(make_workflow(folder / "datalist.json", tmp_path / "a", **settings))
    first = set((tmp_path / "cache").iterdir())
    train(make_workflow(folder / "datalist.json", tmp_path / "b", member=1, **settings))
    assert set((tmp_path / "cache").iterdir()) == first
    shutil.copy(folder / "studies" / "study001" / "t2.nii.gz", folder / "studies" / "study002" / "t2.nii.gz")
    train(make_workflow(folder / "datalist.json", tmp_path / "c", **settings))
    assert len(set((tmp_path / "cache").iterdir()) - first) == 1
