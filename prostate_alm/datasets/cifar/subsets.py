"""Imbalanced subsets of CIFAR whose validation never shares an image with training.

Each recipe is a pure function of the archive and its arguments: an image order is drawn for each class from
``[seed, member, class]``, the first images validate and the next ones train. So a validation image is never a
training image, and the minority images at 1:200 are the first half of those at 1:100. The test part is only ever
tested on; `consistent_imbalance` is the only recipe that leaves some of it out, the same ones for all members.

Sources: Sangalli et al. 2021, section 4.1 and appendix H; long tails of Cui et al. 2019 and Cao et al. 2019. The paper
says "we select 100 samples per class as validation set", all else below that it leaves open is said where it is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from prostate_alm.datasets.cifar.archive import CifarArchive, LabelledImages
from prostate_alm.errors import ArgumentError, DatasetError

DEFAULT_PAIRS = ((0, 2), (1, 9))
"""(majority, minority) classes of CIFAR-10: airplane and bird, automobile and truck. The paper drew its two at random
and does not name them."""

_VALIDATION_PER_CLASS = {"cifar10": 100, "cifar100": 10}
_MEMBER, _SHARED, _TEST = range(3)  # what an order is drawn for, so that no two orders are drawn alike
_Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Subset:
    """One member's images.

    Attributes:
        training: ascending by `position`; a sample's index is its row.
        validation: ascending by `position`.
        test: ascending by `position`.
        counts: training images of each class.
        critical_classes: labels of the critical classes, the smallest class first.

    Labels of the binary recipes are 1 for the critical class and 0 else, of the others those of the archive.
    """

    training: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    counts: tuple[int, ...]
    critical_classes: tuple[int, ...]


def binary_cifar10(
    archive: CifarArchive,
    *,
    majority: int,
    minority: int,
    ratio: int,
    member: int,
    seed: int = 0,
    validation_per_class: int = 100,
    shared_minority: bool = False,
) -> Subset:
    """The whole majority class less its validation images, against one minority image for each `ratio` of them.

    Args:
        archive: CIFAR-10.
        majority: class that becomes label 0.
        minority: class that becomes label 1, the critical one.
        ratio: majority images for each minority image; the count is rounded down.
        member: each member draws its own validation and minority images.
        seed: of all members' draws.
        validation_per_class: images of each class.
        shared_minority: all members train on the same minority images, and none validates on one of them. In the
            authors' published code each run draws its own.

    Raises:
        ArgumentError: an argument is out of its range, or the two classes are one.
        DatasetError: a class has too few images, or `ratio` leaves no minority image.
    """
    _check_archive(archive, "cifar10")
    return _binary(
        archive,
        _Draw(seed, member),
        majority=(majority,),
        minority=minority,
        ratio=ratio,
        validation=validation_per_class,
        shared=shared_minority,
    )


def binary_cifar100(
    archive: CifarArchive,
    *,
    ratio: int,
    member: int,
    seed: int = 0,
    validation_per_class: int = 50,
    majority: Sequence[int] = (4, 30, 55, 72, 95),
    minority: int = 73,
) -> Subset:
    """A super-class against a class of another one: aquatic mammals against sharks, as in the authors' code.

    The official archive gives 2250 majority images, and 22 minority images at 1:100.

    Args:
        archive: CIFAR-100.
        ratio: majority images for each minority image; the count is rounded down.
        member: each member draws its own validation and minority images.
        seed: of all members' draws.
        validation_per_class: images of each original class, so five times as many of the majority.
        majority: classes that become label 0.
        minority: class that becomes label 1, the critical one.

    Raises:
        ArgumentError: an argument is out of its range, or a class stands twice.
        DatasetError: a class has too few images, or `ratio` leaves no minority image.
    """
    _check_archive(archive, "cifar100")
    return _binary(
        archive,
        _Draw(seed, member),
        majority=tuple(majority),
        minority=minority,
        ratio=ratio,
        validation=validation_per_class,
        shared=False,
    )


def long_tailed(
    archive: CifarArchive,
    *,
    ratio: float,
    member: int,
    seed: int = 0,
    validation_per_class: int | None = None,
    critical: int = 1,
) -> Subset:
    """All classes with exponentially falling counts; validation and test are balanced.

    The profile is that of the literature: it starts at the archive's largest class (5000 images in CIFAR-10, 500 in
    CIFAR-100), as if nothing validated. Validation is taken first, from the training part, so the largest class has
    its validation images less than the profile says: 4900 of 5000, all others as in the profile. One image more may
    be missing in any class, which is a rounding; a larger gap is refused. `Subset.counts` tells what there is.

    Args:
        archive: either; a part of the official images will do, if each class has what the profile and the validation
            take of it.
        ratio: largest class to smallest, > 1.
        member: each member draws its own images.
        seed: of all members' draws.
        validation_per_class: None is 100 for CIFAR-10, the paper's number, and 10 for CIFAR-100, which the paper
            doesn't give: also 1000 images in all, and no more than the profile leaves over in all classes but the
            largest (15 at 1:20).
        critical: how many of the smallest classes are critical, 1 or 2 (the paper's table 9).

    Raises:
        ArgumentError: an argument is out of its range.
        DatasetError: a class has too few images, or `ratio` leaves none of the smallest class.
    """
    draw = _Draw(seed, member)
    if critical not in {1, 2}:
        raise ArgumentError(f"`critical` must be 1 or 2, got {critical}.")
    validating = _VALIDATION_PER_CLASS[archive.name] if validation_per_class is None else validation_per_class
    available = np.bincount(archive.training.labels, minlength=archive.classes)
    profile = long_tail_profile(int(available.max()), archive.classes, ratio)
    counts = _capped(profile, available - _positive("validation_per_class", validating), validating)
    parts = [_split_class(archive, label, draw.order(label), validating, count) for label, count in enumerate(counts)]
    return Subset(
        training=_take(archive.training, [training for _, training in parts]),
        validation=_take(archive.training, [validation for validation, _ in parts]),
        test=_take(archive.test, [np.arange(len(archive.test))]),
        counts=tuple(counts),
        critical_classes=tuple(range(archive.classes - 1, archive.classes - 1 - critical, -1)),
    )


def long_tail_profile(largest: int, classes: int, ratio: float) -> list[int]:
    """Images of each class: ``floor(largest * ratio ** (-c / (classes - 1)))`` for ``c = 0, 1, ...``.

    Source: Cui et al. 2019 and Cao et al. 2019 (their code).

    Raises:
        ArgumentError: `ratio` is not above 1.
        DatasetError: none is left of the smallest class.

    >>> long_tail_profile(5000, 10, 100)
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    if not isinstance(ratio, Real) or not ratio > 1:
        raise ArgumentError(f"`ratio` of a long tail must be above 1, got {ratio}.")
    exact = largest * np.power(float(ratio), -np.arange(classes) / (classes - 1))
    profile = np.floor(exact + 1e-9).astype(np.int64)  # 500 / 20 must not become 24
    if profile[-1] < 1:
        raise DatasetError(f"1:{ratio:g} of {largest} images leaves none of the smallest class; use a smaller `ratio`.")
    return profile.tolist()


def consistent_imbalance(
    archive: CifarArchive,
    *,
    majority: int,
    minority: int,
    ratio: int,
    member: int,
    seed: int = 0,
    size: Sequence[int] = (1000, 500, 1000),
) -> Subset:
    """A smaller CIFAR-10 whose training, validation and test parts have one imbalance (the paper's appendix H).

    The paper uses ratios 2, 9 and 19 and gives no sizes; the default ones fit all of them. The test images are drawn
    once a seed, so that members of an ensemble are tested on the same ones.

    Args:
        archive: CIFAR-10.
        majority: class that becomes label 0.
        minority: class that becomes label 1, the critical one.
        ratio: majority images for each minority image; counts are rounded down.
        member: each member draws its own training and validation images.
        seed: of all draws.
        size: majority images of the training, validation and test part.

    Raises:
        ArgumentError: an argument is out of its range, or the two classes are one.
        DatasetError: a class has too few images, or `ratio` leaves no minority image in a part.
    """
    _check_archive(archive, "cifar10")
    draw = _Draw(seed, member)
    _check_classes(archive, (majority,), minority)
    if len(size) != 3:
        raise ArgumentError(f"`size` must be three numbers (training, validation, test), got {len(size)}.")
    sizes = {
        label: [_positive("size", number) if label == majority else _minority_count(number, ratio) for number in size]
        for label in (majority, minority)
    }
    parts = [_split_class(archive, c, draw.order(c), sizes[c][1], sizes[c][0]) for c in (majority, minority)]
    tested = [_first(archive.test, c, draw.order(c, _TEST), sizes[c][2]) for c in (majority, minority)]
    return _binary_subset(archive, parts, tested, minority)


@dataclass(frozen=True)
class _Draw:
    """Where a member's random orders come from."""

    seed: int
    member: int

    def __post_init__(self) -> None:
        if not all(_is_whole(number) and number >= 0 for number in (self.seed, self.member)):
            raise ArgumentError(
                f"`seed` and `member` must be whole numbers of at least 0, got {self.seed!r} and {self.member!r}."
            )

    def order(self, label: int, purpose: int = _MEMBER) -> np.random.Generator:
        """The generator of a class' order; that of all members is the same for any purpose but `_MEMBER`."""
        # four numbers always: SeedSequence pads with zeros, so [1] and [1, 0] would draw alike
        return np.random.default_rng([self.seed, self.member if purpose == _MEMBER else 0, label, purpose])


def _binary(
    archive: CifarArchive,
    draw: _Draw,
    *,
    majority: tuple[int, ...],
    minority: int,
    ratio: int,
    validation: int,
    shared: bool,
) -> Subset:
    _check_classes(archive, majority, minority)
    _positive("validation_per_class", validation)
    parts = [_split_class(archive, label, draw.order(label), validation, None) for label in majority]
    count = _minority_count(sum(training.size for _, training in parts), ratio)
    if shared:
        parts.append(_split_shared(archive, minority, draw, validation, count))
    else:
        parts.append(_split_class(archive, minority, draw.order(minority), validation, count))
    tested = [np.flatnonzero(archive.test.labels == label) for label in (*majority, minority)]
    return _binary_subset(archive, parts, tested, minority)


def _binary_subset(
    archive: CifarArchive, parts: Sequence[tuple[_Rows, _Rows]], tested: Sequence[_Rows], critical: int
) -> Subset:
    training = _take(archive.training, [rows for _, rows in parts], critical)
    test = _take(archive.test, tested, critical)
    positives = int(training.labels.sum())
    if not 0 < test.labels.sum() < len(test):
        raise DatasetError("the test part of the archive lacks one of the two classes; use the whole test part.")
    return Subset(
        training=training,
        validation=_take(archive.training, [rows for rows, _ in parts], critical),
        test=test,
        counts=(len(training) - positives, positives),
        critical_classes=(1,),
    )


def _split_class(
    archive: CifarArchive, label: int, rng: np.random.Generator, validation: int, training: int | None
) -> tuple[_Rows, _Rows]:
    """Rows of a class that validate, and rows that train; None trains on all others, of which there must be one."""
    needed = validation + (1 if training is None else training)
    rows = _first(archive.training, label, rng, needed if training is not None else None)
    if rows.size < needed:
        raise _too_few(label, rows.size, needed)
    return rows[:validation], rows[validation:]


def _split_shared(
    archive: CifarArchive, label: int, draw: _Draw, validation: int, training: int
) -> tuple[_Rows, _Rows]:
    """As `_split_class`, but the training rows are drawn first, for all members, and validation from what is left."""
    order = _first(archive.training, label, draw.order(label, _SHARED), None)
    if order.size < validation + training:
        raise _too_few(label, order.size, validation + training)
    left = draw.order(label).permutation(order[training:])
    return left[:validation], order[:training]


def _first(part: LabelledImages, label: int, rng: np.random.Generator, count: int | None) -> _Rows:
    """The first rows of a class in a random order, all for None."""
    rows = np.flatnonzero(part.labels == label)
    if count is not None and rows.size < count:
        raise _too_few(label, rows.size, count)
    return rng.permutation(rows)[:count]


def _take(part: LabelledImages, rows: Sequence[_Rows], critical: int | None = None) -> LabelledImages:
    chosen = np.sort(np.concatenate(rows))
    labels = part.labels[chosen]
    if critical is not None:
        labels = (labels == critical).astype(np.int64)
    return LabelledImages(part.images[chosen], labels, part.position[chosen])


def _capped(profile: Sequence[int], available: NDArray[np.int64], validation: int) -> list[int]:
    """The profile as far as there are images; the first class may lack its validation images, others one image."""
    counts = [min(wanted, int(there)) for wanted, there in zip(profile, available, strict=True)]
    for label, (wanted, count) in enumerate(zip(profile, counts, strict=True)):
        needed = max(1, wanted - (validation if label == 0 else 1))
        if count < needed:
            raise _too_few(label, int(available[label]) + validation, needed + validation)
    return counts


def _minority_count(majority: int, ratio: int) -> int:
    if majority // _positive("ratio", ratio) < 1:
        raise DatasetError(
            f"1:{ratio} of {majority} majority images leaves no minority image; use a ratio of at most {majority}."
        )
    return int(majority // ratio)


def _check_archive(archive: CifarArchive, name: str) -> None:
    if archive.name != name:
        raise ArgumentError(f"this recipe is for {name}, the archive is {archive.name}.")


def _check_classes(archive: CifarArchive, majority: tuple[int, ...], minority: int) -> None:
    named = (*majority, minority)
    if not majority or not all(_is_whole(label) and 0 <= label < archive.classes for label in named):
        raise ArgumentError(
            f"`majority` and `minority` must be classes 0 to {archive.classes - 1} of {archive.name}, got "
            f"{list(majority)} and {minority}."
        )
    if len(set(named)) < len(named):
        raise ArgumentError(
            f"`majority` and `minority` must be different classes, got {list(majority)} and {minority}."
        )


def _positive(argument: str, number: int) -> int:
    if not _is_whole(number) or number < 1:
        raise ArgumentError(f"`{argument}` must be a whole number of at least 1, got {number!r}.")
    return number


def _is_whole(number: object) -> bool:
    """Configurations and command lines can bring text, fractions and NaN where the types ask for an int."""
    return isinstance(number, Integral)


def _too_few(label: int, there: int, needed: int) -> DatasetError:
    return DatasetError(
        f"class {label} has {there} images and this recipe needs {needed} of them, validation included; use fewer "
        "validation images, another ratio or the official archive."
    )
