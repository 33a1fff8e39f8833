"""What one member of a CIFAR ensemble trains, validates and is tested on; the bundles' configs make one."""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path

from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.datasets.cifar.subsets import (
    Subset,
    binary_cifar10,
    binary_cifar100,
    consistent_imbalance,
    long_tailed,
)
from prostate_alm.errors import ArgumentError

_RECIPES: dict[str, tuple[str, Callable[..., Subset]]] = {
    "binary_cifar10": ("cifar10", binary_cifar10),
    "binary_cifar100": ("cifar100", binary_cifar100),
    "long_tailed_cifar10": ("cifar10", long_tailed),
    "long_tailed_cifar100": ("cifar100", long_tailed),
    "consistent_cifar10": ("cifar10", consistent_imbalance),
}


class CifarData:
    """A recipe of `subsets`, by name, on the archive in a folder.

    Args:
        dataset_dir: as `path` of `read_cifar`.
        recipe: "binary_cifar10", "binary_cifar100", "long_tailed_cifar10", "long_tailed_cifar100" or
            "consistent_cifar10".
        member: which member of the ensemble, from 0.
        seed: of all members' draws.
        **arguments: what else the recipe takes (`ratio`, `majority`, ...).

    Attributes:
        training: the training images; the index of a sample is its row.
        validation: the validation images.
        test: the test images, the same for all members.
        counts: training images of each class.
        num_samples: training images in all.
        classes: how many labels there are, 2 for the binary recipes.
        critical_classes: labels of the critical classes, the smallest class first.
        sha256: of the archive, the recipe and all its arguments: the fingerprint of a loss' indices.

    Raises:
        ArgumentError: an unknown recipe or argument, or as the recipe.
        DatasetError: as `read_cifar` and the recipe.
    """

    def __init__(
        self, dataset_dir: str | Path, *, recipe: str, member: int, seed: int = 0, **arguments: object
    ) -> None:
        if recipe not in _RECIPES:
            raise ArgumentError(f"`recipe` must be one of {sorted(_RECIPES)}, got '{recipe}'.")
        name, make = _RECIPES[recipe]
        named = _all_arguments(recipe, make, {"member": member, "seed": seed, **arguments})
        archive = read_cifar(dataset_dir, name)
        subset = make(archive, **named)
        self.training, self.validation, self.test = subset.training, subset.validation, subset.test
        self.counts, self.critical_classes = subset.counts, subset.critical_classes
        self.num_samples, self.classes = len(subset.training), len(subset.counts)
        described = json.dumps([archive.sha256, recipe, named], sort_keys=True)
        self.sha256 = hashlib.sha256(described.encode()).hexdigest()


def _all_arguments(recipe: str, make: Callable[..., Subset], given: dict[str, object]) -> dict[str, object]:
    """The recipe's arguments, defaults included, so that saying a default changes no fingerprint."""
    takes = {name: taken.default for name, taken in inspect.signature(make).parameters.items() if name != "archive"}
    unknown = [name for name in given if name not in takes]
    missing = [name for name, default in takes.items() if default is inspect.Parameter.empty and name not in given]
    if unknown or missing:
        raise ArgumentError(
            f"the recipe {recipe} takes {', '.join(takes)}; unknown: {', '.join(unknown) or 'none'}, "
            f"missing: {', '.join(missing) or 'none'}."
        )
    return {**takes, **given}
