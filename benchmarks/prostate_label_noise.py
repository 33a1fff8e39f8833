"""The prostate tables without the test patients whose images are drawn from the other class.

    python benchmarks/prostate_label_noise.py --results benchmarks/results/prostate --out FILE

In 2 % of the synthetic patients the label is wrong on purpose. At 0 to 5 false negatives the rate hangs on the lowest
positives, and these are the mislabelled ones: what a method does with the others can't be seen there. The rows and
what they chose are those of the published tables; nothing is trained or chosen again. This was looked at after them.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from prostate_cohort import TEST_SETS, joined_datalist

from prostate_alm.benchmark.cells import figure
from prostate_alm.benchmark.cohorts import restricted
from prostate_alm.benchmark.execution import commit
from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.studies import Method, Outcome
from prostate_alm.benchmark.table import baseline_of
from prostate_alm.datasets.synthetic.presets import Cause
from prostate_alm.parcel import write_json

NEEDS_DCE = (Cause.EQUIVOCAL_FOCUS, Cause.MOTION_GHOSTING, Cause.PROSTHESIS_VOID, Cause.GAS_DISTORTION)
METRICS = ("fpr@fn=0", "fpr@fn=1", "fpr@fn=2", "fpr@fn=5", "fpr@tpr=0.98", "fpr@tpr=0.95", "auc")
AWARE = {"ALM, class-aware": "BCE, class-aware", "BCE, class-aware": "BCE"}
TRAINED = 240  # patients of a member that was trained on all scanners


def rows(results: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and settings of each row of the published table, and of the arms of the control that are none."""
    table = json.loads((results / name / "table-03.json").read_text(encoding="utf-8"))
    for choice in table["choices"]:
        form, _, base = choice["method"].rpartition(" + ")
        settings = {"loss_name": base.lower(), "alm": bool(form), "critical_per_batch": 0}
        yield choice["method"], {**settings, **choice["settings"]}
    arms = json.loads((results / name / "control.json").read_text(encoding="utf-8"))["arms"]
    for arm in AWARE:
        yield arm, {"loss_name": "bce", "alm": arm.startswith("ALM"), **arms[arm]["chosen"]}


def rightly_labelled(results: Path, name: str) -> dict[str, Any]:
    """Figures of a test set, in percent, each with its interval and its p-value against the baseline."""
    patients = joined_datalist().entries("test")
    right = np.array([(one["reason"] in NEEDS_DCE) == one["label"] for one in patients])
    kept = np.array([one[name] == 1 for one in patients]) & right
    records = [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((results / "runs").glob("*.json"))]
    records = [record for record in records if sum(record.counts) == TRAINED]
    outcomes: dict[str, Outcome] = {}
    for method, wanted in rows(results, name):
        runs = [record for record in records if wanted.items() <= record.spec.settings.items()]
        outcomes[method] = restricted(Outcome(Method(method, {}), {}, [], runs), kept)
    found = {
        method: {metric: _shown(metric, outcome, outcomes.get(_baseline(method))) for metric in METRICS}
        for method, outcome in outcomes.items()
    }
    labels = np.array([one["label"] for one in patients])[kept]
    return {"patients": [int((labels == 0).sum()), int((labels == 1).sum())], "rows": found}


def _baseline(method: str) -> str:
    return AWARE.get(method) or baseline_of(method) or ""


def _shown(metric: str, outcome: Outcome, baseline: Outcome | None) -> list[float | None]:
    """Value, low, high, p-value."""
    cell = figure(metric, outcome, baseline)
    return [cell.value, cell.low, cell.high, cell.p_value]


def main() -> None:
    """Read the arguments and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = {name: rightly_labelled(arguments.results, name) for name in TEST_SETS}
    write_json(arguments.out, {"schema_version": 1, "commit": commit(), "test_sets": found})


if __name__ == "__main__":
    main()
