"""Tables 3, 14 and 15 on a prostate cohort, really trained, on a few tiny patients."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prostate_alm.benchmark.cohorts import chosen_patients, datalist_path
from prostate_alm.benchmark.execution import attempt
from prostate_alm.benchmark.records import Failure, RunRecord
from prostate_alm.benchmark.table import ResultTable
from prostate_alm.commands.benchmark import benchmark
from prostate_alm.errors import ArgumentError, CohortError


@pytest.fixture(scope="module")
def folder(cohort, tmp_path_factory):
    """The built cohort with a column of the test patients: the first five and the last."""
    folder = tmp_path_factory.mktemp("with_sites") / "cohort"
    shutil.copytree(cohort.parent, folder)
    content = json.loads((folder / "datalist.json").read_text())
    for place, entry in enumerate(content["test"]):
        entry["site"] = "ab"[place // 5]
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    """Table 3 with BCE alone, and the control, which shares its runs."""
    out = tmp_path_factory.mktemp("out")
    for table, losses in (("table3", ["bce"]), ("cohort-control", [])):
        benchmark(table, data=folder, out=out, budget="smoke", workers=1, losses=losses)
    return out


def records(out):
    return {path: RunRecord.model_validate_json(path.read_bytes()) for path in sorted((out / "runs").glob("*.json"))}


def table(path):
    return ResultTable.model_validate_json(path.read_bytes())


def ensemble(out, *, alm, critical):
    """Labels and mean logits of the members, from the records alone."""
    runs = [r for r in records(out).values() if r.spec.settings["alm"] == alm]
    runs = [r for r in runs if r.spec.settings["critical_per_batch"] == critical]
    assert sorted(int(r.spec.settings["member"] or 0) for r in runs) == [0, 1]
    return runs[0].test.labels.array(), np.mean([r.test.critical.array() for r in runs], axis=0)


def count_fpr(scores, labels, misses):
    """Share of negatives at or above the threshold that misses so many positives."""
    threshold = np.sort(scores[labels == 1])[misses]
    return 100 * float((scores[labels == 0] >= threshold).mean())


def test_table_3_is_that_of_the_runs_beside_the_papers(out):
    found = table(out / "table3" / "table-03.json")
    assert [row.method for row in found.rows] == ["BCE", "ALM + BCE"]
    for method, alm in (("BCE", False), ("ALM + BCE", True)):
        labels, scores = ensemble(out, alm=alm, critical=0)
        assert labels.tolist() == [1, 0, 0, 1, 0, 0]
        assert found.cell(method, None, "auc").value == pytest.approx(100 * roc_auc_score(labels, scores))
        for misses in (0, 1):
            cell = found.cell(method, None, f"fpr@fn={misses}")
            assert cell.value == pytest.approx(count_fpr(scores, labels, misses))
    assert found.cell("ALM + BCE", None, "auc").paper == 85.4
    assert found.cell("ALM + BCE", None, "auc").p_value is not None
    assert "6 test patients, 2 of them positive" in (out / "table3" / "table-03.md").read_text()


def test_a_record_is_of_this_datalist_and_of_folds_that_share_no_patient(out, folder):
    runs = list(records(out).values())
    assert len(runs) == 8  # BCE and ALM, each with plain and with class-aware batches, two members
    assert {run.spec.data_sha256 for run in runs} == {
        hashlib.sha256((folder / "datalist.json").read_bytes()).hexdigest()
    }
    for run in runs:
        assert run.spec.settings["profile"] == "tiny"
        assert sum(run.counts) + len(run.validation.labels.array()) == 18
        assert run.validation_metric == pytest.approx(
            roc_auc_score(run.validation.labels.array(), run.validation.critical.array())
        )


def test_other_tables_and_a_part_of_the_patients_train_nothing_anew(out, folder):
    before = {path: path.stat().st_mtime_ns for path in records(out)}
    benchmark("table15", data=folder / "datalist.json", out=out, budget="smoke", workers=1, losses=["bce"])
    benchmark("table14", data=folder, out=out, budget="smoke", workers=1, losses=["bce"])
    written = benchmark("table3", data=folder, out=out, budget="smoke", workers=1, losses=["bce"], where="site=a")
    assert {path: path.stat().st_mtime_ns for path in records(out)} == before
    labels, scores = ensemble(out, alm=True, critical=0)
    whole = table(out / "table15" / "table-15.json").cell("ALM + BCE", None, "fpr@fn=2")
    assert (whole.status, whole.paper) == ("not run", 20.3)  # of two positives both may be missed
    assert [row.method for row in table(out / "table14" / "table-14.json").rows] == ["ALM + BCE"]
    part = table(written.with_suffix(".json")).cell("ALM + BCE", None, "auc")
    assert part.value == pytest.approx(100 * roc_auc_score(labels[:5], scores[:5]))
    assert "5 test patients, 2 of them positive" in written.read_text()


def test_the_control_asks_what_the_batches_give_and_what_the_constraint(out):
    content = json.loads((out / "cohort-control" / "control.json").read_text())
    assert list(content["arms"]) == ["BCE", "BCE, class-aware", "ALM", "ALM, class-aware"]
    pairs = {(c["arm"], c["reference"]) for c in content["comparisons"]}
    aware = ("BCE, class-aware", "ALM, class-aware")
    assert pairs == {(aware[0], "BCE"), ("ALM", "BCE"), (aware[1], aware[0]), (aware[1], "BCE")}
    labels, scores = ensemble(out, alm=True, critical=2)
    assert content["arms"]["ALM, class-aware"]["auc"]["ensemble"] == pytest.approx(100 * roc_auc_score(labels, scores))


def test_a_datalist_of_other_patients_is_other_runs_and_never_trained_as_these(out, folder, tmp_path):
    spec = next(iter(records(out).values())).spec
    copied = tmp_path / "cohort"
    shutil.copytree(folder, copied)
    content = json.loads((copied / "datalist.json").read_text())
    content["training"] = content["training"][:-1]
    (copied / "datalist.json").write_text(json.dumps(content))
    failure = attempt(spec, copied, tmp_path / "work")
    assert isinstance(failure, Failure)
    assert failure.message.startswith("CohortError: the datalist is not the one")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("site", "Expected COLUMN=VALUE"),
        ("scanner=b", "a column of adc, .*site"),
        ("site=b", "has 0 positives and 1 negatives"),
        ("label=1", "has 2 positives and 0 negatives"),
    ],
)
def test_patients_that_can_not_be_chosen_are_said_before_any_training(folder, tmp_path, where, says):
    with pytest.raises(ArgumentError, match=says):
        benchmark("table3", data=folder, out=tmp_path, budget="smoke", workers=1, where=where)
    assert not (tmp_path / "runs").exists()


def test_patients_are_chosen_in_the_order_of_the_datalist(folder):
    assert chosen_patients(folder, "site=a").tolist() == [True] * 5 + [False]
    assert chosen_patients(folder, None).all()


def test_a_cohort_that_can_not_be_used_is_our_own_error(folder, cifar_folder, tmp_path):
    with pytest.raises(CohortError, match="no datalist"):
        benchmark("table3", data=tmp_path, out=tmp_path, budget="smoke", workers=1)
    content = json.loads(datalist_path(folder).read_text())
    negatives = [entry for entry in content["training"] if entry["label"] == 0]
    content["training"] = [content["training"][0], *negatives]  # one positive
    copied = tmp_path / "cohort"
    shutil.copytree(folder, copied)
    (copied / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(CohortError, match="too few of one"):
        benchmark("table3", data=copied, out=tmp_path, budget="smoke", workers=1)
    content = json.loads(datalist_path(folder).read_text())
    (copied / "datalist.json").write_text(json.dumps({**content, "test": []}))
    with pytest.raises(ArgumentError, match="the test section has 0 positives"):
        benchmark("table3", data=copied, out=tmp_path, budget="smoke", workers=1)
    with pytest.raises(ArgumentError, match="a table on images has none"):
        benchmark("table5", data=cifar_folder, out=tmp_path, budget="smoke", workers=1, where="site=b")
    with pytest.raises(ArgumentError, match="the cohort has its own"):
        benchmark("table3", data=folder, out=tmp_path, budget="smoke", workers=1, ratios=[100])
