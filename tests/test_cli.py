"""The command line: its fixed names, and an error that is a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app


@pytest.mark.parametrize(
    "command",
    [
        "cohort synthesize",
        "cohort import",
        "cohort inspect",
        "train",
        "search",
        "sanity permutation",
        "sanity modality",
        "evaluate",
        "recalibrate",
        "triage",
        "serve",
        "token",
        "demo",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_an_error_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    arguments = ["train", "--datalist", str(tmp_path / "none.json"), "--out", str(tmp_path / "run"), "--members", "4"]
    command = [sys.executable, "-m", "prostate_alm.cli", *arguments, "--folds", "3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("error: `members` must be a multiple of `folds`")
    assert "Traceback" not in run.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "monai", "pydicom")
    code = f"import sys; from prostate_alm.cli import app; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_losses_import_torch_and_nothing_heavier() -> None:
    heavy = ("monai", "pydicom", "nibabel", "scipy", "sklearn", "pydantic", "fastapi")
    code = f"import sys, prostate_alm.losses; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
