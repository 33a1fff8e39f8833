"""Carry out one run: train the bundle, score the validation and the test images with its best weights."""

import json
import logging
import os
import platform
import shutil
import subprocess
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.benchmark.records import Failure, RunRecord, RunSpec, Scores
from prostate_alm.datasets.cifar.archive import LabelledImages
from prostate_alm.errors import ProstateALMError
from prostate_alm.evaluation.multiclass import error_at_tpr, overall_accuracy, per_class_accuracy
from prostate_alm.evaluation.roc import auc, fpr_at_tpr
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.images import ImageDataset, image_loader

BINARY_TPRS = (1.0, 0.99, 0.98, 0.96, 0.95, 0.92, 0.90)
MULTICLASS_TPRS = (0.8, 0.9)


def execute(spec: RunSpec, data: Path, work: Path) -> RunRecord:
    """Run `spec` and return its record.

    Args:
        spec: what to run.
        data: folder of the image archives.
        work: folder for the run's own files; a run that was killed resumes after its last epoch there. Deleted when
            the run is finished.

    Raises:
        DatasetError: the archive or the subset can't be used.
        ArgumentError: the training diverged.
    """
    folder = work / spec.key
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    logging.disable(logging.WARNING)  # an epoch's lines belong into its record, not on the screen
    try:
        workflow = _workflow(spec, data, folder)
        workflow.run()
        record = _record(spec, workflow.parser, folder, seconds=time.perf_counter() - started)
        workflow.finalize()
    except Exception as error:
        raise _first_of_ours(error) from None
    finally:
        logging.disable(logging.NOTSET)
    shutil.rmtree(folder)
    return record


def attempt(spec: RunSpec, data: Path, work: Path) -> RunRecord | Failure:
    """`execute` for another process: its failure is a value, for an exception loses its causes on the way."""
    try:
        return execute(spec, data, work)
    except Exception as error:
        return Failure(spec=spec, message=f"{type(error).__name__}: {error}")


def check_data(spec: RunSpec, data: Path) -> None:
    """Draw the images of `spec` and do nothing with them, so that what can't be drawn is said before any training.

    Raises:
        DatasetError: the archive or the subset can't be used.
        ArgumentError: the recipe refuses an argument.
    """
    parser = ConfigParser()
    parser.read_config(str(find_bundle(spec.bundle) / "configs" / "train.yaml"))
    parser.update({**spec.settings, "dataset_dir": str(data)})
    try:
        parser.get_parsed_content("data")
    except RuntimeError as error:
        raise _first_of_ours(error) from None


def _first_of_ours(error: BaseException) -> BaseException:
    """The exception of this package in a chain, else the last of the chain: MONAI wraps what a target raises."""
    while not isinstance(error, ProstateALMError):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            break
        error = cause
    return error


def _workflow(spec: RunSpec, data: Path, folder: Path) -> ConfigWorkflow:
    bundle = find_bundle(spec.bundle)
    settings: dict[str, Any] = dict(spec.settings)
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.yaml"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle),
        dataset_dir=str(data),
        output_dir=str(folder),
        **settings,
    )
    workflow.initialize()
    return workflow


def _record(spec: RunSpec, parser: ConfigParser, folder: Path, *, seconds: float) -> RunRecord:
    content = parser.get_parsed_content
    data, network = content("data"), content("network_def")
    best = content("best_model")
    network.load_state_dict(load_weights(folder / "model.pt"))
    scored = {
        name: Scores.of(
            _logits(parser, network, getattr(data, name)), getattr(data, name).labels, data.critical_classes
        )
        for name in ("validation", "test")
    }
    return RunRecord(
        spec=spec,
        commit=commit(),
        versions={name: version(name) for name in ("torch", "monai", "numpy", "prostate-alm")}
        | {"python": platform.python_version()},
        machine=machine(),
        seed=int(content("run_seed")),
        seconds=seconds,
        counts=[int(count) for count in data.counts],
        best_epoch=int(best.epoch),
        validation_metric=float(best.best),
        epochs=[json.loads(line) for line in (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()],
        validation=scored["validation"],
        test=scored["test"],
        metrics=figures(scored["test"], data.critical_classes),
    )


def _logits(parser: ConfigParser, network: torch.nn.Module, images: LabelledImages) -> Any:
    """Logits ``[N, C]`` of images that are not augmented, in float32."""
    dataset = ImageDataset(images, parser.get_parsed_content("validate#preprocessing"))
    device = parser.get_parsed_content("device")
    network.eval()
    with torch.no_grad():
        batches = [network(batch["image"].to(device)).float().cpu() for batch in image_loader(dataset, batch_size=500)]
    return torch.cat(batches).numpy()


def figures(scores: Scores, critical_classes: tuple[int, ...]) -> dict[str, float]:
    """Return the figures of one network: the paper's, each in [0, 1]."""
    labels, critical = scores.labels.array(), scores.critical.array()
    if scores.prediction is None or scores.other is None:
        return {"auc": auc(critical, labels)} | {f"fpr@tpr={t}": fpr_at_tpr(critical, labels, t) for t in BINARY_TPRS}
    prediction, other = scores.prediction.array(), scores.other.array()
    found = {"accuracy": overall_accuracy(prediction, labels)}
    classes = range(int(labels.max()) + 1)
    found |= {f"accuracy[{c}]": share for c, share in per_class_accuracy(prediction, labels, classes).items()}
    if len(critical_classes) == 1:
        found |= {
            f"error@tpr={t}": error_at_tpr(critical, other, labels, critical_classes[0], t) for t in MULTICLASS_TPRS
        }
    else:
        rest = ~np.isin(labels, critical_classes)
        found["accuracy[others]"] = overall_accuracy(prediction[rest], labels[rest])
    return found


@cache
def commit() -> str:
    """Commit of the code when this process asked first, with "+changes" where files under version control differ."""
    folder = Path(__file__).parent
    git = shutil.which("git")
    if git is None:
        return "unknown"
    head = subprocess.run([git, "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    if head.returncode != 0:
        return "unknown"
    paths = [".", str(folder.parents[1] / "bundles")]
    clean = subprocess.run([git, "diff", "--quiet", "HEAD", "--", *paths], cwd=folder.parent, check=False)
    return head.stdout.strip() + ("" if clean.returncode == 0 else "+changes")


@cache
def machine() -> str:
    """Processor, cores and threads of this process."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads a run"
