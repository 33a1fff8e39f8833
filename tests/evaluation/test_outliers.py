"""The distance is Mahalanobis'; a limit leaves out no more new patients than it says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.outliers import fit_distance, left_out_distances, upper_limit
from prostate_alm.evaluation.reference import Distance

NAMES = ["a", "b", "c"]
MIXING = np.array([[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [0.0, 0.0, 30.0]])


def patients(number: int, seed: int = 0) -> np.ndarray:
    """Correlated figures of unlike scales."""
    return np.random.default_rng(seed).standard_normal((number, 3)) @ MIXING.T + [5.0, -1.0, 100.0]


def test_of_many_patients_it_is_mahalanobis_distance() -> None:
    distance = fit_distance(patients(20_000), NAMES)
    away = np.array([1.0, -0.5, 20.0])
    expected = math.sqrt(away @ np.linalg.inv(MIXING @ MIXING.T) @ away)
    assert distance.of(np.array([5.0, -1.0, 100.0]) + away) == pytest.approx(expected, rel=0.05)
    assert distance.of(distance.centre) == 0.0


def test_a_combination_that_nobody_has_is_far_though_each_figure_is_common() -> None:
    distance = fit_distance(patients(500), NAMES)
    usual, unusual = np.array([2.0, 1.5, 0.0]), np.array([2.0, -1.5, 0.0])
    assert distance.of(np.array(distance.centre) + unusual) > 3 * distance.of(np.array(distance.centre) + usual)


@given(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3), st.integers(0, 50))
def test_the_unit_of_a_figure_changes_nothing(scale: list[float], seed: int) -> None:
    values = patients(60, seed) * [10.0, 10.0, 1.0]  # well above the smallest deviation
    one, other = fit_distance(values, NAMES), fit_distance(values * np.maximum(scale, 1.0), NAMES)
    assert other.of(values[0] * np.maximum(scale, 1.0)) == pytest.approx(one.of(values[0]), rel=1e-6)


def test_what_all_patients_share_makes_another_an_outlier() -> None:
    values = patients(50)
    values[:, 1] = 1.0
    distance = fit_distance(values, NAMES)
    same, other = values[0], values[0] + [0.0, 1.0, 0.0]
    assert distance.of(other) > 50 > distance.of(same)


def test_fewer_patients_than_figures_still_have_a_distance() -> None:
    values = np.random.default_rng(0).standard_normal((5, 40))
    distance = fit_distance(values, [str(number) for number in range(40)])
    assert 0 < distance.of(values[0]) < distance.of(values[0] + 10)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_is_infinitely_far(value: float) -> None:
    assert fit_distance(patients(50), NAMES).of([5.0, value, 100.0]) == math.inf


def test_a_precision_that_is_none_believes_nobody() -> None:
    assert Distance(features=["a"], centre=[0.0], precision=[[-1.0]]).of([2.0]) == math.inf


def test_another_number_of_figures_is_refused() -> None:
    with pytest.raises(ArgumentError, match="3 figures"):
        fit_distance(patients(50), NAMES).of([1.0, 2.0])


@pytest.mark.parametrize("features", [[[1.0, 2.0]], [1.0, 2.0], [[1.0, math.nan], [1.0, 2.0]]])
def test_too_few_patients_or_figures_that_are_none_are_refused(features: list[list[float]]) -> None:
    with pytest.raises(ArgumentError, match="two patients"):
        fit_distance(features, ["a", "b"])


def test_a_patient_is_left_out_with_all_of_his_studies() -> None:
    values = patients(30)
    values[1] = values[0] + [0.0, 0.0, 1000.0]
    values[2] = values[1]
    alone = left_out_distances(values, NAMES, patients=[str(number) for number in range(30)])
    together = left_out_distances(values, NAMES, patients=["0", "x", "x", *(str(n) for n in range(3, 30))])
    assert together[1] == fit_distance(np.delete(values, [1, 2], axis=0), NAMES).of(values[1])
    assert alone[1] == fit_distance(np.delete(values, [1], axis=0), NAMES).of(values[1])
    assert together[1] > 2 * alone[1]


def test_the_limit_is_the_figure_of_its_rank() -> None:
    figures = np.random.default_rng(0).permutation(np.arange(1.0, 1000.0))  # 999
    assert upper_limit(figures).limit == 995.0  # ceil(1000 * 0.995)
    assert upper_limit(figures).expected_beyond == pytest.approx(0.005)
    assert upper_limit(figures, beyond=0.1).limit == 900.0
    few = upper_limit([3.0, 1.0, 2.0])
    assert (few.limit, few.patients, few.expected_beyond) == (3.0, 3, 0.25)


@pytest.mark.parametrize("shape", [0.2, 1.0])
def test_of_many_patients_as_many_new_ones_lie_beyond_it_as_it_says(shape: float) -> None:
    rng = np.random.default_rng(0)
    limits = [upper_limit(rng.gamma(1 / shape, size=250)) for _ in range(4000)]
    beyond = np.mean([rng.gamma(1 / shape) > limit.limit for limit in limits])
    expected = limits[0].expected_beyond
    assert expected == pytest.approx(1 / 251)  # ceil(251 * 0.995) = 250
    assert abs(beyond - expected) < 4 * math.sqrt(expected / len(limits))


def test_of_few_patients_about_as_many_new_ones_lie_beyond_it_as_it_says() -> None:
    rng = np.random.default_rng(0)
    limits = [upper_limit(rng.lognormal(1.6, 0.2, size=100)) for _ in range(2000)]
    beyond = np.mean([rng.lognormal(1.6, 0.2, size=50) > limit.limit for limit in limits])
    assert 0.005 < beyond < 0.02
    assert np.mean([limit.expected_beyond for limit in limits]) == pytest.approx(beyond, rel=0.4)


def test_one_odd_patient_among_few_does_not_open_the_range() -> None:
    usual = np.random.default_rng(0).lognormal(1.6, 0.2, size=80)
    with_odd = upper_limit([*usual, 100.0])
    assert with_odd.limit == pytest.approx(upper_limit(usual).limit, rel=0.25)
    assert with_odd.expected_beyond >= 2 / 82
    assert upper_limit([0.0] * 60 + [1.0]).limit == 1.0  # no quartiles to tell an odd one by


def test_left_out_distances_are_those_of_new_patients() -> None:
    rng, names = np.random.default_rng(1), [str(number) for number in range(15)]
    mixing = rng.standard_normal((15, 15))
    values, new = rng.standard_normal((60, 15)) @ mixing, rng.standard_normal((2000, 15)) @ mixing
    distance = fit_distance(values, names)
    inside = np.mean([distance.of(row) for row in values])
    outside = np.mean([distance.of(row) for row in new])
    left_out = left_out_distances(values, names, patients=[str(number) for number in range(60)]).mean()
    assert inside < 0.95 * outside
    assert left_out == pytest.approx(outside, rel=0.05)


@pytest.mark.parametrize(
    ("figures", "beyond"), [([], 0.005), ([1.0, math.nan], 0.005), ([1.0, -0.1], 0.005), ([1.0], 0.0), ([1.0], 1.0)]
)
def test_a_limit_of_nothing_is_refused(figures: list[float], beyond: float) -> None:
    with pytest.raises(ArgumentError):
        upper_limit(figures, beyond=beyond)
