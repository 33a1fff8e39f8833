"""Does training in bfloat16 leave the AUC where float32 puts it? Pairs of runs that differ in nothing else.

The bundle `cifar10_binary` at the scale of the published control: ResNet-10 of width 16, 15 epochs, classes 0 and 2 at
1:100, plain BCE. A pair shares its split, first weights and the order of its images, and must come from one machine:
processors round differently. Runs in `OUT/runs` are not run again; the comparison goes to `OUT/precision.json`.

    python benchmarks/cifar_precision.py --data DIR --out OUT [--members 10] [--workers 2]
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy import stats

from prostate_alm.benchmark.grid import Grid, RunStore
from prostate_alm.benchmark.local import LocalBackend
from prostate_alm.benchmark.records import RunRecord
from prostate_alm.benchmark.studies import Method, Protocol, study
from prostate_alm.commands.benchmark import RunLines
from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.parcel import write_json

PRECISIONS = ("float32", "bfloat16")
SETTINGS = {"width": 16, "max_epochs": 15, "alm": False}


def runs(data: Path, out: Path, *, members: int, workers: int) -> dict[str, Sequence[RunRecord]]:
    """Runs of each precision, by member; those that are not there yet are run."""
    protocol = Protocol("cifar10_binary", SETTINGS, members, 1, read_cifar(data, "cifar10").sha256)
    studies = {name: study(Method(name, {"precision": name}), protocol) for name in PRECISIONS}
    backend = LocalBackend(data.absolute(), (out / "work").absolute(), workers=workers, threads=1)
    try:
        grid = Grid(RunStore(out / "runs"), backend, RunLines(Console(stderr=True)))
        outcomes = grid.run(studies, expected=members * len(PRECISIONS))
    finally:
        backend.close()
    if failures := [failure.message for outcome in outcomes.values() for failure in outcome.failures]:
        raise SystemExit("\n".join(failures))
    return {name: outcome.runs for name, outcome in outcomes.items()}


def compared(found: Mapping[str, Sequence[RunRecord]]) -> dict[str, Any]:
    """Each run's AUC on the test images, and what bfloat16 changes: mean of paired differences with 95 % t interval."""
    makers = {(run.machine, run.commit, *sorted(run.versions.items())) for of in found.values() for run in of}
    if len(makers) > 1:
        raise SystemExit(
            f"runs of one machine, commit and versions are needed; give another --out. Got {sorted(makers)}."
        )
    areas = {name: [run.metrics["auc"] for run in found[name]] for name in PRECISIONS}
    test = stats.ttest_rel(areas["bfloat16"], areas["float32"])
    interval = test.confidence_interval(0.95)
    differences: npt.NDArray[np.float64] = np.subtract(areas["bfloat16"], areas["float32"])
    return {
        "auc": areas,
        "mean_auc": {name: float(np.mean(values)) for name, values in areas.items()},
        "mean_difference": float(differences.mean()),
        "interval": [float(interval.low), float(interval.high)],
        "sd_of_differences": float(differences.std(ddof=1)),
        "p": float(test.pvalue),
        "runs": {name: [run.spec.key for run in found[name]] for name in PRECISIONS},
        "seconds": {name: [run.seconds for run in found[name]] for name in PRECISIONS},
        "commit": found["float32"][0].commit,
        "machine": found["float32"][0].machine,
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"), help="PROSTATE_ALM_DATA by default"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data is the folder of the CIFAR archives")
    result = compared(runs(arguments.data, arguments.out, members=arguments.members, workers=arguments.workers))
    command = f"python benchmarks/cifar_precision.py --data DIR --out OUT --members {arguments.members}"
    write_json(arguments.out / "precision.json", {"command": command, **result})
    low, high = result["interval"]
    print(f"bfloat16 - float32: {result['mean_difference']:+.4f} [{low:+.4f}, {high:+.4f}], p {result['p']:.3f}")


if __name__ == "__main__":
    main()
