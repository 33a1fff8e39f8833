"""Enhanced multi-frame MR reads as the classic images it was made of."""

import random

import numpy as np
import pytest
from pydicom.uid import generate_uid

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import inspect_study, read_study


def assert_same_study(first, second):
    assert first.key == second.key
    assert list(first.dwi) == list(second.dwi)
    for one, other in ((first.t2, second.t2), (first.adc, second.adc), (first.dwi[800], second.dwi[800])):
        assert one.geometry.is_close(other.geometry, tolerance_mm=1e-6)
        assert np.array_equal(one.data, other.data)


@pytest.mark.parametrize("shared", [True, False])
def test_frames_read_as_classic_images(build, tmp_path, shared):
    t2, dwi, adc = build.t2(), build.dwi((50, 400, 800)), build.adc()
    for index, image in enumerate(adc):
        image.RescaleSlope, image.RescaleIntercept = str(1 + index / 4), str(-index)
    classic = read_study(build.write([*t2, *dwi, *adc], tmp_path / "classic"))
    random.Random(0).shuffle(dwi)  # the order of frames says nothing
    frames = [build.enhanced(series, shared=shared) for series in (t2, dwi, adc)]
    enhanced = read_study(build.write(frames, tmp_path / "enhanced"))
    assert_same_study(enhanced, classic)
    assert [(one.number, one.b_values) for one in enhanced.series] == [(4, ()), (6, (50, 400, 800)), (7, ())]


def test_maps_beside_diffusion_in_one_object_are_told_apart(build, tmp_path):
    t2, dwi, adc = build.t2(), build.dwi((0, 800)), build.adc(DiffusionBValue=0.0)
    classic = read_study(build.write([*t2, *dwi, *adc], tmp_path / "classic"))
    both = read_study(build.write([*t2, build.enhanced([*dwi, *adc])], tmp_path / "both"))
    assert_same_study(both, classic)


def test_a_concatenation_of_two_objects_is_one_series(build, tmp_path):
    images = build.study()
    classic = read_study(build.write(images, tmp_path / "classic"))
    t2 = images[:12]
    halves = [build.enhanced(t2[:5]), build.enhanced(t2[5:])]
    halves[1].SOPInstanceUID = halves[1].file_meta.MediaStorageSOPInstanceUID = generate_uid()
    assert_same_study(read_study(build.write([*halves, *images[12:]], tmp_path / "halves")), classic)


def test_a_trace_that_the_scanner_made_comes_before_its_directions(build, tmp_path):
    t2, adc = build.t2(), build.adc()
    plain, trace = build.dwi((0,)), build.dwi((800,), DiffusionDirectionality="ISOTROPIC")
    directions = [one for _ in range(3) for one in build.dwi((800,), DiffusionDirectionality="DIRECTIONAL", scale=0.2)]
    for image in plain:
        image.DiffusionDirectionality = "NONE"
    classic = read_study(build.write([*t2, *adc, build.enhanced([*plain, *trace])], tmp_path / "trace"))
    full = read_study(build.write([*t2, *adc, build.enhanced([*directions, *plain, *trace])], tmp_path / "full"))
    assert_same_study(full, classic)


def test_a_missing_frame_is_a_missing_slice(build, write):
    t2 = build.t2()
    del t2[4]
    with pytest.raises(StudyRefusedError) as caught:
        read_study(write([build.enhanced(t2), *build.dwi(), *build.adc()]))
    assert caught.value.reason is Reason.SLICE_MISSING


@pytest.mark.parametrize("frames", [0, 11, 13])
def test_another_number_of_frames_than_described_is_refused(build, write, frames):
    t2 = build.enhanced(build.t2())
    t2.NumberOfFrames = frames
    found = inspect_study(write([t2, *build.dwi(), *build.adc()]))
    assert found.refusal is not None
    assert found.refusal.reason is Reason.INPUT_UNREADABLE


def test_frames_without_a_place_are_refused(build, write):
    t2 = build.enhanced(build.t2())
    del t2.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    with pytest.raises(StudyRefusedError) as caught:
        read_study(write([t2, *build.dwi(), *build.adc()]))
    assert caught.value.reason is Reason.GEOMETRY_INVALID
