"""Synthetic patients, rendered once."""

import pytest

from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.datasets.synthetic.presets import PatientPlan, Truth, draw_truth
from prostate_alm.study import Study

Rendered = tuple[PatientPlan, Study, Truth]


def first_with(reason: str, difficulty: str = "easy") -> PatientPlan:
    """The first patient of a cohort whose label has this reason."""
    plans = (PatientPlan(4, "training", number, 0.36, difficulty) for number in range(400))
    return next(plan for plan in plans if draw_truth(plan).reason == reason)


@pytest.fixture(scope="session")
def focus_patient() -> Rendered:
    """A patient with an equivocal focus."""
    plan = first_with("equivocal_focus")
    return plan, *synthesize_study(plan)


@pytest.fixture(scope="session")
def normal_patient() -> Rendered:
    """A patient without any change."""
    plan = first_with("normal")
    return plan, *synthesize_study(plan)
