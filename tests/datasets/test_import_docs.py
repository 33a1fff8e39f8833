"""docs/import.md: its commands are commands, and it has advice for every reason to leave a study out."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.datasets.study_import import NOTED
from prostate_alm.errors import Reason

TEXT = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^prostate-alm (.*)$", TEXT, re.MULTILINE)
OF_ANSWERS = {  # reasons that no import gives
    *(Reason.LOGIT_NOT_FINITE, Reason.ENSEMBLE_INVALID, Reason.MEMBER_MISSING, Reason.NEAR_THRESHOLD),
    *(Reason.STUDY_INCOMPLETE, Reason.MODEL_DIFFERS, Reason.MEMBERS_DISAGREE, Reason.OUT_OF_DISTRIBUTION),
    *(Reason.WORKER_LOST, Reason.SILENT_MODE, Reason.RANDOM_AUDIT, Reason.SUPERSEDED),
    *(Reason.NOT_STORED, Reason.TIMEOUT, Reason.ADC_COMPUTED, Reason.ADC_RESCALED, Reason.SERIES_NAMED_BY_HAND),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str) -> None:
    assert CliRunner().invoke(app, [*shlex.split(command), "--help"]).exit_code == 0
    assert CliRunner().invoke(app, [*shlex.split(command), "--no-such-option", "--help"]).exit_code != 0


def test_every_reason_has_its_advice() -> None:
    advice = TEXT.split("## What is left out")[1].split("\n## ")[0]
    advised = set(re.findall(r"`([A-Z0-9_]+)`", advice))
    assert advised == {reason.value for reason in Reason} - {reason.value for reason in OF_ANSWERS}
    rows = "\n".join(line for line in advice.splitlines() if line.startswith("| `"))
    assert not any(f"`{reason.value}`" in rows for reason in NOTED)
