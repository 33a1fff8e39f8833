"""`evaluate` end to end on a tiny cohort: what is counted, what is refused, and what an interruption costs."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prostate_alm.commands import scoring
from prostate_alm.commands.evaluate import evaluate
from prostate_alm.commands.evaluation import EvaluationOptions
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError, CohortError, EnsembleError, Reason
from prostate_alm.evaluation.known_studies import KnownStudies, KnownStudy
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.parcel import KNOWN_STUDIES, MANIFEST
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.report.evaluation_record import EvaluationRecord

QUICK = EvaluationOptions(cases=2, resamples=100, device="cpu", prevalences=(0.13,))


@pytest.fixture(scope="module")
def scores(cohort: Path, ensemble_factory: Any, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Mean logits of the six test studies by the small ensemble."""
    ensemble = load_ensemble(ensemble_factory(tmp_path_factory.mktemp("scores") / "ensemble"), device="cpu")
    return np.array([ensemble.score(LoadStudy()(e)["study"]).logit for e in read_datalist(cohort).entries("test")])


@pytest.fixture(scope="module")
def evaluated(
    cohort: Path, scores: np.ndarray, ensemble_factory: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, EvaluationRecord]:
    """The folder of an evaluation whose first threshold parts the scores, and its record."""
    place = tmp_path_factory.mktemp("evaluated")
    ensemble = ensemble_factory(place / "ensemble", threshold=float(np.sort(scores)[3]) + 0.01)
    other = ensemble_factory(place / "other", weights=None, threshold=0.0)
    options = EvaluationOptions(cases=2, resamples=100, device="cpu", prevalences=(0.13,), against=other)
    return place / "out", evaluate(ensemble, datalist=cohort, out=place / "out", options=options)


def test_the_figures_are_those_of_the_scores(evaluated: tuple[Path, EvaluationRecord], scores: np.ndarray) -> None:
    folder, record = evaluated
    labels = np.array([1, 0, 0, 1, 0, 0])
    rows = json.loads((folder / "scores.json").read_text())
    assert [row["logit"] for row in rows] == pytest.approx(scores.tolist(), abs=1e-5)
    assert record.discrimination.auc.auc == pytest.approx(roc_auc_score(labels, scores))
    first = record.fixed_thresholds[0]
    positive = scores >= first.point.threshold
    counts = first.model_alone.counts
    assert (counts.missed, counts.spared) == ((~positive & (labels == 1)).sum(), (~positive & (labels == 0)).sum())
    assert [at.values.prevalence for at in first.model_alone.prevalences] == [2 / 6, 0.13]
    assert EvaluationRecord.model_validate_json((folder / "metrics.json").read_bytes()) == record


def test_an_ensemble_is_no_better_than_itself(evaluated: tuple[Path, EvaluationRecord]) -> None:
    comparison = evaluated[1].comparison
    assert comparison is not None
    assert comparison.other.sha256 != evaluated[1].ensemble.sha256  # other thresholds, the same weights
    assert (comparison.auc_difference, comparison.p_value, comparison.studies) == (0.0, 1.0, 6)
    assert {rate.difference for rate in comparison.rates} == {0.0}


def test_the_worst_failures_are_shown_with_pictures(evaluated: tuple[Path, EvaluationRecord]) -> None:
    folder, record = evaluated
    page = (folder / "report.html").read_text()
    assert record.failures
    assert page.count('<img src="data:image/webp;base64,') == len(record.failures)
    assert all(f"<code>{failure.study}</code>" in page for failure in record.failures)


