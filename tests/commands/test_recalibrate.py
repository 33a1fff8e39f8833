"""`recalibrate` writes a new parcel on a site's own patients, never edits one, and never opens a gate."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prostate_alm.commands.recalibrate import recalibrate
from prostate_alm.commands.triage import triage
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError, CohortError, EnsembleError
from prostate_alm.evaluation.known_studies import KnownStudies, KnownStudy
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.operating_rules import parse_rules
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.parcel import KNOWN_STUDIES, MANIFEST, OPERATING_POINTS, WEIGHTS, files_of, read_manifest
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.report.triage import TriageAnswer
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def site(cohort: Path, ensemble_factory: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a parent, and the `child` that 24 patients of a site made of it."""
    place = tmp_path_factory.mktemp("site")
    parent = ensemble_factory(place / "parent", threshold=3.0)
    before = files_of(parent)
    recalibrate(
        parent, datalist=cohort, out=place / "child", rules=parse_rules(["0-fn", "conformal=0.25"]), device="cpu"
    )
    assert files_of(parent) == before
    return place


def test_the_child_names_its_parent_and_has_its_networks(site: Path, cohort: Path) -> None:
    parent, parent_sha256 = read_manifest(site / "parent")
    child, _ = read_manifest(site / "child")
    assert (child.parent_sha256, child.version) == (parent_sha256, f"{parent.version}+recalibrated.1")
    assert child.recalibrated_on_sha256 == read_datalist(cohort).sha256
    assert child.datalist_sha256 == parent.datalist_sha256
    assert child.files[WEIGHTS] == parent.files[WEIGHTS]
    card = (site / "child" / "docs" / "README.md").read_text()
    assert parent_sha256 in card
    assert card.endswith((site / "parent" / "docs" / "README.md").read_text())


def test_the_thresholds_are_those_of_the_sites_scores(site: Path, cohort: Path) -> None:
    ensemble = load_ensemble(site / "child", device="cpu")
    datalist = read_datalist(cohort)
    entries = [*datalist.entries("training"), *datalist.entries("test")]
    positives = sorted(ensemble.score(LoadStudy()(e)["study"]).logit for e in entries if e["label"] == 1)
    points = OperatingPoints.from_json((site / "child" / OPERATING_POINTS).read_bytes()).points
    assert [point.threshold for point in points] == pytest.approx([positives[0], positives[1]], abs=1e-5)
    assert [point.false_negatives for point in points] == [0, 1]  # (1 + 1) / (8 + 1) <= 0.25
    assert {point.status for point in points} == {"guaranteed"}


def test_no_gate_is_opened_and_golden_logits_stay(site: Path, ensemble_factory: Any, cohort: Path) -> None:
    parent, child = (load_ensemble(site / name, device="cpu").reference for name in ("parent", "child"))
    assert child.golden == parent.golden
    assert child.outlier.distance == parent.outlier.distance
    assert (child.evidence, child.patients) == ("calibration", 24)
    assert child.spread.limit < parent.spread.limit == 1e9
    narrow = ensemble_factory(site / "narrow", outlier_limit=1e-6, spread_limit=1e-6)
    recalibrate(narrow, datalist=cohort, out=site / "narrower", device="cpu")
    kept = load_ensemble(site / "narrower", device="cpu").reference
    assert (kept.spread.limit, kept.outlier.limit.limit) == (1e-6, 1e-6)
    assert kept.outlier.limit.expected_beyond == 1.0  # all of the site's patients keep failing safe


def test_service_and_triage_take_it(site: Path, cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = DeployedModel.read(ServiceSettings(ensemble=site / "child", operating_point="conformal-25"))
    assert model.identity.version.endswith("+recalibrated.1")
    study = Path(read_datalist(cohort).entries("test")[0]["t2"]).parent
    triage(study, ensemble=site / "child", operating_point="0-fn", device="cpu")
    answer = TriageAnswer.model_validate_json(capsys.readouterr().out)
    assert answer.model is not None
    assert answer.operating_point is not None
    assert answer.operating_point.evidence == "calibration"


def test_a_child_can_have_a_child_on_more_patients(site: Path, cohort: Path) -> None:
    """Patients that set the old thresholds may set the new ones: they are no training patients."""
    recalibrate(site / "child", datalist=cohort, out=site / "grandchild", device="cpu")
    manifest, _ = read_manifest(site / "grandchild")
    assert manifest.version.endswith("+recalibrated.2")
    assert manifest.parent_sha256 == read_manifest(site / "child")[1]


def test_an_ensemble_that_is_there_is_never_written_to(site: Path, cohort: Path) -> None:
    with pytest.raises(EnsembleError, match="never edited"):
        recalibrate(site / "parent", datalist=cohort, out=site / "child", device="cpu")


def test_training_patients_are_refused(cohort: Path, ensemble_factory: Any, tmp_path: Path) -> None:
    entry = read_datalist(cohort).entries("training")[0]
    met = KnownStudy.of(LoadStudy()(entry)["content"], cohort="other", patient="x")
    parent = ensemble_factory(tmp_path / "parent", known=KnownStudies(training=[met]))
    with pytest.raises(CohortError, match="1 of 24 studies have the same images"):
        recalibrate(parent, datalist=cohort, out=tmp_path / "child", device="cpu")
    assert not (tmp_path / "child").exists()


def test_too_few_positives_are_refused_before_anything_is_scored(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    parent = ensemble_factory(tmp_path / "parent")
    with pytest.raises(ArgumentError, match="at least 59 positives, got 8"):
        recalibrate(parent, datalist=cohort, out=tmp_path / "child", rules=parse_rules(["sensitivity=0.95"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parent"]


def test_one_class_alone_is_refused(cohort: Path, ensemble_factory: Any, tmp_path: Path) -> None:
    content = json.loads(cohort.read_text())
    content["training"], content["test"] = [], content["test"][1:3]
    for entry in content["test"]:
        entry |= {name: str(cohort.parent / entry[name]) for name in ("t2", "dwi", "adc")}
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match="0 positives and 2 negatives"):
        recalibrate(ensemble_factory(tmp_path / "parent"), datalist=path, out=tmp_path / "child", device="cpu")


def test_the_child_knows_the_sites_patients(site: Path) -> None:
    known = KnownStudies.from_json((site / "child" / KNOWN_STUDIES).read_bytes())
    assert (len(known.training), len(known.calibration)) == (0, 24)
    assert not [path for path in site.iterdir() if path.name.startswith(".")]  # scores are gone, nothing half-written


def test_a_changed_parent_is_not_copied(site: Path, cohort: Path, ensemble_factory: Any, tmp_path: Path) -> None:
    parent = ensemble_factory(tmp_path / "parent")
    with (parent / WEIGHTS).open("r+b") as file:
        file.seek(os.path.getsize(parent / WEIGHTS) // 2)  # noqa: PTH202
        file.write(np.random.default_rng(0).bytes(8))
    with pytest.raises(EnsembleError, match=MANIFEST):
        recalibrate(parent, datalist=cohort, out=tmp_path / "child", device="cpu")
