"""Training throughput of the CIFAR bundle, against a bare PyTorch loop with the same network, batches and augmentation.

Bundle and loop take turns in one process on one thread, epoch by epoch; a figure is the least CPU time of the rounds,
so other load on the machine disturbs it little. A second part times validation.

    python benchmarks/cifar.py --data DIR [--rounds 5] [--out benchmarks/results/cifar.json]
"""

import argparse
import datetime
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.augmentation.crop_flip import CropFlip
from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.losses import BCELoss
from prostate_alm.networks.autocast import AutocastInferer
from prostate_alm.networks.resnet_cifar import resnet10
from prostate_alm.preprocessing.rgb import StandardiseRGB
from prostate_alm.training.bundles import find_bundle

WIDTHS = (16, 32)
BATCH = 64


def bundle_epochs(data: Path, folder: Path, epochs: int, **settings: Any) -> tuple[float, Any]:
    """CPU seconds an epoch of the bundle, validating on two images, and its data."""
    configs = find_bundle("cifar10_binary") / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        dataset_dir=str(data),
        output_dir=str(folder),
        max_epochs=epochs,
        validation_per_class=1,  # a bare loop does not validate
        **settings,
    )
    workflow.initialize()
    content = workflow.parser.get_parsed_content
    trainer, subset = content("train#trainer"), content("data")
    start = time.process_time()
    trainer.run()
    seconds = (time.process_time() - start) / epochs
    workflow.finalize()
    return seconds, subset


def bare_epochs(subset: Any, epochs: int, *, width: int, precision: Any) -> float:
    """CPU seconds an epoch of a plain loop over the same images."""
    torch.manual_seed(0)
    network, loss, infer = resnet10(width=width), BCELoss(), AutocastInferer(precision)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    images, labels = torch.from_numpy(subset.training.images), torch.from_numpy(subset.training.labels)
    augment, standardise = CropFlip(), StandardiseRGB()
    start = time.process_time()
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            loss(infer(standardise(augment(images[rows])), network), labels[rows]).backward()
            optimizer.step()
    return (time.process_time() - start) / epochs


def throughput(data: Path, width: int, precision: str, rounds: int) -> dict[str, Any]:
    """Images a CPU second of both, and their ratio."""
    taken: dict[str, list[float]] = {"bundle": [], "bare": [], "bundle with the constraint": []}
    settings = {"width": width, "precision": precision}
    images = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds, subset = bundle_epochs(data, Path(folder) / "plain", 1, alm=False, **settings)
            constrained, _ = bundle_epochs(data, Path(folder) / "alm", 1, alm=True, **settings)
        images = len(subset.training)
        taken["bundle"].append(seconds)
        taken["bundle with the constraint"].append(constrained)
        taken["bare"].append(bare_epochs(subset, 1, width=width, precision=precision))
    least = {name: min(values) for name, values in taken.items()}
    return {
        "width": width,
        "precision": precision,
        "images_per_cpu_second": {name: images / seconds for name, seconds in least.items()},
        "bundle_over_bare": least["bare"] / least["bundle"],
        "constrained_over_bare": least["bare"] / least["bundle with the constraint"],
    }


def validation(data: Path) -> dict[str, float]:
    """Images a CPU second of a network of width 16, one by one and in batches of 500."""
    subset_images = torch.from_numpy(read_cifar(data, "cifar10").test.images[:1000])
    network, standardise = resnet10(width=16).eval(), StandardiseRGB()
    return {
        f"batches of {size}": _rate(lambda size=size: _infer(network, standardise(subset_images), size))
        for size in (1, 500)
    }


def _infer(network: torch.nn.Module, images: torch.Tensor, size: int) -> None:
    with torch.no_grad():
        for batch in images.split(size):
            network(batch)


def _rate(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return 1000 / (time.process_time() - start)


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"), help="PROSTATE_ALM_DATA by default"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cifar.json")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data is the folder of the CIFAR archives")
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "command": f"python benchmarks/cifar.py --data DIR --rounds {arguments.rounds}",
        "commit": commit(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "throughput": [],
    }
    for width in WIDTHS:
        for precision in ("float32", "bfloat16"):
            results["throughput"].append(throughput(arguments.data, width, precision, arguments.rounds))
            print(json.dumps(results["throughput"][-1]))
    results["validation"] = validation(arguments.data)
    print(json.dumps(results["validation"]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