def test_an_interrupted_evaluation_goes_on(
    evaluated: tuple[Path, EvaluationRecord], cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble, record = evaluated[0].parent / "ensemble", evaluated[1]
    folder = shutil.copytree(evaluated[0], tmp_path / "out")
    kept = sorted((folder / "scores").iterdir())
    assert len(kept) == 12  # six studies, two ensembles
    kept[0].unlink()
    kept[1].write_text("{")  # half a file
    read: list[str] = []
    load = scoring.LoadStudy.__call__
    monkeypatch.setattr(scoring.LoadStudy, "__call__", lambda self, e: read.append(e["study"]) or load(self, e))
    options = EvaluationOptions(cases=0, resamples=100, device="cpu", against=ensemble.parent / "other")
    again = evaluate(ensemble, datalist=cohort, out=folder, options=options)
    assert len(read) == 2
    assert again.discrimination == record.discrimination


def test_whoever_fails_a_gate_gets_contrast_in_the_whole_decision_alone(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    ensemble = ensemble_factory(tmp_path / "ensemble", threshold=1e6, outlier_limit=1e-9)
    record = evaluate(ensemble, datalist=cohort, out=tmp_path / "out", options=QUICK)
    first = record.fixed_thresholds[0]
    assert (first.model_alone.counts.missed, first.model_alone.counts.spared) == (2, 4)
    assert (first.whole_decision.counts.missed, first.whole_decision.counts.spared) == (0, 0)
    assert first.failed_safe == 6
    assert record.patients.gates_failed == {Reason.OUT_OF_DISTRIBUTION: 6}
    assert record.patients.passed_every_gate == 0


def changed_cohort(cohort: Path, folder: Path, change: Any) -> Path:
    content = json.loads(cohort.read_text())
    for entry in [*content["training"], *content["test"]]:
        entry |= {name: str(cohort.parent / entry[name]) for name in ("t2", "dwi", "adc")}
    change(content)
    path = folder / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def test_a_study_that_can_not_be_read_gets_contrast_and_has_no_score(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    (tmp_path / "t2.nii.gz").write_bytes(b"no image")

    def spoil(content: Any) -> None:
        content["test"][1]["t2"] = str(tmp_path / "t2.nii.gz")

    path = changed_cohort(cohort, tmp_path, spoil)
    ensemble = ensemble_factory(tmp_path / "ensemble", threshold=1e6)
    record = evaluate(ensemble, datalist=path, out=tmp_path / "out", options=QUICK)
    assert (record.patients.studies, record.patients.scored) == (6, 5)
    assert sum(record.patients.refused.values()) == 1
    whole = record.fixed_thresholds[0].whole_decision.counts
    assert (whole.spared, whole.recalled) == (3, 1)


def known_of(cohort: Path, split: Any, place: int) -> KnownStudies:
    datalist = read_datalist(cohort)
    entry = datalist.entries(split)[place]
    content = LoadStudy()(entry)["content"]
    return KnownStudies(training=[KnownStudy.of(content, cohort="elsewhere", patient="another name")])


def test_a_test_set_that_overlaps_training_is_refused_by_its_images(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    ensemble = ensemble_factory(tmp_path / "ensemble", known=known_of(cohort, "test", 2))
    with pytest.raises(CohortError, match="1 of 6 studies have the same images"):
        evaluate(ensemble, datalist=cohort, out=tmp_path / "out", options=QUICK)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_an_ensemble_that_does_not_say_whom_it_met_is_refused(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    ensemble = ensemble_factory(tmp_path / "ensemble")
    (ensemble / KNOWN_STUDIES).unlink()
    manifest = json.loads((ensemble / MANIFEST).read_text())
    del manifest["files"][KNOWN_STUDIES]
    (ensemble / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(EnsembleError, match="earlier release"):
        evaluate(ensemble, datalist=cohort, out=tmp_path / "out", options=QUICK)


def test_one_class_alone_and_a_share_that_is_none_are_refused(
    cohort: Path, ensemble_factory: Any, tmp_path: Path
) -> None:
    ensemble = ensemble_factory(tmp_path / "ensemble")

    def without_positives(content: Any) -> None:
        content["test"] = [entry for entry in content["test"] if entry["label"] == 0]

    path = changed_cohort(cohort, tmp_path, without_positives)
    with pytest.raises(CohortError, match="0 positives and 4 negatives"):
        evaluate(ensemble, datalist=path, out=tmp_path / "out", options=QUICK)
    with pytest.raises(ArgumentError, match="prevalence"):
        evaluate(ensemble, datalist=cohort, out=tmp_path / "out", options=EvaluationOptions(prevalences=(13.0,)))
