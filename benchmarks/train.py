"""Throughput of the prostate bundle's training against a bare loop over ready tensors, and time to the first step.

Both train the same network on the same patients in batches of the same size with the same augmentation, optimizer and
schedule. The bundle reads its prepared images from the cache on the disk, logs, tracks and saves its state each epoch;
the loop holds them in memory and does none of it. They take turns in one process on one thread; a ratio is that of the
CPU time of all rounds, with a bootstrap interval over the rounds, since a shared machine's speed drifts by a fifth
within seconds. Neither validates.

    python benchmarks/train.py [--rounds 12] [--profiles tiny fast] [--out benchmarks/results/train.json]
"""

import argparse
import datetime
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.augmentation.pose import RandomPose
from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.losses import BCELoss
from prostate_alm.networks.two_path import TwoPathNet
from prostate_alm.preprocessing.prepare import DEFAULT_BOX_MM
from prostate_alm.training.bundles import find_bundle

PATIENTS = 48
EPOCHS = {"tiny": 3, "fast": 1, "full": 1}
RESAMPLES = 10_000
FIRST_STEPS = 3  # runs
BATCH, LEARNING_RATE, WEIGHT_DECAY = 8, 3e-3, 1e-2  # the bundle's
FOLDS = 4
FIRST_STEP = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from train import workflow
from ignite.engine import Events
made = workflow(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], alm=True, epochs=1)
trainer = made.parser.get_parsed_content("train#trainer")
def stop(engine):
    print("FIRST", time.process_time(), flush=True)
    engine.terminate()
trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), stop)
made.run()
"""


def workflow(cohort: Path, work: Path, profile: str, *, alm: bool, epochs: int) -> ConfigWorkflow:
    """A member, ready to run; `work` holds the cache and gets the member's files."""
    configs = find_bundle("prostate_dce") / "configs"
    made = ConfigWorkflow(
        config_file=str(configs / "train.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        dataset_dir=str(cohort),
        output_dir=tempfile.mkdtemp(dir=work),
        cache_dir=str(work / "cache"),
        device="$torch.device('cpu')",
        profile=profile,
        repeats=1,
        folds=FOLDS,
        max_epochs=epochs,
        val_interval=epochs + 1,
        batch_size=BATCH,
        alm=alm,
    )
    made.initialize()
    return made


def bundle_seconds(made: ConfigWorkflow, epochs: int) -> float:
    """CPU seconds of a whole run, the imports and the building of the workflow aside."""
    trainer = made.parser.get_parsed_content("train#trainer")
    start = time.process_time()
    made.run()
    assert trainer.state.iteration == epochs * trainer.state.epoch_length
    return time.process_time() - start


def bare_seconds(images: torch.Tensor, labels: torch.Tensor, epochs: int) -> float:
    """CPU seconds of a plain loop over the same patients."""
    torch.manual_seed(0)
    network, loss, pose = TwoPathNet(), BCELoss(), RandomPose(DEFAULT_BOX_MM)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, epochs=epochs, steps_per_epoch=steps
    )
    start = time.process_time()
    for _ in range(epochs):
        for rows in torch.randperm(len(labels))[: steps * BATCH].split(BATCH):
            batch = torch.stack([pose({"image": images[row]})["image"] for row in rows.tolist()])
            optimizer.zero_grad()
            loss(network(batch), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return time.process_time() - start


def throughput(cohort: Path, work: Path, profile: str, rounds: int) -> dict[str, Any]:
    """Patients a CPU second of the bundle, with and without the constraint, and of the loop."""
    epochs = EPOCHS[profile]
    made = workflow(cohort, work, profile, alm=False, epochs=epochs)
    dataset = made.parser.get_parsed_content("train#dataset")
    items = [dataset[row] for row in range(len(dataset))]  # the cache is warm from here on; augmented once
    images = torch.stack([item["image"] for item in items])
    labels = torch.tensor([item["label"] for item in items])
    bundle_seconds(made, epochs)  # what is imported or compiled once, is
    bare_seconds(images, labels, epochs)
    taken: dict[str, list[float]] = {"bare loop": [], "bundle": [], "bundle with the constraint": []}
    for turn in range(rounds):
        for name in list(taken) if turn % 2 else reversed(list(taken)):
            if name == "bare loop":
                taken[name].append(bare_seconds(images, labels, epochs))
            else:
                member = workflow(cohort, work, profile, alm="constraint" in name, epochs=epochs)
                taken[name].append(bundle_seconds(member, epochs))
    patients = len(labels) // BATCH * BATCH * epochs
    ratios = {f"{name} over the bare loop": ratio(taken["bare loop"], taken[name]) for name in list(taken)[1:]}
    return {
        "profile": profile,
        "patients": patients,
        "patients_per_cpu_second": {name: patients * rounds / sum(seconds) for name, seconds in taken.items()},
        "cpu_seconds": taken,
        **ratios,
    }


def ratio(bare: list[float], bundle: list[float]) -> dict[str, float]:
    """Throughput of the bundle over that of the loop, with a 95 % bootstrap interval over the rounds."""
    rows = np.random.default_rng(0).integers(len(bare), size=(RESAMPLES, len(bare)))
    low, high = np.quantile(np.array(bare)[rows].sum(axis=1) / np.array(bundle)[rows].sum(axis=1), [0.025, 0.975])
    return {"ratio": sum(bare) / sum(bundle), "low": float(low), "high": float(high)}


def first_step(cohort: Path, work: Path, profile: str, rounds: int) -> dict[str, Any]:
    """Seconds from the start of a process to the end of its first step, the cache warm; the least of the rounds."""
    wall: list[float] = []
    cpu: list[float] = []
    command = [sys.executable, "-W", "ignore", "-c", FIRST_STEP, str(Path(__file__).parent), str(cohort), str(work)]
    for _ in range(rounds):
        start = time.perf_counter()
        with subprocess.Popen([*command, profile], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("FIRST"))
            wall.append(time.perf_counter() - start)
            cpu.append(float(line.split()[1]))
            process.stdout.read()
    return {"wall_seconds": min(wall), "cpu_seconds": min(cpu)}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--profiles", nargs="+", default=["tiny", "fast"])
    parser.add_argument("--work", type=Path, help="folder of the cohort and the cache; default: a temporary one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.disable(logging.WARNING)
    results: dict[str, Any] = {
        "command": f"python benchmarks/train.py --rounds {arguments.rounds} --profiles {' '.join(arguments.profiles)}",
        "commit": commit(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "profiles": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        cohort = work / "cohort"
        synthesize_cohort(cohort, CohortPlan(PATIENTS, 0, 5, 0.36, "default", "nifti"))
        for profile in arguments.profiles:
            found = throughput(cohort, work, profile, arguments.rounds)
            found["first_step"] = first_step(cohort, work, profile, FIRST_STEPS)
            results["profiles"].append(found)
            print(json.dumps(found, indent=1), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
