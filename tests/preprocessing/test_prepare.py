"""One tensor from a study: scale, units, padding, the chosen b-value, and the gates."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from prostate_alm.errors import ArgumentError, Reason, StudyRefusedError
from prostate_alm.preprocessing import Preprocessing, StudyToImage, choose_high_b
from prostate_alm.study import QUALITY_GATES, Geometry, Study, Volume


@pytest.fixture
def study(study_factory: Callable[..., Study]) -> Study:
    return study_factory(3, positive=True)


def failed(study: Study) -> set[Reason]:
    return {finding.reason for finding in Preprocessing("tiny")(study).quality if not finding.passed}


def test_profiles_have_the_documented_shapes() -> None:
    shapes = {profile: Preprocessing(profile).shape for profile in ("full", "fast", "tiny")}
    assert shapes == {"full": (256, 256, 24), "fast": (128, 128, 24), "tiny": (64, 64, 12)}


def test_what_can_not_be_prepared_is_refused_at_once() -> None:
    with pytest.raises(ArgumentError, match="Available"):
        Preprocessing("huge")
    with pytest.raises(ArgumentError, match="whole number"):
        Preprocessing("tiny", [41.0, 40.0, 24.0])
    with pytest.raises(ArgumentError, match="release that trained"):
        Preprocessing(version=0)


def test_t2_and_dwi_are_z_scores_and_adc_keeps_its_units(study: Study) -> None:
    image = Preprocessing("tiny")(study).image
    assert image.shape == (3, 64, 64, 12)
    assert image.dtype == torch.float32
    for channel in (0, 1):
        values = image[channel][image[channel] != 0]
        assert abs(float(values.mean())) < 0.05
        assert float(values.std()) == pytest.approx(1.0, abs=0.05)
    adc = image[2][image[2] != 0] * 600 + 1200
    assert float(adc.median()) == pytest.approx(1200, abs=10)
    assert float(adc.min()) == pytest.approx(500, abs=120)  # the focus keeps its absolute value


def test_a_healthy_study_passes_every_gate(study: Study) -> None:
    assert failed(study) == set()


def test_a_gain_on_the_scanner_changes_nothing(study: Study) -> None:
    loud = dataclasses.replace(
        study,
        t2=Volume(study.t2.data * 7.5, study.t2.geometry),
        dwi={b: Volume(v.data * 3.0, v.geometry) for b, v in study.dwi.items()},
    )
    assert torch.allclose(Preprocessing("tiny")(study).image, Preprocessing("tiny")(loud).image, atol=1e-4)


@pytest.mark.parametrize(
    ("b_values", "chosen"),
    [
        ([50, 400, 800], 800),
        ([0, 500, 1000, 1400], 1000),
        ([50, 800, 1000], 1000),
        ([100, 600], 600),
        ([0, 1400], 1400),
    ],
)
def test_the_high_b_value_is_the_one_nearest_to_800_to_1000(b_values: list[float], chosen: float) -> None:
    assert choose_high_b(b_values) == chosen


@pytest.mark.parametrize("b_values", [[50, 400], [2000], []])
def test_without_a_usable_b_value_the_study_is_refused(b_values: list[float]) -> None:
    with pytest.raises(StudyRefusedError) as caught:
        choose_high_b(b_values)
    assert caught.value.reason is Reason.HIGH_B_MISSING


def test_voxels_that_are_no_numbers_are_refused(study: Study) -> None:
    data = study.t2.data.copy()
    data[3, 4, 5] = np.nan
    with pytest.raises(StudyRefusedError) as caught:
        Preprocessing("tiny")(dataclasses.replace(study, t2=Volume(data, study.t2.geometry)))
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


def shifted(volume: Volume, mm: float) -> Volume:
    affine = volume.geometry.affine.copy()
    affine[1, 3] += mm
    return Volume(volume.data, Geometry(volume.geometry.shape, affine))


def test_gates_name_what_is_wrong(study: Study) -> None:
    def constant(volume: Volume) -> Volume:
        return Volume(np.full_like(volume.data, 5.0), volume.geometry)

    def framed(volume: Volume, name: str) -> Volume:
        return Volume(volume.data, volume.geometry, frame_of_reference=name)

    cases = {
        Reason.COVERAGE_LOW: dataclasses.replace(study, dwi={b: shifted(v, 60.0) for b, v in study.dwi.items()}),
        Reason.ADC_OUT_OF_RANGE: dataclasses.replace(
            study, adc=Volume((study.adc.data / 1000).astype(np.float32), study.adc.geometry)
        ),
        Reason.VOLUME_CONSTANT: dataclasses.replace(study, t2=constant(study.t2)),
        Reason.FRAME_OF_REFERENCE_DIFFERS: dataclasses.replace(
            study, t2=framed(study.t2, "a"), dwi={b: framed(v, "b") for b, v in study.dwi.items()}
        ),
    }
    expected = {reason: {reason} for reason in cases}
    expected[Reason.COVERAGE_LOW] = {Reason.COVERAGE_LOW, Reason.FIELD_OF_VIEW_SMALL}
    assert {reason: failed(broken) for reason, broken in cases.items()} == expected


def test_a_study_that_does_not_meet_the_box_is_prepared_and_fails_its_gates(study: Study) -> None:
    away = dataclasses.replace(
        study, dwi={b: shifted(v, 900.0) for b, v in study.dwi.items()}, adc=shifted(study.adc, 900.0)
    )
    prepared = Preprocessing("tiny")(away)
    assert torch.isfinite(prepared.image).all()
    assert {Reason.COVERAGE_LOW, Reason.VOLUME_CONSTANT, Reason.ADC_OUT_OF_RANGE} <= failed(away)


def test_as_a_step_it_leaves_the_key_and_the_image(study: Study) -> None:
    entry = StudyToImage("tiny")({"study": study, "label": 1})
    assert entry["study"] == study.key
    assert entry["label"] == 1
    prepared = Preprocessing("tiny")(study)
    assert torch.equal(entry["image"], prepared.image)
    assert entry["quality"].tolist() == pytest.approx([gate.value for gate in prepared.quality], nan_ok=True)
    assert entry["passed"] is True
    assert tuple(gate.reason for gate in prepared.quality) == QUALITY_GATES


def test_as_a_step_it_tells_that_a_gate_did_not_pass(study: Study) -> None:
    wrong_unit = dataclasses.replace(study, adc=Volume(study.adc.data * 1000, study.adc.geometry))
    assert StudyToImage("tiny")({"study": wrong_unit})["passed"] is False
