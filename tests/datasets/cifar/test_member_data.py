"""A bundle asks for a recipe by name and gets one member's images with a fingerprint of their order."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prostate_alm.datasets.cifar.archive import CifarArchive
from prostate_alm.datasets.cifar.member_data import CifarData
from prostate_alm.datasets.cifar.subsets import binary_cifar10, long_tailed
from prostate_alm.errors import ArgumentError, DatasetError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "binary_cifar10": {"majority": 0, "minority": 2, "ratio": 10, "validation_per_class": 4},
    "binary_cifar100": {"ratio": 6, "validation_per_class": 2},
    "long_tailed_cifar10": {"ratio": 10, "validation_per_class": 4},
    "long_tailed_cifar100": {"ratio": 6, "validation_per_class": 2},
    "consistent_cifar10": {"majority": 0, "minority": 2, "ratio": 5, "size": [20, 10, 10]},
}


def make(folder: Path, recipe: str, **changed: Any) -> CifarData:
    return CifarData(folder, recipe=recipe, **{"member": 0, **ARGUMENTS[recipe], **changed})


@pytest.mark.parametrize("recipe", ARGUMENTS)
def test_every_recipe_is_served(cifar_folder: Path, recipe: str) -> None:
    data = make(cifar_folder, recipe)
    assert data.num_samples == len(data.training.labels) == sum(data.counts)
    assert data.classes == {"long_tailed_cifar10": 10, "long_tailed_cifar100": 100}.get(recipe, 2)
    assert data.critical_classes == (data.classes - 1,)
    assert np.bincount(data.training.labels).tolist() == list(data.counts)
    assert set(data.validation.labels.tolist()) == set(data.test.labels.tolist()) == set(range(data.classes))


def test_the_images_are_those_of_the_recipe(cifar_folder: Path, cifar10: CifarArchive) -> None:
    data = make(cifar_folder, "binary_cifar10", member=3, seed=5)
    subset = binary_cifar10(cifar10, member=3, seed=5, **ARGUMENTS["binary_cifar10"])
    tail = long_tailed(cifar10, member=3, seed=5, **ARGUMENTS["long_tailed_cifar10"])
    assert np.array_equal(data.training.images, subset.training.images)
    assert np.array_equal(data.training.position, subset.training.position)
    assert make(cifar_folder, "long_tailed_cifar10", member=3, seed=5).counts == tail.counts


def test_the_images_may_be_written_to_without_a_trace_in_other_members(cifar_folder: Path) -> None:
    for part in ("training", "validation", "test"):
        first = make(cifar_folder, "long_tailed_cifar10")
        getattr(first, part).images[:] = 0
        assert getattr(make(cifar_folder, "long_tailed_cifar10"), part).images.any()


def test_the_fingerprint_is_of_everything_that_decides_the_order(
    cifar_folder: Path, cifar_writers: SimpleNamespace, tmp_path: Path
) -> None:
    first = make(cifar_folder, "binary_cifar10").sha256
    assert len(first) == 64
    assert make(cifar_folder, "binary_cifar10", seed=0, shared_minority=False).sha256 == first  # the defaults, said
    changes = [{"member": 1}, {"seed": 1}, {"ratio": 11}, {"shared_minority": True}, {"validation_per_class": 5}]
    others = [make(cifar_folder, "binary_cifar10", **change).sha256 for change in changes]
    images = cifar_writers.images
    cifar_writers.tar(
        tmp_path / "cifar-10-binary.tar", cifar_writers.cifar10(images([60] * 10, 9), images([10] * 10, 2))
    )
    others.append(make(tmp_path, "binary_cifar10").sha256)
    assert len({first, *others}) == len(changes) + 2


def test_a_list_of_a_config_is_the_same_as_a_tuple(cifar_folder: Path) -> None:
    as_tuple = make(cifar_folder, "consistent_cifar10", size=(20, 10, 10)).sha256
    assert make(cifar_folder, "consistent_cifar10").sha256 == as_tuple


def test_unknown_recipes_and_arguments_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"`recipe` must be one of .*'long_tailed_cifar100'\], got 'svhn'"):
        CifarData(tmp_path, recipe="svhn", member=0)
    with pytest.raises(ArgumentError, match=r"takes majority, .*; unknown: raito, missing: ratio\."):
        CifarData(tmp_path, recipe="binary_cifar10", member=0, majority=0, minority=2, raito=100)
    with pytest.raises(ArgumentError, match=r"unknown: none, missing: ratio\."):
        CifarData(tmp_path, recipe="binary_cifar100", member=0)
    with pytest.raises(ArgumentError, match=r"unknown: majority, missing: none\."):
        CifarData(tmp_path, recipe="long_tailed_cifar10", member=0, ratio=10, majority=0)
    with pytest.raises(DatasetError, match="holds no archive of cifar100"):
        make(tmp_path, "binary_cifar100")
