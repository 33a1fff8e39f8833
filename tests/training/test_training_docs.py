"""The experiment files and commands of docs/train-an-ensemble.md, on a tiny cohort whose test images are not there."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.parcel import read_manifest
from prostate_alm.training.experiment import read_experiment

TEXT = (Path(__file__).parents[2] / "docs" / "train-an-ensemble.md").read_text(encoding="utf-8")
TINY = [
    "--members",
    "2",
    "--folds",
    "2",
    "--profile",
    "tiny",
    "--epochs",
    "1",
    "--set",
    "batch_size=4",
    "--workers",
    "2",
]
TINY += ["--set", "network_def#widths=[4,4]", "--tracking", "none", "--device", "cpu"]


def files() -> dict[str, dict[str, Any]]:
    """The experiment files of the document by their names."""
    blocks = re.findall(r"^```yaml\n# (\S+\.yaml)(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return {name: yaml.safe_load(content.partition("\n")[2]) for name, content in blocks}


def commands(word: str) -> list[list[str]]:
    """The document's commands `prostate-alm WORD --config ...` for this machine."""
    lines = re.findall(rf"^prostate-alm ({word} --config .*)$", TEXT, re.MULTILINE)
    return [shlex.split(line) for line in lines if "ray" not in line]


@pytest.fixture
def folder(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the cohort and the document's files; the test images are gone."""
    shutil.copytree(cohort.parent, tmp_path / "cohort", ignore=shutil.ignore_patterns("cache"))
    for name, content in files().items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: list[str]) -> None:
    tiny = [word for word in TINY if command[0] == "train" or word not in ("--tracking", "none")]
    result = CliRunner().invoke(app, [*command, *tiny], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def remove_test_images(folder: Path) -> None:
    for entry in read_datalist(folder / "cohort" / "datalist.json").entries("test"):
        Path(entry["t2"]).unlink()
        Path(entry["dwi"]).write_bytes(b"unreadable")


def test_the_files_are_experiments(folder: Path) -> None:
    training, searching = (read_experiment(folder / name, {}) for name in ("experiment.yaml", "search.yaml"))
    assert (training.loss, training.members, training.settings["patience"]) == ("s-fl", 10, 8)
    assert searching.search.mu[-1] == 0.1
    assert len(commands("train")) == 3
    assert len(commands("search")) == 1


def test_train_from_a_file(folder: Path) -> None:
    run(commands("train")[0])
    manifest, _ = read_manifest(folder / "run" / "ensemble")
    assert (manifest.training["loss_name"], manifest.training["loss_parameter"]) == ("s-fl", 2.0)
    assert manifest.training["patience"] == 8


def test_a_search_never_opens_the_test_side_and_its_best_is_trained(folder: Path, cohort: Path) -> None:
    content = files()["search.yaml"]
    content["search"] = {"parameter": [1.0], "mu": [0.1], "rho": [2.0, 3.0], "delta": [0.25], "members": 1}
    (folder / "search.yaml").write_text(yaml.safe_dump(content))
    remove_test_images(folder)
    run(commands("search")[0])
    record = json.loads((folder / "search" / "search.json").read_text())
    stages = {stage["name"]: stage["trials"] for stage in record["stages"]}
    assert {name: len(trials) for name, trials in stages.items()} == {"baseline": 0, "penalty": 2, "margin": 0}
    assert all(0.0 <= trial["mean_auc"] <= 1.0 for trial in stages["penalty"])
    given = json.loads((folder / "search" / "training.json").read_text())
    assert (len(given["training"]), given["test"]) == (18, [])

    best = read_experiment(folder / "search" / "best.yaml", {})
    assert best.datalist.resolve() == folder / "cohort" / "datalist.json"
    wanted = max(stages["penalty"], key=lambda trial: (trial["mean_auc"], -trial["settings"]["rho"]))
    assert best.settings["rho"] == wanted["settings"]["rho"]
    assert (best.settings["mu"], best.settings["delta"], best.settings["loss_parameter"]) == (0.1, 0.25, 1.0)
    shutil.rmtree(folder / "cohort")
    shutil.copytree(cohort.parent, folder / "cohort", ignore=shutil.ignore_patterns("cache"))
    run(commands("train")[-1])
    assert read_manifest(folder / "run" / "ensemble")[0].training["rho"] == wanted["settings"]["rho"]
