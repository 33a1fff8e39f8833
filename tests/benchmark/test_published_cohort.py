"""The published prostate tables against the published runs, by scikit-learn and by counting."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.table import ResultTable

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "benchmarks" / "results" / "prostate"
TABLES = sorted(PUBLISHED.glob("*/table-*.json"))
MEMBERS = 5


@pytest.fixture(scope="module")
def cohort() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels of the test patients and who is in which test set, drawn again; no image is rendered for it."""
    script = runpy.run_path(str(ROOT / "benchmarks" / "prostate_cohort.py"))
    test = script["joined_datalist"]().entries("test")
    sets = {name: np.array([entry[name] == 1 for entry in test]) for name in script["TEST_SETS"]}
    return np.array([entry["label"] for entry in test]), sets


@pytest.fixture(scope="module")
def everything() -> list[RunRecord]:
    return [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((PUBLISHED / "runs").glob("*.json"))]


@pytest.fixture(scope="module")
def records(everything) -> list[RunRecord]:
    """Of the training on all scanners."""
    return [record for record in everything if sum(record.counts) == 240]


def ensemble(records, **wanted) -> np.ndarray:
    """Mean test logits of the members with these settings."""
    found = [run for run in records if wanted.items() <= run.spec.settings.items()]
    found = [run for run in found if int(run.spec.settings["member"] or 0) < MEMBERS]
    assert len({run.spec.settings["member"] for run in found}) == len(found) == MEMBERS, wanted
    return np.mean([run.test.critical.array() for run in found], axis=0)


def count_fpr(scores, labels, misses) -> float:
    threshold = np.sort(scores[labels == 1])[misses]
    return 100 * float((scores[labels == 0] >= threshold).mean())


def test_the_test_sets_are_of_the_prevalences_that_are_said(cohort, records):
    labels, sets = cohort
    assert {name: (int(kept.sum()), int(labels[kept].sum())) for name, kept in sets.items()} == {
        "p13": (1000, 130),
        "p36": (1000, 360),
    }
    for record in records:
        assert record.test.labels.array().tolist() == labels.tolist()
        assert "+changes" not in record.commit


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_published_figure_follows_from_the_runs(path, cohort, records):
    labels, kept = cohort[0], cohort[1][path.parent.name]
    table = ResultTable.model_validate_json(path.read_bytes())
    assert table.choices
    for choice in table.choices:
        form, _, base = choice.method.rpartition(" + ")
        wanted = {"loss_name": base.lower(), "alm": bool(form), "critical_per_batch": 0, **choice.settings}
        scores = ensemble(records, **wanted)[kept]
        for column in table.columns:
            value = table.cell(choice.method, None, column.metric).value
            if column.metric == "auc":
                assert value == pytest.approx(100 * roc_auc_score(labels[kept], scores))
            elif column.metric.startswith("fpr@fn="):
                assert value == pytest.approx(count_fpr(scores, labels[kept], int(column.metric[7:])))


@pytest.mark.parametrize("name", ["p13", "p36"])
def test_the_published_control_follows_from_the_runs(name, cohort, records):
    labels, kept = cohort[0], cohort[1][name]
    arms = json.loads((PUBLISHED / name / "control.json").read_text())["arms"]
    assert list(arms) == ["BCE", "BCE, class-aware", "ALM", "ALM, class-aware"]
    for arm, found in arms.items():
        chosen = {"critical_per_batch": 0, **found["chosen"]}
        scores = ensemble(records, loss_name="bce", alm=arm.startswith("ALM"), **chosen)[kept]
        assert found["auc"]["ensemble"] == pytest.approx(100 * roc_auc_score(labels[kept], scores))


def test_the_published_transfer_follows_from_the_runs(cohort, records, everything):
    script = runpy.run_path(str(ROOT / "benchmarks" / "prostate_cohort.py"))
    vendor = script["UNSEEN_VENDOR"]
    kept = np.array([entry["vendor"] == vendor for entry in script["joined_datalist"]().entries("test")])
    assert {entry["vendor"] for entry in script["joined_datalist"](without=vendor).entries("training")} == {
        "vendor_a",
        "vendor_b",
    }
    without = [record for record in everything if sum(record.counts) < 240]
    labels, rows = cohort[0][kept], json.loads((PUBLISHED / "transfer.json").read_text())["rows"]
    for method, row in rows.items():
        for part, runs, chosen in zip((0, 1), (records, without), row["chosen"], strict=True):
            wanted = {"critical_per_batch": 0, "alm": method.startswith("ALM"), **chosen}
            scores = ensemble(runs, loss_name="bce", **wanted)[kept]
            assert row["auc"][part] == pytest.approx(100 * roc_auc_score(labels, scores))
