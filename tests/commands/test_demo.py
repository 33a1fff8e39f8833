"""The demo's way on a cohort of a few patients: everything real, nothing of it worth believing."""

import json
from pathlib import Path

import pytest

from prostate_alm.commands.demo import demo
from prostate_alm.commands.triage import triage
from prostate_alm.datasets.study_keys import read_keys
from prostate_alm.parcel import read_manifest
from prostate_alm.report.triage import TriageAnswer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the demo leaves."""
    out = tmp_path_factory.mktemp("demo")
    demo(out, workers=2, patients=12, test_patients=6, epochs=1)
    return out


def test_the_ensemble_is_whole_and_trained_under_the_constraint(place: Path) -> None:
    manifest, _ = read_manifest(place / "training" / "ensemble")
    assert manifest.members == 3
    assert manifest.training["alm"] is True
    rows = (place / "training" / "members" / "member_00" / "epochs.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["largest_multiplier"] > 0


def test_unseen_patients_were_evaluated(place: Path) -> None:
    metrics = json.loads((place / "evaluation" / "metrics.json").read_text())
    scores = json.loads((place / "evaluation" / "scores.json").read_text())
    datalist = json.loads((place / "cohort" / "datalist.json").read_text())
    assert metrics["patients"]["studies"] == len(scores) == 6
    assert {row["study"] for row in scores}.isdisjoint(entry["study"] for entry in datalist["training"])
    assert {row["point"]["name"] for row in metrics["fixed_thresholds"]} == {"0-fn", "1-fn", "2-fn"}
    assert (place / "evaluation" / "roc.png").stat().st_size > 10_000
    assert "unseen studies" in (place / "evaluation" / "report.html").read_text()


def test_the_service_answered_as_triage_and_evaluation_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored = {row["study"]: row["logit"] for row in json.loads((place / "evaluation" / "scores.json").read_text())}
    keys = {key.study: key.study_key for key in read_keys(place / "cohort.keys.csv")}
    answers = sorted((place / "answers").glob("*.json"))
    assert len(answers) == 4
    for path in answers:
        over_http = TriageAnswer.model_validate_json(path.read_bytes())
        triage(place / "dicom" / "dicom" / path.stem, ensemble=place / "training" / "ensemble")
        from_folder = TriageAnswer.model_validate_json(capsys.readouterr().out)
        assert over_http.logit == pytest.approx(from_folder.logit, abs=1e-5)
        assert over_http.logit == pytest.approx(scored[keys[path.stem]], abs=1e-5)
        assert over_http.recommendation == from_folder.recommendation
