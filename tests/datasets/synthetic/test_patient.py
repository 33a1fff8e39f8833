"""A rendered patient: physics that agrees with itself, anatomy where it belongs, the same every time."""

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.anatomy import Anatomy, draw_anatomy
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.datasets.synthetic.presets import SCANNERS, PatientPlan, Truth, draw_truth
from prostate_alm.datasets.synthetic.shapes import WHOLE, Array, Grid, Shape
from prostate_alm.study import Study, Volume

Rendered = tuple[PatientPlan, Study, Truth]


def anatomy_of(plan: PatientPlan) -> Anatomy:
    return draw_anatomy(draw_truth(plan), plan.rng(1))


def level_on(volume: Volume, shape: Shape) -> Array:
    grid = Grid(volume.geometry.shape, volume.geometry.spacing)
    level = shape.level(*grid.coordinates(WHOLE))
    return np.broadcast_to(level, grid.shape)


def test_the_same_patient_is_the_same(normal_patient: Rendered) -> None:
    plan, study, truth = normal_patient
    again, truth_again = synthesize_study(plan)
    assert truth == truth_again
    assert np.array_equal(study.t2.data, again.t2.data)
    assert np.array_equal(study.adc.data, again.adc.data)
    assert np.array_equal(study.t2.geometry.affine, again.t2.geometry.affine)


def test_grids_and_b_values_are_the_scanners(normal_patient: Rendered) -> None:
    _, study, truth = normal_patient
    scanner = next(scanner for scanner in SCANNERS if scanner.name == truth.vendor)
    assert study.t2.geometry.shape == scanner.t2_shape
    assert study.t2.geometry.spacing == pytest.approx(scanner.t2_spacing)
    assert study.adc.geometry.shape == scanner.dwi_shape
    assert tuple(study.dwi) == scanner.b_values
    assert study.t2.geometry.centre == pytest.approx(study.adc.geometry.centre, abs=1e-3)


def test_values_are_integers_of_twelve_bits(focus_patient: Rendered) -> None:
    _, study, _ = focus_patient
    for volume in (study.t2, study.adc, *study.dwi.values()):
        assert np.array_equal(volume.data, np.rint(volume.data))
        assert volume.data.min() >= 0
        assert volume.data.max() <= 4095


def test_the_adc_follows_from_the_diffusion_stack(normal_patient: Rendered) -> None:
    _, study, _ = normal_patient
    low, high = min(study.dwi), max(study.dwi)
    bright = (study.dwi[high].data > 60) & (study.adc.data > 0)
    two_point = np.log(study.dwi[low].data[bright] / study.dwi[high].data[bright]) / (high - low) * 1e6
    assert np.corrcoef(two_point, study.adc.data[bright])[0, 1] > 0.97
    assert np.median(two_point - study.adc.data[bright]) == pytest.approx(0, abs=25)


def test_tissues_have_the_adc_of_the_table(normal_patient: Rendered) -> None:
    plan, study, _ = normal_patient
    gland = level_on(study.adc, anatomy_of(plan).gland) < -4
    assert 1100 < np.median(study.adc.data[gland]) < 1800


def test_a_focus_is_dark_on_t2_and_adc_and_bright_at_high_b(focus_patient: Rendered) -> None:
    plan, study, _ = focus_patient
    anatomy = anatomy_of(plan)
    focus, around = anatomy.parts[-1].shape, anatomy.gland
    for volume, darker in ((study.t2, True), (study.adc, True), (study.dwi[max(study.dwi)], False)):
        lesion, rim = level_on(volume, focus), level_on(volume, around)
        core = np.median(volume.data[(lesion < -3) & (rim < -2)])
        zone = anatomy.parts[-1].outside[0]
        healthy = np.median(volume.data[(lesion > 6) & (rim < -3) & (level_on(volume, zone) > 3)])
        assert (core < 0.9 * healthy) == darker, (core, healthy)


def test_a_normal_gland_has_no_focus(normal_patient: Rendered) -> None:
    plan, study, truth = normal_patient
    assert truth.diameter_mm == 0
    assert np.quantile(study.adc.data[level_on(study.adc, anatomy_of(plan).gland) < -4], 0.02) > 700


def test_slices_are_oblique_and_differ_between_patients() -> None:
    tilts = []
    for number in range(3):
        study, _ = synthesize_study(PatientPlan(8, "test", number, 0.36, "easy"))
        tilts.append(np.degrees(np.arccos(study.t2.geometry.direction[2, 2])))
    assert max(tilts) < 35
    assert max(tilts) - min(tilts) > 1
