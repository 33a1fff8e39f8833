"""No recipe lets a validation image train; counts are those of the paper; who can't be served is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prostate_alm.datasets.cifar.archive import CifarArchive, LabelledImages, read_cifar
from prostate_alm.datasets.cifar.subsets import (
    DEFAULT_PAIRS,
    Subset,
    binary_cifar10,
    binary_cifar100,
    consistent_imbalance,
    long_tail_profile,
    long_tailed,
)
from prostate_alm.errors import ArgumentError, DatasetError

Recipe = Callable[..., Subset]
AQUATIC = [4, 30, 55, 72, 95]
SHARED_CIFAR10 = [5000, 3097, 1896, 1177, 745, 487, 332, 239, 183, 150]


@pytest.fixture(scope="module")
def ten(numbered: SimpleNamespace) -> CifarArchive:
    return numbered.archive("cifar10", [40] * 10, [10] * 10)


@pytest.fixture(scope="module")
def hundred(numbered: SimpleNamespace) -> CifarArchive:
    return numbered.archive("cifar100", [12] * 100, [3] * 100)


def recipes(ten: CifarArchive, hundred: CifarArchive) -> dict[str, tuple[CifarArchive, Recipe]]:
    """Every recipe on a tiny archive, as a function of ratio, member and seed."""

    def own(**drawn: Any) -> Subset:
        return binary_cifar10(ten, majority=3, minority=5, validation_per_class=4, **drawn)

    def shared(**drawn: Any) -> Subset:
        return binary_cifar10(ten, majority=3, minority=5, validation_per_class=4, shared_minority=True, **drawn)

    def aquatic(**drawn: Any) -> Subset:
        return binary_cifar100(hundred, validation_per_class=2, **{**drawn, "ratio": drawn["ratio"] + 4})

    def tail10(**drawn: Any) -> Subset:
        return long_tailed(ten, validation_per_class=4, **drawn)

    def tail100(**drawn: Any) -> Subset:
        return long_tailed(hundred, validation_per_class=1, **{**drawn, "ratio": min(drawn["ratio"], 12)})

    def consistent(**drawn: Any) -> Subset:
        return consistent_imbalance(
            ten, majority=3, minority=5, size=(25, 12, 9), **{**drawn, "ratio": min(drawn["ratio"], 9)}
        )

    return {
        "own": (ten, own),
        "shared": (ten, shared),
        "aquatic": (hundred, aquatic),
        "tail10": (ten, tail10),
        "tail100": (hundred, tail100),
        "consistent": (ten, consistent),
    }


ALL = ["own", "shared", "aquatic", "tail10", "tail100", "consistent"]
PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DRAWN = st.fixed_dictionaries(
    {"ratio": st.integers(3, 18), "member": st.integers(0, 10**6), "seed": st.integers(0, 2**40)}
)


def positions_in_images(part: LabelledImages) -> list[int]:
    """Where the images themselves say that they come from."""
    return (part.images[:, 1, 0, 0].astype(int) * 256 + part.images[:, 2, 0, 0]).tolist()


@pytest.mark.parametrize("name", ALL)
@PROPERTY
@given(drawn=DRAWN)
def test_no_image_is_in_two_parts(ten: CifarArchive, hundred: CifarArchive, name: str, drawn: dict[str, int]) -> None:
    archive, recipe = recipes(ten, hundred)[name]
    subset = recipe(**drawn)
    assert not set(positions_in_images(subset.training)) & set(positions_in_images(subset.validation))
    for part in (subset.training, subset.validation, subset.test):
        assert positions_in_images(part) == part.position.tolist() == sorted(set(part.position.tolist()))
    red = [set(part.images[:, 0, 0, 0].tolist()) for part in (subset.training, subset.validation, subset.test)]
    assert red == [{0}, {0}, {255}]
    assert len(subset.test) <= len(archive.test)


@pytest.mark.parametrize("name", ALL)
@PROPERTY
@given(drawn=DRAWN)
def test_labels_follow_their_images_and_counts_are_told(
    ten: CifarArchive, hundred: CifarArchive, name: str, drawn: dict[str, int]
) -> None:
    archive, recipe = recipes(ten, hundred)[name]
    subset = recipe(**drawn)
    parts = [(subset.training, archive.training), (subset.validation, archive.training), (subset.test, archive.test)]
    for part, whole in parts:
        original = whole.labels[part.position]
        if name.startswith("tail"):
            assert part.labels.tolist() == original.tolist()
        else:
            assert set(original[part.labels == 1].tolist()) == {73 if name == "aquatic" else 5}
            assert set(original[part.labels == 0].tolist()) == (set(AQUATIC) if name == "aquatic" else {3})
    assert np.bincount(subset.training.labels).tolist() == list(subset.counts)
    assert subset.critical_classes[0] == len(subset.counts) - 1
    assert min(subset.counts) == subset.counts[-1] > 0


@pytest.mark.parametrize("name", ALL)
@PROPERTY
@given(drawn=DRAWN)
def test_the_same_arguments_give_the_same_subset(
    ten: CifarArchive, hundred: CifarArchive, name: str, drawn: dict[str, int]
) -> None:
    recipe = recipes(ten, hundred)[name][1]
    first, again = (recipe(**drawn) for _ in range(2))
    for part in ("training", "validation", "test"):
        assert getattr(first, part).position.tolist() == getattr(again, part).position.tolist()
        assert np.array_equal(getattr(first, part).images, getattr(again, part).images)
    assert first.counts == again.counts


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("other", [{"member": 1}, {"seed": 1}])
def test_members_and_seeds_differ_in_validation_and_training_and_are_tested_alike(
    ten: CifarArchive, hundred: CifarArchive, name: str, other: dict[str, int]
) -> None:
    recipe = recipes(ten, hundred)[name][1]
    drawn = {"ratio": 5, "member": 0, "seed": 0}
    first, second = recipe(**drawn), recipe(**(drawn | other))
    for part in ("training", "validation"):
        assert getattr(first, part).position.tolist() != getattr(second, part).position.tolist()
    assert first.counts == second.counts
    if name != "consistent" or "member" in other:
        assert first.test.position.tolist() == second.test.position.tolist()


def minority(part: LabelledImages) -> set[int]:
    return set(part.position[part.labels == 1].tolist())


def test_each_member_draws_its_own_minority_unless_it_is_shared(ten: CifarArchive, hundred: CifarArchive) -> None:
    made = recipes(ten, hundred)
    own = [made["own"][1](ratio=6, member=member) for member in range(10)]
    shared = [made["shared"][1](ratio=6, member=member) for member in range(10)]
    assert len({frozenset(minority(subset.training)) for subset in own}) == 10
    assert len({frozenset(minority(subset.training)) for subset in shared}) == 1
    assert len({frozenset(minority(subset.validation)) for subset in shared}) > 5
    validated = set[int]().union(*(minority(subset.validation) for subset in shared))
    assert not validated & minority(shared[0].training)
    assert minority(made["shared"][1](ratio=6, member=0, seed=1).training) != minority(shared[0].training)


@pytest.mark.parametrize("name", ["own", "shared", "tail10"])
def test_a_smaller_minority_is_part_of_the_larger_one(ten: CifarArchive, hundred: CifarArchive, name: str) -> None:
    recipe = recipes(ten, hundred)[name][1]
    small, large = (
        set(subset.training.position[subset.training.labels == subset.critical_classes[0]].tolist())
        for subset in (recipe(ratio=12, member=3), recipe(ratio=6, member=3))
    )
    assert len(small) < len(large)
    assert small <= large


def test_each_image_may_validate(ten: CifarArchive) -> None:
    """Over many members each of the 40 images of a class validates, about equally often."""
    counts = np.zeros(len(ten.training), int)
    for member in range(400):
        subset = binary_cifar10(ten, majority=3, minority=5, ratio=6, member=member, validation_per_class=4)
        counts[subset.validation.position] += 1
    drawn = counts[np.isin(ten.training.labels, (3, 5))]
    assert drawn.sum() == 400 * 8
    assert abs(drawn - 40).max() < 5 * (400 * 0.1 * 0.9) ** 0.5


# ---- counts of the paper ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official10(numbered: SimpleNamespace) -> CifarArchive:
    return numbered.archive("cifar10", [5000] * 10, [20] * 10)


@pytest.fixture(scope="module")
def official100(numbered: SimpleNamespace) -> CifarArchive:
    return numbered.archive("cifar100", [500] * 100, [2] * 100)


@pytest.mark.parametrize(("ratio", "expected"), [(50, 98), (100, 49), (200, 24)])
@pytest.mark.parametrize("pair", DEFAULT_PAIRS)
def test_binary_cifar10_has_the_whole_majority_less_validation(
    official10: CifarArchive, pair: tuple[int, int], ratio: int, expected: int
) -> None:
    subset = binary_cifar10(official10, majority=pair[0], minority=pair[1], ratio=ratio, member=0)
    assert subset.counts == (4900, expected)
    assert np.bincount(subset.validation.labels).tolist() == [100, 100]
    assert np.bincount(subset.test.labels).tolist() == [20, 20]


@pytest.mark.parametrize(("ratio", "expected"), [(100, 22), (200, 11)])
def test_binary_cifar100_has_the_papers_2250_majority_images(
    official100: CifarArchive, ratio: int, expected: int
) -> None:
    subset = binary_cifar100(official100, ratio=ratio, member=0)
    assert subset.counts == (2250, expected)
    validated = official100.training.labels[subset.validation.position]
    assert {int(c): int((validated == c).sum()) for c in np.unique(validated)} == dict.fromkeys([*AQUATIC, 73], 50)
    assert np.bincount(subset.test.labels).tolist() == [10, 2]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        # by hand: 5000 / 100 ** (c / 9), rounded down, as in the literature
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (200, [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25]),
    ],
)
def test_the_long_tail_of_cifar10_is_that_of_the_literature(
    numbered: SimpleNamespace, official10: CifarArchive, ratio: int, expected: list[int]
) -> None:
    assert long_tail_profile(5000, 10, ratio) == expected
    for archive in (official10, numbered.archive("cifar10", SHARED_CIFAR10, [2] * 10)):
        subset = long_tailed(archive, ratio=ratio, member=0)
        assert list(subset.counts) == [4900, *expected[1:]]
        assert np.bincount(subset.validation.labels).tolist() == [100] * 10
        assert len(set(np.bincount(subset.test.labels))) == 1


@pytest.mark.parametrize(("ratio", "smallest"), [(20, 25), (50, 10)])
def test_the_long_tail_of_cifar100_lacks_validation_in_its_largest_class_only(
    official100: CifarArchive, ratio: int, smallest: int
) -> None:
    subset = long_tailed(official100, ratio=ratio, member=0)
    exact = [500 * ratio ** (-c / 99) for c in range(100)]
    assert subset.counts[0] == 490
    assert all(0 <= value - count < 1 for value, count in zip(exact[1:-1], subset.counts[1:-1], strict=True))
    assert subset.counts[-1] == smallest
    assert np.bincount(subset.validation.labels).tolist() == [10] * 100


def test_the_smallest_class_is_not_one_short_by_rounding_errors() -> None:
    for ratio in range(2, 500):
        assert long_tail_profile(ratio * 7, 100, ratio)[-1] == 7


def test_one_or_two_smallest_classes_are_critical_the_smallest_first(ten: CifarArchive) -> None:
    assert long_tailed(ten, ratio=5, member=0, validation_per_class=4).critical_classes == (9,)
    assert long_tailed(ten, ratio=5, member=0, validation_per_class=4, critical=2).critical_classes == (9, 8)


@pytest.mark.parametrize(("ratio", "expected"), [(2, [500, 250, 10]), (9, [111, 55, 2]), (19, [52, 26, 1])])
def test_the_consistent_subset_has_one_imbalance_in_all_parts(
    official10: CifarArchive, ratio: int, expected: list[int]
) -> None:
    subset = consistent_imbalance(official10, majority=0, minority=2, ratio=ratio, member=0, size=(1000, 500, 20))
    counts = [np.bincount(part.labels).tolist() for part in (subset.training, subset.validation, subset.test)]
    assert counts == [[big, small] for big, small in zip([1000, 500, 20], expected, strict=True)]
    assert subset.counts == (1000, expected[0])


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"minority": 3}, ArgumentError, "different classes"),
        ({"minority": 10}, ArgumentError, "classes 0 to 9"),
        ({"majority": -1}, ArgumentError, "classes 0 to 9"),
        ({"minority": "5"}, ArgumentError, "classes 0 to 9"),
        ({"minority": 0.5}, ArgumentError, "classes 0 to 9"),
        ({"ratio": 0}, ArgumentError, "`ratio` must be a whole number of at least 1, got 0"),
        ({"ratio": float("nan")}, ArgumentError, "`ratio` must be a whole number of at least 1, got nan"),
        ({"ratio": "6"}, ArgumentError, "`ratio` must be a whole number of at least 1, got '6'"),
        ({"ratio": 6.5}, ArgumentError, r"`ratio` must be a whole number of at least 1, got 6\.5"),
        ({"ratio": 37}, DatasetError, "1:37 of 36 majority images leaves no minority image"),
        ({"validation_per_class": 0}, ArgumentError, "`validation_per_class` must be a whole number of at least 1"),
        ({"validation_per_class": 4.5}, ArgumentError, "`validation_per_class` must be a whole number of at least 1"),
        ({"validation_per_class": 40}, DatasetError, "class 3 has 40 images and this recipe needs 41"),
        ({"member": -1}, ArgumentError, "`seed` and `member`"),
        ({"member": 0.5}, ArgumentError, "`seed` and `member`"),
        ({"seed": "0"}, ArgumentError, "`seed` and `member`"),
        ({"seed": -1}, ArgumentError, "`seed` and `member`"),
    ],
)
def test_a_binary_recipe_refuses(
    ten: CifarArchive, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    named: dict[str, Any] = {"majority": 3, "minority": 5, "ratio": 6, "member": 0, "validation_per_class": 4}
    with pytest.raises(error, match=message):
        binary_cifar10(ten, **{**named, **arguments})


def test_a_minority_with_too_few_images_is_refused(numbered: SimpleNamespace) -> None:
    archive = numbered.archive("cifar10", [40, 8, *[1] * 8], [2] * 10)
    named: dict[str, Any] = {"majority": 0, "minority": 1, "ratio": 6, "member": 0}
    for shared in (False, True):
        assert binary_cifar10(archive, validation_per_class=2, shared_minority=shared, **named).counts == (38, 6)
        with pytest.raises(DatasetError, match="class 1 has 8 images and this recipe needs 9"):
            binary_cifar10(archive, validation_per_class=3, shared_minority=shared, **named)


def test_a_test_part_without_a_class_is_refused(numbered: SimpleNamespace) -> None:
    archive = numbered.archive("cifar10", [40] * 10, [2, 0, *[2] * 8])
    with pytest.raises(DatasetError, match="the test part of the archive lacks"):
        binary_cifar10(archive, majority=0, minority=1, ratio=6, member=0, validation_per_class=4)


def test_recipes_refuse_the_other_data_set(ten: CifarArchive, hundred: CifarArchive) -> None:
    with pytest.raises(ArgumentError, match="for cifar100, the archive is cifar10"):
        binary_cifar100(ten, ratio=5, member=0)
    with pytest.raises(ArgumentError, match="for cifar10, the archive is cifar100"):
        binary_cifar10(hundred, majority=0, minority=1, ratio=5, member=0)
    with pytest.raises(ArgumentError, match="for cifar10, the archive is cifar100"):
        consistent_imbalance(hundred, majority=0, minority=1, ratio=5, member=0)
    with pytest.raises(ArgumentError, match="different classes"):
        binary_cifar100(hundred, ratio=5, member=0, majority=(4, 4))


def test_a_long_tail_refuses_what_the_archive_does_not_hold(numbered: SimpleNamespace, ten: CifarArchive) -> None:
    named = {"ratio": 10, "member": 0, "validation_per_class": 4}
    profile = long_tail_profile(40, 10, 10)
    exact = [count + 4 for count in profile]
    exact[0] = 40
    assert list(long_tailed(numbered.archive("cifar10", exact, [1] * 10), **named).counts) == [36, *profile[1:]]
    rounding = [*exact[:5], exact[5] - 1, *exact[6:]]
    assert long_tailed(numbered.archive("cifar10", rounding, [1] * 10), **named).counts[5] == profile[5] - 1
    short = [*exact[:5], exact[5] - 2, *exact[6:]]
    with pytest.raises(DatasetError, match=f"class 5 has {short[5]} images and this recipe needs {exact[5] - 1}"):
        long_tailed(numbered.archive("cifar10", short, [1] * 10), **named)
    with pytest.raises(DatasetError, match="class 0 has 39 images"):
        long_tailed(numbered.archive("cifar10", [39, 60, *exact[2:]], [1] * 10), **named)
    with pytest.raises(DatasetError, match="leaves none of the smallest class"):
        long_tailed(ten, ratio=41, member=0, validation_per_class=4)
    with pytest.raises(DatasetError, match="class 0 has 40 images"):
        long_tailed(ten, ratio=10, member=0)  # 100 for validation
    wrong: list[Any] = [1, 0, float("nan"), "10"]
    for ratio in wrong:
        with pytest.raises(ArgumentError, match="above 1"):
            long_tailed(ten, ratio=ratio, member=0, validation_per_class=4)
    with pytest.raises(ArgumentError, match="`critical` must be 1 or 2, got 3"):
        long_tailed(ten, **named, critical=3)


def test_a_consistent_subset_refuses_sizes_it_cannot_serve(ten: CifarArchive) -> None:
    named = {"majority": 3, "minority": 5, "member": 0}
    with pytest.raises(ArgumentError, match="three numbers"):
        consistent_imbalance(ten, ratio=2, size=(10, 5), **named)
    with pytest.raises(ArgumentError, match="`size` must be a whole number of at least 1"):
        consistent_imbalance(ten, ratio=2, size=(10, 5, 0), **named)
    with pytest.raises(DatasetError, match="leaves no minority image"):
        consistent_imbalance(ten, ratio=6, size=(10, 5, 10), **named)
    with pytest.raises(DatasetError, match="class 3 has 40 images and this recipe needs 41"):
        consistent_imbalance(ten, ratio=2, size=(31, 10, 10), **named)
    with pytest.raises(DatasetError, match="class 3 has 10 images and this recipe needs 11"):
        consistent_imbalance(ten, ratio=2, size=(20, 10, 11), **named)


# ---- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("PROSTATE_ALM_DATA" not in os.environ, reason="PROSTATE_ALM_DATA names no folder of real data")
def test_the_real_archives_serve_the_papers_ratios() -> None:
    folder = Path(os.environ["PROSTATE_ALM_DATA"])
    if not list(folder.glob("cifar-10*")) or not list(folder.glob("cifar-100*")):
        pytest.skip("the folder of real data holds no CIFAR archives")
    archive = read_cifar(folder, "cifar10")
    for ratio, expected in ((100, 49), (200, 24)):
        binary = binary_cifar10(archive, majority=0, minority=2, ratio=ratio, member=9, shared_minority=True)
        assert binary.counts == (4900, expected)
        assert np.bincount(binary.test.labels).tolist() == [1000, 1000]
        tail = long_tailed(archive, ratio=ratio, member=9)
        assert list(tail.counts) == [4900, *long_tail_profile(5000, 10, ratio)[1:]]
        assert np.bincount(tail.test.labels).tolist() == [1000] * 10
    binary = binary_cifar100(read_cifar(folder, "cifar100"), ratio=100, member=9)
    assert (binary.counts, np.bincount(binary.test.labels).tolist()) == ((2250, 22), [500, 100])
