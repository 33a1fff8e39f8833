"""Do flipped labels rank among the hardest patients? Labels of a synthetic cohort are flipped, then an ensemble trains.

Of the patients who do not need DCE, `--flipped` are labelled as if they did: they should have the largest multipliers.
As many of those who need it are labelled as if they did not: out of fold they should outrank the others. Reported are
their ranks, and the AUC with which each list tells the flipped from the rest (0.5 is chance).

    python benchmarks/flipped_labels.py --work DIR [--patients 120] [--flipped 4] [--seeds 2]
"""

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.commands.train import train
from prostate_alm.datasets.datalist import make_datalist, read_datalist, write_datalist
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.evaluation.roc import auc
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.hardest import hardest_patients

PREVALENCE, MEMBERS, EPOCHS = 0.36, 4, 16
PROFILE = "tiny"


def flipped_datalist(cohort: Path, flipped: int, seed: int, path: Path) -> dict[int, int]:
    """Write the datalist with flipped labels; returns the flipped indices with their new labels."""
    entries = read_datalist(cohort).entries("training")
    rng = np.random.default_rng(seed)
    changed: dict[int, int] = {}
    for label in (0, 1):
        of_label = [entry["index"] for entry in entries if entry["label"] == label]
        changed |= {int(index): 1 - label for index in rng.choice(of_label, flipped, replace=False)}
    training = [{**entry, "label": changed.get(entry["index"], entry["label"])} for entry in entries]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_datalist(make_datalist("flipped", training=training, test=[]), path)
    return changed


def ranked(indices: list[int], changed: set[int]) -> dict[str, Any]:
    """Ranks of the flipped in a list, hardest first, and how well the list tells them from the rest."""
    ranks = [rank for rank, index in enumerate(indices, 1) if index in changed]
    flipped = [int(index in changed) for index in indices]
    return {"of": len(indices), "ranks": ranks, "auc": auc([-rank for rank in range(len(indices))], flipped)}


def one_seed(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Flip, train, rank."""
    work = arguments.work.absolute()
    cohort, folder = work / "cohort", work / f"seed{seed}"
    plan = CohortPlan(arguments.patients, 0, 11, PREVALENCE, arguments.difficulty, "nifti")
    index = synthesize_cohort(cohort, plan, workers=arguments.workers)
    changed = flipped_datalist(index, arguments.flipped, seed, folder / "datalist.json")
    settings = {"profile": PROFILE, "max_epochs": EPOCHS, "tracker": "none", "cache_dir": str(work / "cache")}
    datalist, out = folder / "datalist.json", folder / "run"
    run = EnsembleRun(find_bundle("prostate_dce"), datalist, out, MEMBERS, MEMBERS, seed, settings)
    train(run, workers=arguments.workers)
    hardest = hardest_patients(run)
    assert hardest is not None
    return {
        "seed": seed,
        "labelled positive": ranked([p.index for p in hardest.critical], {i for i, y in changed.items() if y == 1}),
        "labelled negative": ranked([p.index for p in hardest.others], {i for i, y in changed.items() if y == 0}),
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder of cohort and runs; what is there is kept")
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--difficulty", default="easy")
    parser.add_argument("--flipped", type=int, default=4, help="of each label")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "flipped_labels.json")
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("patients", "difficulty", "flipped", "seeds")}
    results: dict[str, Any] = {
        "command": "python benchmarks/flipped_labels.py "
        + " ".join(f"--{name} {value}" for name, value in sizes.items()),
        "commit": commit(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "run": {"profile": PROFILE, "members": MEMBERS, "epochs": EPOCHS, "prevalence": PREVALENCE},
        "seeds": [],
    }
    for seed in range(arguments.seeds):
        results["seeds"].append(one_seed(arguments, seed))
        print(json.dumps(results["seeds"][-1]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
