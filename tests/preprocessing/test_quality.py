"""Each gate and each score fires on what it is for, and not on a clean study; a unit is found or refused."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.corpus import CasePlan
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.datasets.synthetic.patient import acquire_study
from prostate_alm.datasets.synthetic.presets import Cause, Truth
from prostate_alm.datasets.synthetic.vendors import VENDORS
from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.adc_scale import in_adc_units
from prostate_alm.preprocessing.artefacts import motion_score, susceptibility_score
from prostate_alm.study import Acquisition, Geometry, Role, Series, Study, Volume


@pytest.fixture
def study(study_factory: Callable[..., Study]) -> Study:
    return study_factory(3)


def failed(study: Study) -> set[Reason]:
    return {finding.reason for finding in Preprocessing("tiny")(study).quality if not finding.passed}


def changed(volume: Volume, change: Callable[[np.ndarray], np.ndarray]) -> Volume:
    return Volume(change(volume.data).astype(np.float32), volume.geometry)


def test_contrast_that_was_given_is_named(study: Study) -> None:
    assert failed(study) == set()
    given = dataclasses.replace(study, acquisition=Acquisition(contrast_agent=True))
    assert failed(given) == {Reason.CONTRAST_GIVEN}


def test_a_saturated_volume_is_named(study: Study) -> None:
    clipped = dataclasses.replace(study, t2=changed(study.t2, lambda t2: np.minimum(t2, np.quantile(t2, 0.97))))
    assert failed(clipped) == {Reason.VOLUME_SATURATED}


def test_an_adc_map_of_zeros_is_named(study: Study) -> None:
    def masked(adc: np.ndarray) -> np.ndarray:
        return np.where(np.arange(adc.shape[2]) % 5 == 0, adc, 0)

    assert Reason.VOLUME_CONSTANT in failed(dataclasses.replace(study, adc=changed(study.adc, masked)))


@pytest.mark.parametrize("order", [(800.0, 400.0, 50.0), (50.0, 800.0, 400.0), (400.0, 50.0, 800.0)])
def test_volumes_under_each_others_b_values_are_named(study: Study, order: tuple[float, float, float]) -> None:
    swapped = dict(zip(order, (study.dwi[b] for b in (50.0, 400.0, 800.0)), strict=True))
    assert Reason.SIGNAL_RISES_WITH_B in failed(dataclasses.replace(study, dwi=swapped))


def test_an_image_in_place_of_the_adc_is_named(study: Study) -> None:
    image = study.dwi[50.0]
    scaled = changed(image, lambda data: data / data.mean() * 1200)
    assert failed(dataclasses.replace(study, adc=scaled)) == {Reason.ADC_DISAGREES}


def test_what_one_b_value_leaves_open_fails_no_gate(study: Study) -> None:
    alone = dataclasses.replace(study, dwi={800.0: study.dwi[800.0]})
    gates = {finding.reason: finding for finding in Preprocessing("tiny")(alone).quality}
    for reason in (Reason.SIGNAL_RISES_WITH_B, Reason.ADC_DISAGREES):
        assert gates[reason].passed
        assert np.isnan(gates[reason].value)


def disc(shape: tuple[int, int, int] = (80, 100, 12)) -> Volume:
    """An ellipse with a bright, sharp interior, off any symmetry along Y."""
    x, y, _ = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    body = ((x - 39.5) / 30) ** 2 + ((y - 45) / 22) ** 2 < 1
    image = 100.0 * body + 80 * (((x - 39.5) / 9) ** 2 + ((y - 38) / 5) ** 2 < 1)
    image += np.random.default_rng(0).normal(0, 2, shape)
    return Volume(image.astype(np.float32), Geometry(shape, np.diag([2.0, 2.0, 3.0, 1.0])))


@pytest.mark.parametrize("shift", [20, 33])
def test_a_copy_along_the_rows_raises_the_motion_score(shift: int) -> None:
    clean = disc()
    ghosted = changed(clean, lambda data: data + 0.3 * np.roll(data, shift, axis=1))
    assert motion_score(ghosted) > 0.15 > motion_score(clean)
    # two copies of strength 1 and a correlate with a / (1 + a²)
    assert motion_score(ghosted) == pytest.approx(0.3 / (1 + 0.3**2), abs=0.1)


def coarse_clean() -> tuple[Study, Study]:
    """A healthy patient in voxels of 3.6 mm, and the same after severe motion."""
    scanner = next(vendor.scanner for vendor in VENDORS if vendor.name == "ge")
    plan = CasePlan(137, 1, Layout.MULTI_B, "ge")  # of 300 clean cases, the one with the most regular anatomy
    clean = Truth(0, Cause.NORMAL.value, 0.0, 0.0, 0.0, "", "ge", "HFS")
    moved = dataclasses.replace(clean, severity=1.0, artefact=Cause.MOTION_GHOSTING.value)
    one, other = (acquire_study(truth, scanner, plan.rng(100), key="x") for truth in (clean, moved))
    return one, other


def test_coarse_voxels_are_no_motion_and_motion_in_them_is() -> None:
    clean, moved = coarse_clean()
    assert Reason.MOTION_SUSPECTED not in failed(clean)
    assert Reason.MOTION_SUSPECTED in failed(moved)


def test_the_motion_score_depends_on_the_place_and_not_on_the_voxel() -> None:
    """An image drawn at 2 mm and at 4 mm; the limit could not hold for both otherwise."""
    fine = changed(disc(), lambda data: data + 0.3 * np.roll(data, 32, axis=1))
    halves = fine.data.reshape(40, 2, 50, 2, 12).mean(axis=(1, 3)).astype(np.float32)
    coarse = Volume(halves, Geometry((40, 50, 12), fine.geometry.affine @ np.diag([2.0, 2.0, 1.0, 1.0])))
    assert motion_score(coarse) == pytest.approx(motion_score(fine), abs=0.05)


def test_motion_in_any_b_value_is_named(study: Study) -> None:
    lowest = min(study.dwi)
    ghosted = changed(study.dwi[lowest], lambda data: data + 0.5 * np.roll(data, data.shape[1] // 3, axis=1))
    assert Reason.MOTION_SUSPECTED in failed(dataclasses.replace(study, dwi={**study.dwi, lowest: ghosted}))


def test_a_void_on_one_side_raises_the_susceptibility_score() -> None:
    clean = disc()
    x = np.arange(80)[:, None, None]
    one_sided = changed(clean, lambda data: np.where(x < 26, 0.02 * data, data))
    middle = clean.geometry.centre
    assert susceptibility_score(clean, middle=middle) < 0.02
    assert susceptibility_score(one_sided, middle=middle) > 0.1
    assert susceptibility_score(clean, middle=(900.0, 0.0, 0.0)) == 0


@pytest.mark.parametrize("power", [-3, -1, 1, 3, 6])
def test_one_power_of_ten_is_undone_and_flagged(study: Study, power: int) -> None:
    wrong = dataclasses.replace(study, adc=changed(study.adc, lambda adc: adc / 10.0**power))
    found = in_adc_units(wrong)
    assert np.allclose(found.adc.data, study.adc.data, rtol=1e-5)
    assert found.flags == (Reason.ADC_RESCALED,)


def test_a_map_in_its_unit_is_left_as_it_is(study: Study) -> None:
    assert in_adc_units(study) is study


@pytest.mark.parametrize("factor", [3.0, 0.3, 1e4, -1.0, 0.0])
def test_a_factor_that_is_no_known_power_is_refused(study: Study, factor: float) -> None:
    wrong = dataclasses.replace(study, adc=changed(study.adc, lambda adc: adc * factor))
    with pytest.raises(StudyRefusedError) as caught:
        in_adc_units(wrong)
    assert caught.value.reason is Reason.ADC_SCALE_UNKNOWN


def test_a_diffusion_image_in_place_of_the_map_is_refused(study: Study) -> None:
    """Its median would fit an ADC after a factor of ten, but the b-values contradict it."""
    image = changed(study.dwi[50.0], lambda data: data * 0.25)
    slow = {b: changed(volume, lambda data, b=b: data * np.exp(b * 900e-6)) for b, volume in study.dwi.items()}
    with pytest.raises(StudyRefusedError) as caught:
        in_adc_units(dataclasses.replace(study, adc=image, dwi=slow))
    assert caught.value.reason is Reason.ADC_SCALE_UNKNOWN


def test_beside_one_b_value_a_unit_is_mended_only_where_a_header_says_adc(study: Study) -> None:
    tenth = changed(study.adc, lambda adc: adc / 10)
    alone = dataclasses.replace(study, adc=tenth, dwi={800.0: study.dwi[800.0]})
    with pytest.raises(StudyRefusedError) as caught:
        in_adc_units(alone)
    assert caught.value.reason is Reason.ADC_SCALE_UNKNOWN
    described = dataclasses.replace(alone, series=(Series(Role.ADC, 7, "ADC"),))
    assert in_adc_units(described).flags == (Reason.ADC_RESCALED,)
