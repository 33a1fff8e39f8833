"""Every bundle is what MONAI's tools expect: metadata, network, properties, and targets that resolve."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import ckpt_export, verify_metadata, verify_net_in_out
from monai.bundle.workflows import ConfigWorkflow
from monai.data.meta_obj import set_track_meta
from PIL import Image

from prostate_alm.networks.two_path import TwoPathNet
from prostate_alm.networks.weights import load_weights

ROOT = Path(__file__).parents[1]
BUNDLES = sorted(path for path in (ROOT / "bundles").iterdir() if path.is_dir())
CONFIGS = sorted(path for bundle in BUNDLES for path in (bundle / "configs").glob("*.yaml"))
# MONAI's own record of this schema's MD5 (its tests/testing_data/data_config.json)
SCHEMA, SCHEMA_MD5 = ROOT / "tests" / "schema" / "meta_schema_20220324.json", "662135097106b71067cd1fc657f8720f"
TRAINING_SIDE = re.compile(r"prostate_alm\.(training|datasets|augmentation|losses|benchmark)\b")

by_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
by_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value below `node`."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield str(key), value
        yield from walk(value)


@by_config
def test_every_target_resolves(config: Path) -> None:
    targets = [value for key, value in walk(yaml.safe_load(config.read_text())) if key == "_target_"]
    assert targets or config.stem not in ("train", "inference")
    for target in targets:
        module, _, name = target.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), target


@by_bundle
def test_inference_names_no_training_code(bundle: Path) -> None:
    text = (bundle / "configs" / "inference.yaml").read_text()
    assert not TRAINING_SIDE.search(text)


@by_bundle
def test_metadata_fits_the_schema(bundle: Path, tmp_path: Path) -> None:
    local = tmp_path / SCHEMA.name
    shutil.copy(SCHEMA, local)
    metadata = bundle / "configs" / "metadata.json"
    verify_metadata(meta_file=str(metadata), filepath=str(local), hash_val=SCHEMA_MD5, hash_type="md5")
    content = json.loads(metadata.read_text())
    assert content["version"] in content["changelog"]
    assert content["schema"].endswith(SCHEMA.name)


@by_bundle
def test_network_keeps_what_the_metadata_say(bundle: Path) -> None:
    configs = bundle / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.yaml"),
        device="cpu",
    )


@by_bundle
def test_training_and_inference_define_the_same_network(bundle: Path) -> None:
    train, inference = (yaml.safe_load((bundle / "configs" / f"{n}.yaml").read_text()) for n in ("train", "inference"))
    assert train["network_def"] == inference["network_def"]


@pytest.fixture(autouse=True)
def meta_tracking() -> Iterator[None]:
    """The bundles switch it off for the whole process."""
    yield
    set_track_meta(True)


@pytest.fixture
def tiny_settings(cohort: Path, cifar_folder: Path, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """What makes a bundle's training fit the built data."""

    def of(bundle: str) -> dict[str, Any]:
        settings: dict[str, Any] = {"output_dir": str(tmp_path)}
        if bundle == "prostate_dce":
            settings |= {"dataset_dir": str(cohort.parent), "cache_dir": str(tmp_path / "cache")}
            return settings | {"repeats": 1, "folds": 3, "profile": "tiny"}
        settings |= {"dataset_dir": str(cifar_folder)}
        if bundle.startswith("cifar100"):
            return settings | {"ratio": 6, "validation_per_class": 2}
        return settings | {"ratio": 10, "validation_per_class": 4}

    return of


@pytest.mark.parametrize("kind", ["train", "infer"])
@by_bundle
def test_properties_are_complete(
    bundle: Path, kind: str, tiny_settings: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    settings = tiny_settings(bundle.name)
    if kind == "infer":
        settings = {name: settings[name] for name in ("dataset_dir", "output_dir")}
        if bundle.name != "prostate_dce":
            settings["dataset_dir"] = str(tmp_path)
            Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / ("train.yaml" if kind == "train" else "inference.yaml")),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        **settings,
    )
    workflow.initialize()
    assert not workflow.check_properties()
    workflow.finalize()


@by_bundle
def test_a_checkpoint_is_exported_to_torchscript(bundle: Path, tmp_path: Path) -> None:
    """By MONAI's own command, from the flat `model.pt` that training writes; it computes the same."""
    configs = bundle / "configs"
    parser = ConfigParser()
    parser.read_config(str(configs / "inference.yaml"))
    network = parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.yaml"),
    )
    exported = torch.jit.load(tmp_path / "model.ts")
    image = torch.randn(2, 3, 32, 32, 8) if bundle.name == "prostate_dce" else torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(exported(image), network(image))


def test_a_member_trains_and_is_evaluated_by_monai_alone(cohort: Path, tmp_path: Path) -> None:
    """From the bundle's folder, without our command, as any MONAI user expects."""
    bundle = tmp_path / "prostate_dce"
    shutil.copytree(ROOT / "bundles" / "prostate_dce", bundle, ignore=shutil.ignore_patterns("runs", "eval"))
    arguments = ["--dataset_dir", str(cohort.parent), "--member", "1", "--repeats", "1", "--folds", "3"]
    arguments += ["--profile", "tiny", "--max_epochs", "2", "--meta_file", "configs/metadata.json"]
    for config in ("configs/train.yaml", "['configs/train.yaml','configs/evaluate.yaml']"):
        command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config, *arguments]
        run = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
    output = bundle / "runs" / "member_01"
    rows = [json.loads(line) for line in (output / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["largest_multiplier"] > 0
    state = load_weights(output / "run_state.pt")
    best = load_weights(output / "model.pt")
    assert state["objects"]["best_model"]["best"] == max(row["val_auc"] for row in rows)
    TwoPathNet().load_state_dict(best)
    assert all(torch.isfinite(value.float()).all() for value in best.values())
    assert (output / "evaluation" / "metrics.csv").is_file()


def test_two_processes_train_one_member(cohort: Path, tmp_path: Path) -> None:
    """The multi-GPU config on two CPU processes: one log, one state, the constraint active."""
    bundle = ROOT / "bundles" / "prostate_dce"
    configs = "['configs/train.yaml','configs/multi_gpu_train.yaml']"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run"]
    arguments = [
        "--dataset_dir",
        str(cohort.parent),
        "--output_dir",
        str(tmp_path),
        "--cache_dir",
        str(tmp_path / "cache"),
    ]
    arguments += ["--repeats", "1", "--folds", "3", "--profile", "tiny", "--max_epochs", "2", "--batch_size", "3"]
    command = [sys.executable, "-W", "ignore", *launch, "--config_file", configs, *arguments]
    run = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["largest_multiplier"] > 0
    TwoPathNet().load_state_dict(load_weights(tmp_path / "model.pt"))
