"""A member that was stopped and resumed is the member that was not; another run's state is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.errors import TrainingError
from prostate_alm.networks.weights import load_weights

EPOCHS = 4
Member = Callable[..., ConfigWorkflow]


def train(workflow: ConfigWorkflow) -> None:
    workflow.run()
    workflow.finalize()


def test_resume_equals_uninterrupted(member_workflow: Member, tmp_path: Path, runs: SimpleNamespace) -> None:
    train(member_workflow(tmp_path / "whole"))
    for iteration in (2, 5):  # in the first epoch, where nothing is saved, and in the second
        stopped = member_workflow(tmp_path / "resumed")
        runs.kill(stopped, iteration)
    train(member_workflow(tmp_path / "resumed"))
    whole, resumed = (load_weights(tmp_path / name / "run_state.pt") for name in ("whole", "resumed"))
    assert whole["epoch"] == resumed["epoch"] == EPOCHS
    assert runs.differing(whole["objects"], resumed["objects"]) == []
    assert whole["objects"]["loss"]["multipliers"].count_nonzero() > 0
    for name in ("epochs.jsonl", "model.pt"):
        assert (tmp_path / "whole" / name).is_file()
    assert (tmp_path / "whole" / "epochs.jsonl").read_text() == (tmp_path / "resumed" / "epochs.jsonl").read_text()


def test_a_worse_model_never_overwrites_the_best_after_a_resume(
    member_workflow: Member, tmp_path: Path, runs: SimpleNamespace
) -> None:
    """Trained half way, then resumed with a best score that no later epoch can reach."""
    runs.kill(member_workflow(tmp_path), 5)
    state = load_weights(tmp_path / "run_state.pt")
    state["objects"]["best_model"]["best"] = 2.0
    torch.save(state, tmp_path / "run_state.pt")
    before = (tmp_path / "model.pt").read_bytes()
    train(member_workflow(tmp_path))
    assert (tmp_path / "model.pt").read_bytes() == before


def test_epochs_without_validation_are_logged_and_are_none_of_the_penaltys(
    member_workflow: Member, tmp_path: Path
) -> None:
    train(member_workflow(tmp_path, val_interval=2, mu_margin=0.0, rho=2.0))
    rows = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "val_auc" in row] == [2, 4]
    assert load_weights(tmp_path / "run_state.pt")["objects"]["loss"]["history"][0] == 2  # steps of the penalty


def test_state_of_another_run_is_refused(member_workflow: Member, tmp_path: Path) -> None:
    train(member_workflow(tmp_path, max_epochs=1))
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps whatever a config's expression raises
        member_workflow(tmp_path, max_epochs=1, seed=5).run()
    assert isinstance(caught.value.__cause__, TrainingError)


def test_the_control_trains_without_the_constraint(member_workflow: Member, tmp_path: Path) -> None:
    train(member_workflow(tmp_path, max_epochs=1, alm=False))
    (row,) = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert set(row) == {"epoch", "loss", "val_auc", "fpr_at_0_fn", "fpr_at_1_fn"}


def test_members_share_the_cache_and_a_changed_image_leaves_it(
    cohort: Path, member_workflow: Member, tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.parent, folder, ignore=shutil.ignore_patterns("cache"))
    settings: dict[str, Any] = {"dataset_dir": str(folder), "cache_dir": str(tmp_path / "cache"), "max_epochs": 1}
    train(member_workflow(tmp_path / "a", **settings))
    first = set((tmp_path / "cache").iterdir())
    train(member_workflow(tmp_path / "b", member=1, **settings))
    assert set((tmp_path / "cache").iterdir()) == first
    shutil.copy(folder / "studies" / "study001" / "t2.nii.gz", folder / "studies" / "study002" / "t2.nii.gz")
    train(member_workflow(tmp_path / "c", **settings))
    assert len(set((tmp_path / "cache").iterdir()) - first) == 1


def test_a_member_trains_with_class_aware_batches_and_a_named_loss(member_workflow: Member, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 1, "critical_per_batch": 2, "loss_name": "s-fl", "loss_parameter": 2.0}
    workflow = member_workflow(tmp_path, **settings)
    assert workflow.parser.get_parsed_content("base_loss").gamma == 2.0
    batches = workflow.parser.get_parsed_content("train#dataloader").batch_sampler
    train(workflow)
    assert batches.epoch == 1  # its order is that of the epoch, so that a resumed run draws the same
    assert load_weights(tmp_path / "run_state.pt")["iteration"] == 4  # eight negatives, two a batch
    identity = json.loads(load_weights(tmp_path / "run_state.pt")["identity"])
    assert (identity["loss_name"], identity["loss_parameter"], identity["critical_per_batch"]) == ("s-fl", 2.0, 2)


def test_the_same_seeds_give_the_same_weights_twice_and_others_do_not(member_workflow: Member, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with several, sums have no fixed order
    try:
        for name, seed in (("once", 0), ("twice", 0), ("other", 1)):
            train(member_workflow(tmp_path / name, max_epochs=1, seed=seed))
    finally:
        torch.set_num_threads(before)
    once, twice, other = (load_weights(tmp_path / name / "model.pt") for name in ("once", "twice", "other"))
    assert all(torch.equal(once[name], value) for name, value in twice.items())
    assert not torch.equal(once["head.1.weight"], other["head.1.weight"])
