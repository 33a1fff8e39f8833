"""The commands of docs/train-an-ensemble.md that watch and check a training, one after the other on a tiny cohort."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.training.ensemble import Backend

TEXT = (Path(__file__).parents[2] / "docs" / "train-an-ensemble.md").read_text(encoding="utf-8")
TINY = shlex.split(
    "--members 2 --folds 2 --profile tiny --epochs 1 --device cpu --set batch_size=4 --set 'network_def#widths=[4,4]'"
)


def commands() -> list[list[str]]:
    """The commands `prostate-alm` of sections 5 to 7."""
    section = TEXT[TEXT.index("## 5. Watch a training") :]
    return [shlex.split(line) for line in re.findall(r"^prostate-alm (.*)$", section, re.MULTILINE)]


def test_a_training_is_watched_and_checked(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend_here: Backend
) -> None:
    """Ten members, trained in this process: those of a process of their own are in the tests of `train`."""
    for module in ("train", "sanity"):
        monkeypatch.setattr(f"prostate_alm.commands.{module}.make_backend", lambda *_, **__: backend_here)
    shutil.copytree(cohort.parent, tmp_path / "cohort", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path)
    assert [command[:2] for command in commands()] == [
        ["train", "--datalist"], ["sanity", "permutation"], ["sanity", "modality"]
    ]  # fmt: skip
    for command in commands():
        fewer = ["--repeats", "1"] if "permutation" in command else []
        result = CliRunner().invoke(app, [*command, *fewer, *TINY], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert list((tmp_path / "run/members/member_01/tensorboard").glob("events.out.tfevents.*"))
    assert "study000" in (tmp_path / "run/hardest_patients.html").read_text()
    permutation = json.loads((tmp_path / "sanity/permutation/permutation.json").read_text())
    assert (len(permutation["runs"]), permutation["p_value"] in (0.5, 1.0)) == (1, True)
    modality = json.loads((tmp_path / "sanity/modality/modality.json").read_text())
    assert [one["path"] for one in modality["paths"]] == ["both", "t2 alone", "diffusion alone"]
    assert not list((tmp_path / "sanity").glob("*/*/ensemble"))
