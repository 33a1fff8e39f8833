"""The published tables against the published runs, by scikit-learn and by counting."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prostate_alm.benchmark.methods import MULTICLASS_LOSSES
from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.table import Choice, ResultTable

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "cifar"


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((PUBLISHED / "runs").glob("*.json"))]


def published(number: int) -> ResultTable:
    return ResultTable.model_validate_json((PUBLISHED / f"table-{number:02}.json").read_bytes())


def runs_of(choice: Choice, records: list[RunRecord], *, binary: bool) -> list[RunRecord]:
    """The runs of a row, found by what the table says was chosen."""
    form, _, base = choice.method.rpartition(" + ")
    wanted = {
        "loss_name": base.lower() if binary else MULTICLASS_LOSSES[base],
        "alm": bool(form),
        "ratio": choice.ratio,
        **choice.settings,
    }
    if not binary:
        wanted["own_class"] = form == "ALM_m2"
    return [record for record in records if matches(record, wanted)]


def matches(record: RunRecord, wanted: dict[str, object]) -> bool:
    settings = record.spec.settings
    return all(settings.get(name) == value for name, value in wanted.items())


def count_fpr(scores: np.ndarray, labels: np.ndarray, tpr: float) -> float:
    """Smallest share of negatives at or above a threshold that misses few enough positives."""
    positives = np.sort(scores[labels == 1])[::-1]
    needed = next(k for k in range(1, len(positives) + 1) if k / len(positives) >= tpr - 1e-12)
    return float((scores[labels == 0] >= positives[needed - 1]).mean())


def share_right(run: RunRecord) -> float:
    assert run.test.prediction is not None
    return float((run.test.prediction.array() == run.test.labels.array()).mean())


def count_errors(run: RunRecord, tpr: float) -> float:
    """Share of the images of other classes that are not called their own where enough critical images are found."""
    assert run.test.other is not None
    labels, critical, other = run.test.labels.array(), run.test.critical.array(), run.test.other.array()
    mine = labels == labels.max()  # the smallest class
    found = np.array([(critical[mine] >= threshold).mean() for threshold in critical[mine]])
    threshold = critical[mine][found >= tpr - 1e-12].max()
    return float(((critical >= threshold) | (other != labels))[~mine].mean())


def test_the_caption_names_the_commit_of_every_run_those_of_the_search_included(records):
    ours = [record for record in records if record.spec.bundle == "cifar100_binary"]
    assert len(ours) == 119
    assert published(2).caption.commit == ", ".join(sorted({record.commit for record in ours}))


@pytest.mark.parametrize(("number", "bundle"), [(1, "cifar10_binary"), (2, "cifar100_binary")])
def test_every_published_figure_of_two_classes_follows_from_the_runs(number, bundle, records):
    table = published(number)
    ours = [record for record in records if record.spec.bundle == bundle]
    plain = {"critical_per_batch": 0, "moving_average": 0.0, "warm_up_epochs": 0, "hardest": None}
    ours = [record for record in ours if matches(record, {**plain, "space": "probability"})]
    for choice in table.choices:
        found = [run for run in runs_of(choice, ours, binary=True) if int(run.spec.settings["member"] or 0) < 5]
        assert len({run.spec.settings["member"] for run in found}) == len(found) == 5, choice.method
        scores = np.mean([run.test.critical.array() for run in found], axis=0)
        labels = found[0].test.labels.array()
        auc = table.cell(choice.method, choice.ratio, "auc").value
        assert auc == pytest.approx(100 * roc_auc_score(labels, scores))
        for column in table.columns:
            if column.ratio == choice.ratio and column.metric.startswith("fpr@tpr="):
                cell = table.cell(choice.method, choice.ratio, column.metric)
                assert cell.value == pytest.approx(100 * count_fpr(scores, labels, float(column.metric[8:])))


def test_every_published_figure_of_the_long_tail_follows_from_the_runs(records):
    table = published(4)
    ours = [
        record
        for record in records
        if record.spec.bundle == "cifar10_long_tailed" and matches(record, {"max_epochs": 30, "critical_per_batch": 0})
    ]
    for choice in table.choices:
        found = runs_of(choice, ours, binary=False)
        assert sorted(int(run.spec.settings["member"] or 0) for run in found) == [0, 1], choice.method
        accuracy = table.cell(choice.method, choice.ratio, "accuracy").value
        assert accuracy == pytest.approx(100 * np.mean([share_right(run) for run in found]))
        for tpr in (0.8, 0.9):
            cell = table.cell(choice.method, choice.ratio, f"error@tpr={tpr}")
            assert cell.value == pytest.approx(100 * np.mean([count_errors(run, tpr) for run in found]))


def test_the_published_comparison_of_precisions_follows_from_its_runs():
    folder = PUBLISHED.with_name("cifar_precision")
    found = json.loads((folder / "precision.json").read_text(encoding="utf-8"))
    pairs = [
        [RunRecord.model_validate_json((folder / "runs" / f"cifar10_binary-{key}.json").read_bytes()) for key in keys]
        for keys in zip(found["runs"]["float32"], found["runs"]["bfloat16"], strict=True)
    ]
    for exact, rounded in pairs:
        assert rounded.spec.settings == {**exact.spec.settings, "precision": "bfloat16"}
        assert exact.spec.settings["precision"] == "float32"
        assert (rounded.machine, rounded.commit) == (exact.machine, exact.commit)
    assert [exact.spec.settings["member"] for exact, _ in pairs] == list(range(10))
    areas = np.array(
        [[roc_auc_score(run.test.labels.array(), run.test.critical.array()) for run in pair] for pair in pairs]
    )
    assert [found["mean_auc"][name] for name in ("float32", "bfloat16")] == pytest.approx(list(areas.mean(axis=0)))
    differences = areas[:, 1] - areas[:, 0]
    half = 2.2621571628 * np.std(differences, ddof=1) / np.sqrt(10)  # Student's t with 9 degrees of freedom, 97.5 %
    assert found["mean_difference"] == pytest.approx(differences.mean(), abs=1e-9)
    assert found["interval"] == pytest.approx([differences.mean() - half, differences.mean() + half], abs=1e-8)
