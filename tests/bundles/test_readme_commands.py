"""The commands of a CIFAR bundle's README, run from its folder as they stand there, on tiny archives."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.config_parser import ConfigParser
from PIL import Image
from sklearn.metrics import roc_auc_score

from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.networks.weights import load_weights

BUNDLES = Path(__file__).parents[2] / "bundles"
TINY: dict[str, dict[str, Any]] = {
    "cifar10_binary": {"ratio": 10, "validation_per_class": 4, "width": 4},
    "cifar100_binary": {"ratio": 6, "validation_per_class": 2, "width": 4},
    "cifar10_long_tailed": {"ratio": 10, "validation_per_class": 4},
    "cifar100_long_tailed": {"ratio": 10, "validation_per_class": 2},
}
TINY_NETWORK = ("width",)  # what a checkpoint's readers must be told
# several commands in one process: importing MONAI takes seconds
DRIVER = """
import json, runpy, subprocess, sys
for command in json.loads(sys.argv[1]):
    if command[:3] == ["python", "-m", "monai.bundle"]:
        sys.argv = command[2:]
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    else:
        subprocess.run(command, check=True)
"""


def readme_commands(bundle: Path, data: Path, images: Path) -> list[list[str]]:
    """The commands in order, with tiny settings; the loop over members is run for number 1, torchrun elsewhere."""
    block = re.search(r"```\n(.*?)```", (bundle / "docs" / "README.md").read_text(), re.DOTALL)
    assert block is not None
    commands = []
    for line in block.group(1).replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith(("#", "for ", "done", "torchrun")):
            continue
        words = shlex.split(line.replace("$m", "1").replace("--members 10", "--members 2"))
        words = [{"DIR": str(data), "PNGS": str(images)}.get(word, word) for word in words]
        if words[0] != "python":
            commands.append(["sh", "-c", shlex.join(words).replace("'&&'", "&&")])
            continue
        tiny = TINY[bundle.name] | {"max_epochs": 1}
        if any("inference.yaml" in word for word in words):
            tiny = {name: tiny[name] for name in TINY_NETWORK if name in tiny}
        commands.append(words + [part for name, value in tiny.items() for part in (f"--{name}", str(value))])
    return commands


def run_readme(bundle: Path, data: Path, images: Path) -> None:
    commands = json.dumps(readme_commands(bundle, data, images))
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, commands]
    run = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]


def trained_network(bundle: Path, member: int = 0) -> torch.nn.Module:
    """The member's best weights in the network of `inference.yaml`."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.yaml"))
    parser.update({name: TINY[bundle.name][name] for name in TINY_NETWORK if name in TINY[bundle.name]})
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(load_weights(bundle / "runs" / f"member_{member:02d}" / "model.pt"))
    return network.eval()


def logits_of(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits of uint8 images, standardised by the formula of the README."""
    mean, sd = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
    standardised = (images / 255 - mean[:, None, None]) / sd[:, None, None]
    with torch.no_grad():
        return network(torch.from_numpy(standardised.astype(np.float32))).numpy()


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def metrics(path: Path) -> dict[str, float]:
    return {name: float(value) for name, value in read_csv(path)}


@pytest.mark.parametrize("name", sorted(TINY))
def test_the_readme_trains_evaluates_scores_and_exports(name: str, cifar_folder: Path, tmp_path: Path) -> None:
    bundle, images = tmp_path / name, tmp_path / "images"
    shutil.copytree(BUNDLES / name, bundle, ignore=shutil.ignore_patterns("runs", "eval", "models"))
    images.mkdir()
    archive = read_cifar(cifar_folder, name.split("_", maxsplit=1)[0])
    for row in range(8):
        Image.fromarray(archive.test.images[row].transpose(1, 2, 0)).save(images / f"image{row}.png")
    run_readme(bundle, cifar_folder, images)

    member = bundle / "runs" / "member_00"
    (epoch,) = [json.loads(line) for line in (member / "epochs.jsonl").read_text().splitlines()]
    assert epoch["largest_multiplier"] > 0  # the constraint was at work
    assert load_weights(member / "run_state.pt")["epoch"] == 1
    network = trained_network(bundle)
    found = metrics(member / "evaluation" / "metrics.csv")
    if name.endswith("binary"):
        critical, majority = (73, [4, 30, 55, 72, 95]) if name.startswith("cifar100") else (2, [0])
        chosen = np.isin(archive.test.labels, [critical, *majority])
        test, labels = archive.test.images[chosen], archive.test.labels[chosen] == critical
        alone = [logits_of(trained_network(bundle, number), test)[:, 0] for number in (0, 1)]
        assert found["auc"] == pytest.approx(roc_auc_score(labels, alone[0]))
        threshold = alone[0][labels].min()
        assert found["fpr_at_tpr_100"] == pytest.approx((alone[0][~labels] >= threshold).mean())
        ensemble = metrics(bundle / "eval" / "metrics.csv")
        assert ensemble["auc"] == pytest.approx(roc_auc_score(labels, np.mean(alone, axis=0)))
        aucs = [roc_auc_score(labels, one) for one in alone]
        assert ensemble["members_mean_auc"] == pytest.approx(np.mean(aucs))
        assert ensemble["members_sd_auc"] == pytest.approx(abs(aucs[0] - aucs[1]) / np.sqrt(2))
    else:
        predicted = logits_of(network, archive.test.images).argmax(axis=1)
        assert found["accuracy"] == pytest.approx((predicted == archive.test.labels).mean())
        assert {"error_at_tpr_80", "error_at_tpr_90", "accuracy_others"} < found.keys()

    expected = logits_of(network, archive.test.images[:8])
    rows = read_csv(bundle / "eval" / "logits.csv")
    assert [row[0] for row in rows] == [f"image{row}.png" for row in range(8)]
    np.testing.assert_allclose([[float(value) for value in row[1:]] for row in rows], expected, rtol=1e-4, atol=1e-4)
    exported = torch.jit.load(bundle / "models" / "model.ts")
    np.testing.assert_allclose(logits_of(exported, archive.test.images[:8]), expected, rtol=1e-4, atol=1e-4)
