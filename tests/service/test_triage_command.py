"""`prostate-alm triage`: JSON and nothing else on stdout, 0 whenever it answered."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.parcel import MANIFEST, sha256_of


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["triage", *map(str, arguments)])


def test_stdout_holds_the_answer_alone(parcels, dicom_folders):
    command = [sys.executable, "-m", "prostate_alm.cli", "triage", dicom_folders[0], "--ensemble", parcels["never"]]
    done = subprocess.run(command, capture_output=True, check=True)
    answer = json.loads(done.stdout)
    assert (answer["recommendation"], answer["basis"]) == ("DCE_NOT_NEEDED", "MODEL")


def test_another_operating_point_is_applied(run, parcels, dicom_zip):
    result = run(dicom_zip, "--ensemble", parcels["always"], "--operating-point", "1-fn")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert answer["operating_point"]["name"] == "1-fn"
    assert answer["operating_point"]["threshold"] == -1e6 + 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.txt", b"no study", "INPUT_UNREADABLE"),
        ("empty.zip", b"", "INPUT_EMPTY"),
        (None, None, "INPUT_UNREADABLE"),
    ],
)
def test_a_study_that_is_none_is_an_answer(*, run, parcels, tmp_path, name, content, reason):
    path = tmp_path / (name or "not there")
    if name:
        path.write_bytes(content)
    result = run(path, "--ensemble", parcels["never"])
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["recommendation"], answer["basis"], answer["reasons"]) == ("DCE_RECOMMENDED", "FAILSAFE", [reason])


@pytest.fixture
def changed(parcels, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(parcels["never"], folder)
    (folder / "operating_points.json").write_text("{}")
    return folder


def test_a_changed_ensemble_is_a_fail_safe_answer_and_a_message(run, changed, dicom_zip, caplog):
    result = run(dicom_zip, "--ensemble", changed)
    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
    assert answer["reasons"] == ["ENSEMBLE_INVALID"]
    assert (answer["model"], answer["operating_point"], answer["logit"]) == (None, None, None)
    assert "operating_points.json" in caplog.text


def test_a_missing_ensemble_is_a_fail_safe_answer(run, dicom_zip, tmp_path):
    result = run(dicom_zip, "--ensemble", tmp_path / "nothing")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["reasons"] == ["ENSEMBLE_INVALID"]


def test_only_the_pinned_ensemble_answers(run, parcels, dicom_zip):
    pin = sha256_of(parcels["never"] / MANIFEST)
    assert json.loads(run(dicom_zip, "--ensemble", parcels["never"], "--expect-sha256", pin).stdout)["basis"] == "MODEL"
    other = run(dicom_zip, "--ensemble", parcels["never"], "--expect-sha256", "0" * 64)
    assert json.loads(other.stdout)["reasons"] == ["ENSEMBLE_INVALID"]


def test_an_unknown_operating_point_is_a_usage_error(run, parcels, dicom_zip):
    result = run(dicom_zip, "--ensemble", parcels["never"], "--operating-point", "zero")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "0-fn, 1-fn" in result.stderr
