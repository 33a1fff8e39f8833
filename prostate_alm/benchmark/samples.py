"""What a run trains on and is scored on: the images of an archive, or the patients of a cohort."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from prostate_alm.benchmark.cohorts import datalist_path, trains_on_cohort
from prostate_alm.benchmark.records import RunSpec, Scores
from prostate_alm.datasets.cifar.archive import LabelledImages
from prostate_alm.errors import CohortError
from prostate_alm.training.data import CachedDataset
from prostate_alm.training.images import ImageDataset, image_loader

PATIENTS_A_BATCH, IMAGES_A_BATCH = 32, 500


def locations(bundle: str, data: Path, work: Path) -> dict[str, str]:
    """Where a bundle finds its data, as overrides of its `train.yaml`; prepared patients are kept in `work/cache`.

    What only shows a training is turned off.
    """
    if not trains_on_cohort(bundle):
        return {"dataset_dir": str(data)}
    datalist = datalist_path(data)
    paths = {"dataset_dir": datalist.parent, "datalist": datalist, "cache_dir": work / "cache"}
    return {**{name: str(path) for name, path in paths.items()}, "tracker": "none"}


def check_is_asked_for(parser: ConfigParser, spec: RunSpec) -> None:
    """A cohort's datalist may have been written anew since the run was asked for.

    Raises:
        CohortError: it is another one than `spec` names.
    """
    if trains_on_cohort(spec.bundle) and parser.get_parsed_content("data").sha256 != spec.data_sha256:
        raise CohortError("the datalist is not the one that this run was asked for; start the benchmark again.")


def critical_classes(parser: ConfigParser) -> tuple[int, ...]:
    """Labels of the critical classes; of a cohort, 1."""
    return tuple(getattr(parser.get_parsed_content("data"), "critical_classes", (1,)))


def score(parser: ConfigParser, network: torch.nn.Module, part: str) -> Scores:
    """Scores of the samples of `part`, "validation" or "test", none of them augmented."""
    samples = getattr(parser.get_parsed_content("data"), part)
    if isinstance(samples, LabelledImages):
        loader, labels = _images(parser, samples)
    else:
        loader, labels = _patients(parser, samples)
    return Scores.of(_logits(parser, network, loader), labels, critical_classes(parser))


def _images(parser: ConfigParser, images: LabelledImages) -> tuple[DataLoader[Any], NDArray[np.int64]]:
    dataset = ImageDataset(images, parser.get_parsed_content("validate#preprocessing"))
    return image_loader(dataset, batch_size=IMAGES_A_BATCH), images.labels


def _patients(parser: ConfigParser, entries: Sequence[Any]) -> tuple[DataLoader[Any], NDArray[np.int64]]:
    transform: Sequence[Callable[[Any], Any]] = parser.get_parsed_content("validate#preprocessing")
    dataset = CachedDataset(entries, transform, cache_dir=str(parser.get_parsed_content("cache_dir")))
    labels = np.array([entry["label"] for entry in entries], dtype=np.int64)
    return DataLoader(dataset, batch_size=PATIENTS_A_BATCH), labels


def _logits(parser: ConfigParser, network: torch.nn.Module, loader: DataLoader[Any]) -> NDArray[np.float32]:
    """``[N, C]``."""
    device = parser.get_parsed_content("device")
    network.eval()
    with torch.no_grad():
        return torch.cat([network(batch["image"].to(device)).float().cpu() for batch in loader]).numpy()
