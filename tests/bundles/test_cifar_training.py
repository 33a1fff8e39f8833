"""A CIFAR run resumes exactly, knows by which settings it was made, and can be shared by several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow
from monai.data.meta_obj import set_track_meta

from prostate_alm.datasets.cifar.subsets import DEFAULT_PAIRS
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.bundles import plain_settings

BUNDLES = Path(__file__).parents[2] / "bundles"
SMALL: dict[str, dict[str, Any]] = {
    "cifar10_binary": {"ratio": 10, "validation_per_class": 4, "width": 2, "batch_size": 32},
    "cifar100_binary": {"ratio": 6, "validation_per_class": 2, "width": 2, "batch_size": 32},
    "cifar10_long_tailed": {"ratio": 10, "validation_per_class": 4, "batch_size": 100},
    "cifar100_long_tailed": {"ratio": 10, "validation_per_class": 1, "batch_size": 200},
}
SHALLOW = {"_target_": "prostate_alm.networks.resnet_cifar.ResNetCIFAR", "widths": [2, 4], "blocks": [1, 1]}
EPOCHS = 5


@pytest.fixture(autouse=True)
def meta_tracking() -> Iterator[None]:
    """The bundles switch it off for the whole process."""
    yield
    set_track_meta(True)


def small_settings(bundle: str, data: Path, output: Path) -> dict[str, Any]:
    settings = {"dataset_dir": str(data), "output_dir": str(output), **SMALL[bundle]}
    if bundle.endswith("long_tailed"):
        settings["network_def"] = {**SHALLOW, "classes": 10 if bundle.startswith("cifar10_") else 100}
    return settings


def make_workflow(bundle: str, data: Path, output: Path, **settings: Any) -> ConfigWorkflow:
    configs = BUNDLES / bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        **(small_settings(bundle, data, output) | {"max_epochs": EPOCHS, "mu": 0.5, "mu_margin": 0.0} | settings),
    )
    workflow.initialize()
    return workflow


def train(workflow: ConfigWorkflow) -> None:
    workflow.run()
    workflow.finalize()


@pytest.mark.parametrize(
    ("bundle", "settings"),
    [
        ("cifar10_binary", {}),
        ("cifar10_binary", {"critical_per_batch": 2, "batch_size": 16, "moving_average": 0.5, "warm_up_epochs": 1}),
        ("cifar10_long_tailed", {"learning_rate_warm_up": 0.5, "own_class": True}),
    ],
    ids=["binary", "class-aware", "long-tailed"],
)
def test_resume_equals_uninterrupted(
    bundle: str, settings: dict[str, Any], cifar_folder: Path, tmp_path: Path, runs: SimpleNamespace
) -> None:
    """Killed in the first epoch, where nothing is saved, in the second, and in the last, behind all steps down."""
    train(make_workflow(bundle, cifar_folder, tmp_path / "whole", **settings))
    for epoch in (1, 2, EPOCHS):
        stopped = make_workflow(bundle, cifar_folder, tmp_path / "resumed", **settings)
        length = len(stopped.parser.get_parsed_content("train#dataloader"))
        assert length > 1
        runs.kill(stopped, (epoch - 1) * length + 1)
    train(make_workflow(bundle, cifar_folder, tmp_path / "resumed", **settings))
    whole, resumed = (load_weights(tmp_path / name / "run_state.pt") for name in ("whole", "resumed"))
    assert whole["epoch"] == resumed["epoch"] == EPOCHS
    assert runs.differing(whole["objects"], resumed["objects"]) == []
    assert whole["objects"]["loss"]["multipliers"].count_nonzero() > 0
    logs = [(tmp_path / name / "epochs.jsonl").read_text() for name in ("whole", "resumed")]
    assert logs[0] == logs[1]
    best = [load_weights(tmp_path / name / "model.pt") for name in ("whole", "resumed")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


@pytest.mark.parametrize("bundle", ["cifar10_long_tailed", "cifar100_long_tailed"])
def test_the_learning_rate_of_a_run_follows_the_schedule(bundle: str, cifar_folder: Path, tmp_path: Path) -> None:
    """Of ten epochs: a rise over four, steps by 0.01 after the eighth and the ninth."""
    workflow = make_workflow(bundle, cifar_folder, tmp_path, max_epochs=10, learning_rate_warm_up=0.4, alm=False)
    optimizer = workflow.parser.get_parsed_content("optimizer")
    rates: list[float] = []
    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
    train(workflow)
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1, 0.001, 0.00001])


def test_one_imbalance_throughout(cifar_folder: Path, tmp_path: Path) -> None:
    """Appendix H by a switch of the binary bundle."""
    settings: dict[str, Any] = {"consistent": True, "consistent_size": [20, 10, 10], "ratio": 5, "max_epochs": 1}
    workflow = make_workflow("cifar10_binary", cifar_folder, tmp_path, **settings)
    train(workflow)
    data = workflow.parser.get_parsed_content("data")
    shares = [part.labels.mean() for part in (data.training, data.validation, data.test)]
    assert shares == pytest.approx([1 / 6] * 3)


def changed(name: str, value: Any) -> Any:
    """Another value that is also allowed."""
    others = {
        "precision": "bfloat16",
        "loss_name": "a-fl",
        "space": "logit",
        "normalize": "mean",
        "hardest": 0.5,
        "moving_average": 0.5,
    }
    if name in others:
        return others[name]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2


def test_the_bundle_trains_the_first_pair_unless_it_is_told_otherwise() -> None:
    settings = plain_settings(BUNDLES / "cifar10_binary")
    assert (settings["majority"], settings["minority"]) == DEFAULT_PAIRS[0]


@pytest.mark.parametrize("bundle", sorted(SMALL))
def test_a_run_is_known_by_every_setting(bundle: str, cifar_folder: Path, tmp_path: Path) -> None:
    """A state saved under other settings must be refused, whichever of them differs."""
    base = plain_settings(BUNDLES / bundle) | {"loss_name": "s-fl", "loss_parameter": 1.0}
    base |= {"consistent_size": [20, 10, 10]} | small_settings(bundle, cifar_folder, tmp_path)
    names = [name for name in plain_settings(BUNDLES / bundle) if name in base]

    def identity(settings: dict[str, Any]) -> str:
        parser = ConfigParser()
        parser.read_config(str(BUNDLES / bundle / "configs" / "train.yaml"))
        parser.update(settings)
        return parser.get_parsed_content("run_state").identity

    expected = identity(base)
    assert identity(base) == expected
    unseen = [name for name in names if identity(base | {name: changed(name, base[name])}) == expected]
    assert unseen == []


def test_two_processes_train_one_run(cifar_folder: Path, tmp_path: Path) -> None:
    """The multi-GPU config on two CPU processes: one log, one state, the constraint active."""
    configs = "['configs/train.yaml','configs/multi_gpu_train.yaml']"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run"]
    settings = {**SMALL["cifar10_binary"], "max_epochs": 2, "dataset_dir": cifar_folder, "output_dir": tmp_path}
    arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-W", "ignore", *launch, "--config_file", configs, *arguments]
    run = subprocess.run(
        command, cwd=BUNDLES / "cifar10_binary", capture_output=True, text=True, check=False, env=one_thread()
    )
    assert run.returncode == 0, run.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["largest_multiplier"] > 0
    state = load_weights(tmp_path / "run_state.pt")
    assert '"processes": 2' in state["identity"]
    assert state["iteration"] == 2  # 61 images in batches of 32 on two processes: one step an epoch
    assert state["objects"]["loss"]["multipliers"].count_nonzero() <= 5  # of critical images only
    assert all(not name.startswith("module.") for name in load_weights(tmp_path / "model.pt"))


def one_thread() -> dict[str, str]:
    """Two processes must not fight for two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}
