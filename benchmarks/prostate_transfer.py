"""How much a scanner that training never saw costs: two ensembles of a method on the same patients of that scanner.

    prostate-alm benchmark table3 --data DIR/datalist.json --out ALL --loss bce --where vendor=vendor_c
    prostate-alm benchmark table3 --data DIR/without-vendor_c.json --out WITHOUT --loss bce --where vendor=vendor_c
    python benchmarks/prostate_transfer.py --data DIR --all ALL --without WITHOUT --out transfer.json

Training without the scanner also has fewer patients: what is measured is both together.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prostate_alm.benchmark.cohorts import chosen_patients
from prostate_alm.benchmark.execution import commit
from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.table import Choice, ResultTable
from prostate_alm.evaluation.bootstrap import fpr_at_tpr_difference
from prostate_alm.evaluation.delong import delong_test
from prostate_alm.evaluation.roc import auc, fpr_at_tpr
from prostate_alm.parcel import write_json

WHERE, TPR = "vendor=vendor_c", 0.95
Array = NDArray[Any]


def ensemble(folder: Path, choice: Choice) -> list[RunRecord]:
    """The members of a row, found by what its table says was chosen."""
    form, _, base = choice.method.rpartition(" + ")
    wanted = {"loss_name": base.lower(), "alm": bool(form), "critical_per_batch": 0, **choice.settings}
    records = [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((folder / "runs").glob("*.json"))]
    return [record for record in records if wanted.items() <= record.spec.settings.items()]


def compared(ours: Array, others: Array, labels: Array) -> dict[str, Any]:
    """Two ensembles ``[N]`` on the same patients, in percent; a difference is `others` - `ours` with its interval."""
    tested, fpr = delong_test(others, ours, labels), fpr_at_tpr_difference(others, ours, labels, TPR)
    half = NormalDist().inv_cdf(0.975) * tested.standard_error
    ends = (tested.difference, tested.difference - half, tested.difference + half)
    return {
        "auc": [100 * auc(scores, labels) for scores in (ours, others)],
        "auc_difference": [100 * value for value in ends],
        "auc_p": tested.p_value,
        f"fpr@tpr={TPR}": [100 * fpr_at_tpr(scores, labels, TPR) for scores in (ours, others)],
        f"fpr@tpr={TPR}_difference": [100 * value for value in (fpr.difference, fpr.low, fpr.high)],
        f"fpr@tpr={TPR}_p": fpr.p_value,
    }


def transfer(data: Path, folders: Mapping[str, Path]) -> dict[str, Any]:
    """Each row of the table: trained on all scanners, and without the one."""
    kept = chosen_patients(data, WHERE)
    found: dict[str, Any] = {}
    tables = {name: folder / "table3" / WHERE / "table-03.json" for name, folder in folders.items()}
    choices = {name: ResultTable.model_validate_json(path.read_bytes()).choices for name, path in tables.items()}
    for pair in zip(*choices.values(), strict=True):
        runs = [ensemble(folder, choice) for folder, choice in zip(folders.values(), pair, strict=True)]
        scores = [np.mean([run.test.critical.array() for run in members], axis=0)[kept] for members in runs]
        labels = runs[0][0].test.labels.array()[kept]
        found[pair[0].method] = {
            "members": [len(members) for members in runs],
            "chosen": [choice.settings for choice in pair],
            "training": [members[0].counts for members in runs],
            "patients": [int((labels == 0).sum()), int((labels == 1).sum())],
            **compared(scores[0], scores[1], labels),
        }
    return found


def main() -> None:
    """Read the arguments, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "all", "without", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    rows = transfer(arguments.data, {"all": arguments.all, "without": arguments.without})
    write_json(arguments.out, {"schema_version": 1, "commit": commit(), "where": WHERE, "rows": rows})


if __name__ == "__main__":
    main()
