"""The published tables against the published runs, by scikit-learn and by counting."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prostate_alm.benchmark.methods import MULTICLASS_LOSSES
from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.table import Choice, ResultTable

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "cifar"
TABLES = sorted(PUBLISHED.glob("table-*.json"))


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((PUBLISHED / "runs").glob("*.json"))]


def runs_of(choice: Choice, records: list[RunRecord], *, binary: bool) -> list[RunRecord]:
    """The runs of a row, found by what the table says was chosen."""
    form, _, base = choice.method.rpartition(" + ")
    wanted = {
        "loss_name": base.lower() if binary else MULTICLASS_LOSSES[base],
        "alm": bool(form),
        "ratio": choice.ratio,
        **choice.settings,
    }
    if form == "ALM_m2":
        wanted["own_class"] = True
    return [record for record in records if matches(record, wanted)]


def matches(record: RunRecord, wanted: dict[str, object]) -> bool:
    settings = record.spec.settings
    return all(settings.get(name) == value for name, value in wanted.items())


def count_fpr(scores: np.ndarray, labels: np.ndarray, tpr: float) -> float:
    """Smallest share of negatives at or above a threshold that misses few enough positives."""
    positives = np.sort(scores[labels == 1])[::-1]
    needed = next(k for k in range(1, len(positives) + 1) if k / len(positives) >= tpr - 1e-12)
    return float((scores[labels == 0] >= positives[needed - 1]).mean())


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_published_figure_of_two_classes_follows_from_the_runs(path, records):
    table = ResultTable.model_validate_json(path.read_bytes())
    if table.number not in (1, 2):
        pytest.skip("more than two classes: the cells are tested on results made by hand")
    bundle = {1: "cifar10_binary", 2: "cifar100_binary"}[table.number]
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
