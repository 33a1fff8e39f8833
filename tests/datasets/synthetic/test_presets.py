"""The truth of a patient is drawn apart from its images, and depends on nothing but the patient."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.datasets.synthetic.presets import (
    PRESETS,
    QUALITY_CAUSES,
    SCANNERS,
    Cause,
    PatientPlan,
    draw_truth,
    preset,
)
from prostate_alm.errors import ArgumentError

POSITIVE = {Cause.EQUIVOCAL_FOCUS.value, *(cause.value for cause in QUALITY_CAUSES)}


def plans(count: int, prevalence: float = 0.36, difficulty: str = "easy", seed: int = 1) -> list[PatientPlan]:
    return [PatientPlan(seed, "training", number, prevalence, difficulty) for number in range(count)]


@given(count=st.integers(1, 400), prevalence=st.floats(0, 1))
def test_prevalence_is_exact_for_any_number_of_patients(count: int, prevalence: float) -> None:
    positives = sum(plan.label for plan in plans(count, prevalence))
    assert abs(positives - count * prevalence) <= 0.5 + 1e-6


def test_the_label_follows_from_the_cause_without_label_noise() -> None:
    for plan in plans(300):
        truth = draw_truth(plan)
        assert (truth.reason in POSITIVE) == bool(truth.label)


def test_label_noise_draws_some_images_from_the_other_class() -> None:
    truths = [draw_truth(plan) for plan in plans(3000, difficulty="default")]
    wrong = sum((truth.reason in POSITIVE) != bool(truth.label) for truth in truths)
    assert wrong / 3000 == pytest.approx(PRESETS["default"].label_noise, abs=0.01)


def test_positives_are_shared_between_foci_and_inadequate_diffusion() -> None:
    positives = [truth for plan in plans(500) if (truth := draw_truth(plan)).label]
    foci = sum(truth.reason == Cause.EQUIVOCAL_FOCUS.value for truth in positives)
    assert foci == pytest.approx(len(positives) * (1 - PRESETS["easy"].quality_share), abs=1)
    assert {truth.reason for truth in positives} == POSITIVE


@pytest.mark.parametrize("difficulty", sorted(PRESETS))
def test_equivocal_and_clear_never_overlap(difficulty: str) -> None:
    chosen = preset(difficulty)
    assert chosen.focus_contrast[1] < chosen.clear_contrast[0]
    assert chosen.mild_severity[1] < chosen.severity[0]
    for plan in plans(300, difficulty=difficulty):
        truth = draw_truth(plan)
        if truth.reason == Cause.EQUIVOCAL_FOCUS.value:
            assert chosen.focus_contrast[0] <= truth.contrast <= chosen.focus_contrast[1]
            assert chosen.focus_diameter_mm[0] <= truth.diameter_mm <= chosen.focus_diameter_mm[1]
        if truth.reason == Cause.CLEAR_LESION.value:
            assert truth.contrast >= chosen.clear_contrast[0]


def test_every_scanner_and_both_positions_occur_and_seeds_differ() -> None:
    truths = [draw_truth(plan) for plan in plans(200)]
    assert Counter(truth.vendor for truth in truths).keys() == {scanner.name for scanner in SCANNERS}
    assert {truth.patient_position for truth in truths} == {"HFS", "FFS"}
    assert truths == [draw_truth(plan) for plan in plans(200)]
    assert truths != [draw_truth(plan) for plan in plans(200, seed=2)]


def test_an_unknown_difficulty_lists_the_choices() -> None:
    with pytest.raises(ArgumentError, match="'default', 'easy'"):
        preset("impossible")
