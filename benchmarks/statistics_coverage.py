"""How often the bootstrap interval of FPR@TPR holds the true rate, and how often its paired test rejects a true null.

Positives are normal around 1.5 and negatives around 0, both of spread 1, so that the true rate is known in closed form.
For the test, two models see the same case with noise of their own and are equally good. At a fixed number of misses k
the truth is taken as the rate at the sensitivity 1 - k/P.

Rows of one P are drawn on the same cases and lean the same way. With S simulations a share p is known to
sqrt(p (1 - p) / S): 400 leave 1.1 points at 0.95, and at 0.05 too little to call a test conservative or liberal.

    python benchmarks/statistics_coverage.py [--simulations 400] [--out benchmarks/results/statistics_coverage.json]
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import platform
import warnings
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.evaluation.bootstrap import (
    FewPositivesWarning,
    fpr_at_false_negatives_interval,
    fpr_at_tpr_difference,
    fpr_at_tpr_interval,
)
from prostate_alm.evaluation.roc import misses_allowed

SHIFT, NOISE = 1.5, 0.5
RESAMPLES = 1000
POSITIVES, NEGATIVES = (50, 100, 200, 1000), 500
SENSITIVITIES = (0.90, 0.95, 0.98)
MISSES = (0, 1, 2, 5, 10)
STANDARD = NormalDist()


def true_rate(sensitivity: float) -> float:
    """Share of the negatives above the threshold that this share of all positives reaches."""
    return 1.0 if sensitivity == 1 else 1 - STANDARD.cdf(SHIFT + STANDARD.inv_cdf(1 - sensitivity))


def simulated(positives: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two equally good models on one set of cases, each of spread 1, and the labels."""
    rng = np.random.default_rng((positives, seed))
    labels = np.repeat([1, 0], [positives, NEGATIVES])
    shared = math.sqrt(1 - NOISE**2) * rng.normal(size=labels.size) + SHIFT * labels
    a, b = shared + NOISE * rng.normal(size=(2, labels.size))
    return a, b, labels


def at_sensitivity(positives: int, tpr: float, simulations: int) -> dict[str, Any]:
    """Coverage and width of the interval, and rejections at 0.05 of the paired test."""
    truth, held, widths, rejected = true_rate(tpr), 0, [], 0
    for seed in range(simulations):
        a, b, labels = simulated(positives, seed)
        interval = fpr_at_tpr_interval(a, labels, tpr, resamples=RESAMPLES, seed=seed)
        held += interval.low <= truth <= interval.high
        widths.append(interval.high - interval.low)
        rejected += fpr_at_tpr_difference(a, b, labels, tpr, resamples=RESAMPLES, seed=seed).p_value <= 0.05
    misses = misses_allowed(tpr, positives)
    return {
        **{"positives": positives, "tpr": tpr, "misses": misses, "truth": truth},
        **{"coverage": held / simulations, "width": float(np.mean(widths)), "rejected": rejected / simulations},
    }


def at_misses(positives: int, k: int, simulations: int) -> dict[str, Any]:
    """Coverage of the interval at k misses."""
    truth, held = true_rate(1 - k / positives), 0
    for seed in range(simulations):
        a, _, labels = simulated(positives, seed)
        interval = fpr_at_false_negatives_interval(a, labels, k, resamples=RESAMPLES, seed=seed)
        held += interval.low <= truth <= interval.high
    return {"positives": positives, "misses": k, "truth": truth, "coverage": held / simulations}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "statistics_coverage.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FewPositivesWarning)
    results: dict[str, Any] = {
        "command": f"python benchmarks/statistics_coverage.py --simulations {arguments.simulations}",
        "commit": commit(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "scipy")},
        "python": platform.python_version(),
        **{"simulations": arguments.simulations, "resamples": RESAMPLES, "negatives": NEGATIVES, "level": 0.95},
        **{"sensitivities": [], "misses": []},
    }
    print("positives  TPR   misses  coverage  width  rejected")
    for positives in POSITIVES:
        for tpr in SENSITIVITIES:
            row = at_sensitivity(positives, tpr, arguments.simulations)
            results["sensitivities"].append(row)
            print(
                f"{positives:9d}  {tpr:.2f}  {row['misses']:6d}  {row['coverage']:8.3f}  {row['width']:.3f}"
                f"  {row['rejected']:8.3f}",
                flush=True,
            )
    print("positives  misses  coverage")
    for positives in (100, 1000):
        for k in MISSES:
            row = at_misses(positives, k, arguments.simulations)
            results["misses"].append(row)
            print(f"{positives:9d}  {k:6d}  {row['coverage']:8.3f}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
