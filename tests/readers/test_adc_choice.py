"""Which ADC map belongs to the chosen diffusion."""

import numpy as np
import pytest

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import read_study


def test_a_missing_adc_is_fitted_and_flagged(build, write, inspect):
    folder = write([*build.t2(), *build.dwi((50, 400, 800))])
    study = read_study(folder)
    assert study.flags == inspect(folder).flags == (Reason.ADC_COMPUTED,)
    assert [one.role for one in study.series] == ["t2", "dwi"]
    assert np.median(study.adc.data) == pytest.approx(1000, rel=0.01)  # the builder's 1e-3 mm²/s


def test_a_missing_adc_and_one_b_value(build, inspect, tmp_path):
    images = [*build.t2(), *build.dwi((800,))]
    assert inspect(images).reason is Reason.ADC_MISSING
    with pytest.raises(StudyRefusedError, match="ADC_MISSING"):
        read_study(build.write(images, tmp_path / "again"))


def test_one_b_value_with_an_adc_is_a_study(build, inspect):
    assert inspect([*build.t2(), *build.dwi((800,)), *build.adc()]).numbers == {"t2": 4, "dwi": 6, "adc": 7}


def test_the_adc_that_is_dated_within_the_dwi_wins(build, inspect):
    dwi = build.dwi(AcquisitionTime="100000")
    near, far = build.adc(number=7, AcquisitionTime="100100"), build.adc(number=8, AcquisitionTime="095000")
    found = inspect([*build.t2(), *dwi, *near, *far])
    assert found.numbers["adc"] == 7
    assert "dated within the DWI" in found.why(7)


def test_two_adc_within_one_dwi_are_ambiguous(build, inspect):
    dwi = build.dwi(AcquisitionTime="100000")
    found = inspect([*build.t2(), *dwi, *(one for n in (7, 8) for one in build.adc(n, AcquisitionTime="100100"))])
    assert found.reason is Reason.SERIES_AMBIGUOUS


@pytest.mark.parametrize("changes", [{"size": (10, 9)}, {"FrameOfReferenceUID": "1.2.3"}])
def test_an_adc_of_another_acquisition_is_left_aside_and_one_fitted(build, inspect, changes):
    found = inspect([*build.t2(), *build.dwi(), *build.adc(**changes)])
    assert found.numbers == {"t2": 4, "dwi": 6}
    assert found.flags == (Reason.ADC_COMPUTED,)


@pytest.mark.parametrize("changes", [{"spacing": (1.8, 1.5)}, {"origin": (-4.0, -9.0, -20.0)}])
def test_an_adc_of_the_size_of_the_dwi_that_lies_elsewhere_is_refused(build, write, changes, inspect):
    folder = write([*build.t2(), *build.dwi(), *build.adc(**changes)])
    assert inspect(folder).reason is Reason.GEOMETRY_INVALID  # one of the two is misplaced: which?
    named = inspect(folder, dwi="6")
    assert named.numbers == {"t2": 4, "dwi": 6}
    assert Reason.ADC_COMPUTED in named.flags


def test_a_broken_adc_is_refused_not_replaced_by_a_fit(build, inspect):
    adc = build.adc()
    del adc[5]
    assert inspect([*build.t2(), *build.dwi(), *adc]).reason is Reason.SLICE_MISSING


def test_an_adc_with_one_tilted_image_is_refused_whichever_it_is(build, inspect):
    for index in (0, 5, 11):
        adc = build.adc()
        adc[index].ImageOrientationPatient = [1, 0, 0, 0, 0.9848, 0.1736]
        assert inspect([*build.t2(), *build.dwi(), *adc]).reason is Reason.ORIENTATION_MIXED


def two_runs(build, *maps, second=(50, 800)):
    """Two acquisitions on one grid, 100000 to 100020 and 100025 to 100045, and maps by number and time."""
    images = [*build.t2()]
    for number, b_values, start in ((6, (50, 800), 100000), (16, second, 100025)):
        run = build.dwi(b_values, number=number)
        for place, image in enumerate(run):
            image.AcquisitionTime = f"{start + 20 * place // (len(run) - 1)}"
        images += run
    return images + [one for number, time in maps for one in build.adc(number, AcquisitionTime=time)]


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ([(7, "100018"), (17, "100043")], {"6": 7, "16": 17}),  # dated at the end, so 7 is nearer to the start of 16
        ([(7, "100018")], {"6": 7, "16": None}),
        ([(7, "100018"), (17, "")], {"6": 7, "16": None}),
        ([(17, "")], {"6": None, "16": None}),
        ([(7, "100018"), (17, "110000")], {"6": 7, "16": None}),  # computed long after: of which?
    ],
)
def test_of_two_acquisitions_each_has_its_own_map(build, write, inspect, maps, expected):
    folder = write(two_runs(build, *maps))
    for dwi, adc in expected.items():
        found = inspect(folder, dwi=dwi)
        assert found.numbers.get("adc") == adc
        assert (Reason.ADC_COMPUTED in found.flags) == (adc is None)


def test_the_map_of_another_acquisition_is_no_map_of_the_chosen_one(build, inspect):
    found = inspect(two_runs(build, (7, "100018"), second=(50, 1000)))
    assert found.numbers == {"t2": 4, "dwi": 16}
    assert found.flags == (Reason.ADC_COMPUTED,)


def test_a_single_b_value_whose_map_is_not_known_is_refused(build, write, inspect):
    folder = write(two_runs(build, (7, "100018"), second=(800,)))
    assert inspect(folder, dwi="16").reason is Reason.ADC_MISSING
    assert inspect(folder, dwi="16", adc="7").numbers["adc"] == 7  # a person may know


def test_directions_that_were_acquired_with_the_trace_are_no_other_acquisition(build, inspect):
    at_once = {"AcquisitionTime": "100000"}
    directions = build.dwi(number=5, ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION"], **at_once)
    adc = build.adc(AcquisitionTime="110000")
    twice = [*directions, *build.dwi(number=5, **at_once)]
    for image in twice:
        image.SeriesInstanceUID, image.ImageType = directions[0].SeriesInstanceUID, directions[0].ImageType
    assert inspect([*build.t2(), *twice, *build.dwi(**at_once), *adc]).numbers == {"t2": 4, "dwi": 6, "adc": 7}
