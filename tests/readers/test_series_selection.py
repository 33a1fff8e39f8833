"""Which series is what, which is chosen, and by which tie-break."""

import re

import numpy as np
import pytest
from pydicom.dataset import Dataset

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import SeriesChoice, inspect_study, read_study

CALCULATED = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]
ORIGINAL = ["ORIGINAL", "PRIMARY", "DIFFUSION"]


@pytest.fixture
def inspect(write):
    return lambda images: inspect_study(write(images))


def roles(inspection):
    return {one.number: str(one.role) for one in inspection.found}


def chosen(inspection):
    assert inspection.refusal is None
    return {str(one.role): one.number for one in inspection.chosen}


def why(inspection, number):
    return next(one.why for one in inspection.found if one.number == number)


def reason(inspection):
    assert inspection.refusal is not None
    return inspection.refusal.reason


def test_a_plain_study(build, inspect):
    found = inspect(build.study())
    assert roles(found) == {4: "axial T2", 6: "DWI", 7: "ADC"}
    assert chosen(found) == {"t2": 4, "dwi": 6, "adc": 7}
    assert next(one.b_values for one in found.chosen if one.role == "dwi") == (50, 800)
    assert "(0018,9087)" in why(found, 6)
    assert found.runners_up == ()


# what a series is


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EchoTime": 12}, "echo time 12 ms"),
        ({"EchoTime": None}, "no echo time"),
        ({"RepetitionTime": 900}, "repetition time 900 ms"),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, "not axial"),
        ({"orientation": (1, 0, 0, 0, 0, -1)}, "not axial"),
        ({"slices": 9}, "9 axial slices"),
        ({"description": "t2_localizer"}, "LOC"),
        ({"description": "STIR tra"}, "STIR"),
        ({"description": "AX_VIBE_T2"}, "VIBE"),
    ],
)
def test_what_is_no_axial_t2(build, inspect, changes, words):
    found = inspect([*build.t2(**changes), *build.dwi(), *build.adc()])
    assert reason(found) is Reason.T2_MISSING
    assert words in why(found, 4)


def test_a_3d_t2_and_an_opaque_name_are_accepted(build, inspect):
    found = inspect([*build.t2(description="SPACE p2 iso", EchoTime=203), *build.dwi(), *build.adc()])
    assert chosen(found)["t2"] == 4


def test_several_echo_times_or_temporal_positions_are_no_t2(build, inspect):
    images = build.t2()
    for image in images[6:]:
        image.TemporalPositionIdentifier = 2
    assert reason(inspect([*images, *build.dwi(), *build.adc()])) is Reason.T2_MISSING


@pytest.mark.parametrize(
    ("description", "image_type", "role"),
    [
        ("ep2d_diff_ADC", ["DERIVED", "SECONDARY", "PROCESSED"], "ADC"),
        ("dADC map", ["DERIVED"], "ADC"),
        ("ADC_S3_1", ["DERIVED"], "ADC"),
        ("Apparent Diffusion Coefficient (mm?/s)", ["DERIVED"], "ADC"),
        ("no name", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], "ADC"),
        ("eADC", ["DERIVED"], "other"),
        ("Exponential Apparent Diffusion Coefficient", ["DERIVED"], "other"),
        ("map", ["DERIVED", "PRIMARY", "DIFFUSION", "FA"], "other"),
        ("HEADCOIL DWI", ["DERIVED"], "DWI"),  # no `ADC` of its own
        ("ep2d_diffCALC_BVAL", CALCULATED, "calculated b"),
        ("DW_Synthetic: b=1400", ["DERIVED"], "calculated b"),
        ("ep2d", ["DERIVED", "CALC_BVALUE"], "calculated b"),
        ("ep2d_mosaic", ["DERIVED", "DIFFUSION", "MOSAIC"], "other"),
    ],
)
def test_maps_and_calculated_images_are_told_from_acquired_ones(build, inspect, description, image_type, role):
    extra = build.adc(number=9, description=description, ImageType=image_type, DiffusionBValue=800.0)
    found = inspect([*build.study(), *extra])
    assert roles(found)[9] == role


def test_a_calculated_b_value_is_known_by_its_sequence_name(build, inspect):
    extra = build.dwi((1000,), number=8, SequenceName="*ep_b50_800")
    found = inspect([*build.study(), *extra])
    assert roles(found)[8] == "calculated b"
    assert chosen(found)["dwi"] == 6


def test_a_derived_b_value_above_every_acquired_one_was_calculated(build, inspect):
    found = inspect([*build.study(), *build.dwi((1400,), number=8)])
    assert roles(found)[8] == "calculated b"


def test_calculated_images_inside_an_acquired_series_are_left_out(build, write):
    images = build.dwi((50, 800, 1500))
    for image in images[24:]:
        image.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "CALC_BVALUE"]
    assert list(read_study(write([*build.t2(), *images, *build.adc()])).dwi) == [50, 800]


def test_a_protocol_name_that_says_dce_changes_nothing(build, inspect):
    found = inspect([*build.t2(), *build.dwi(), *build.adc(ProtocolName="PRO DCE W_T1 MAPPING")])
    assert chosen(found)["adc"] == 7


# what is missing


def test_no_t2(build, inspect):
    assert reason(inspect([*build.dwi(), *build.adc()])) is Reason.T2_MISSING


def test_no_dwi(build, inspect):
    assert reason(inspect([*build.t2(), *build.adc()])) is Reason.DWI_MISSING


def test_only_a_calculated_b_value_is_no_dwi_and_said_so(build, inspect):
    found = inspect([*build.t2(), *build.dwi((1500,), description="CALC_BVAL"), *build.adc()])
    assert reason(found) is Reason.DWI_MISSING
    assert "b 1500 was calculated" in str(found.refusal)


def test_b_0_alone_is_no_dwi(build, inspect):
    assert reason(inspect([*build.t2(), *build.dwi((0,)), *build.adc()])) is Reason.DWI_MISSING


def test_an_unknown_b_value_is_refused(build, inspect):
    images = build.dwi()
    for image in images[:12]:
        del image.DiffusionBValue
    assert reason(inspect([*build.t2(), *images, *build.adc()])) is Reason.B_VALUE_UNKNOWN


def test_a_missing_adc_is_fitted_and_flagged(build, write):
    folder = write([*build.t2(), *build.dwi((50, 400, 800))])
    study = read_study(folder)
    assert study.flags == inspect_study(folder).flags == (Reason.ADC_COMPUTED,)
    assert [one.role for one in study.series] == ["t2", "dwi"]
    assert np.median(study.adc.data) == pytest.approx(1000, rel=0.01)  # the builder's 1e-3 mm²/s


def test_a_missing_adc_and_one_b_value(build, inspect, tmp_path):
    images = [*build.t2(), *build.dwi((800,))]
    assert reason(inspect(images)) is Reason.ADC_MISSING
    with pytest.raises(StudyRefusedError, match="ADC_MISSING"):
        read_study(build.write(images, tmp_path / "again"))


def test_one_b_value_with_an_adc_is_a_study(build, inspect):
    assert chosen(inspect([*build.t2(), *build.dwi((800,)), *build.adc()])) == {"t2": 4, "dwi": 6, "adc": 7}


# tie-breaks


def test_t2_with_the_smallest_in_plane_spacing_wins(build, inspect):
    coarse = build.t2(number=9, spacing=(0.8, 0.8))
    found = inspect([*coarse, *build.study()])
    assert chosen(found)["t2"] == 4
    assert "smallest in-plane spacing" in why(found, 4)
    assert [one.number for one in found.runners_up] == [9]


def test_t2_that_covers_the_dwi_comes_before_a_short_one(build, inspect):
    found = inspect([*build.t2(number=9, gap=1.5), *build.study()])
    assert chosen(found)["t2"] == 4
    assert "covers the DWI" in why(found, 4)


@pytest.mark.parametrize("times", [("110000", "113000"), ("113000", "110000")])
def test_a_repeated_t2_is_taken_from_its_latest_acquisition(build, inspect, times):
    images = [*build.t2(number=4, AcquisitionTime=times[0]), *build.t2(number=5, AcquisitionTime=times[1])]
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert chosen(found)["t2"] == (5 if times[1] > times[0] else 4)
    assert "latest acquisition" in why(found, chosen(found)["t2"])


def test_the_latest_is_told_across_midnight(build, inspect):
    early = build.t2(number=4, AcquisitionDate="20240102", AcquisitionTime="235900")
    late = build.t2(number=5, AcquisitionDate="20240103", AcquisitionTime="000500")
    assert chosen(inspect([*early, *late, *build.dwi(), *build.adc()]))["t2"] == 5


@pytest.mark.parametrize("time", ["110000", ""])
def test_two_equally_good_t2_are_ambiguous_and_both_named(build, inspect, time):
    images = [*build.t2(number=4, AcquisitionTime=time), *build.t2(number=15, AcquisitionTime=time)]
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert reason(found) is Reason.SERIES_AMBIGUOUS
    assert re.search(r"series 4, (series )?15", str(found.refusal))


def test_a_complete_repeat_stands_in_for_a_broken_t2(build, inspect):
    broken = build.t2(number=5, AcquisitionTime="120000")
    del broken[4]
    found = inspect([*build.t2(number=4), *broken, *build.dwi(), *build.adc()])
    assert chosen(found)["t2"] == 4
    assert "SLICE_MISSING" in why(found, 5)


def test_a_poorer_t2_does_not_stand_in_for_a_broken_one(build, inspect):
    broken = build.t2(number=4)
    del broken[4]
    found = inspect([*broken, *build.t2(number=5, spacing=(0.9, 0.9)), *build.dwi(), *build.adc()])
    assert reason(found) is Reason.SLICE_MISSING


def test_dwi_with_several_b_values_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi((1400,), number=9, ImageType=ORIGINAL, EchoTime=80)])
    assert chosen(found)["dwi"] == 6
    assert "several acquired b-values" in why(found, 6)


def test_dwi_with_the_highest_b_value_up_to_1500_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi((0, 1000), number=9), *build.dwi((0, 2000), number=10)])
    assert chosen(found)["dwi"] == 9


def test_dwi_with_an_adc_on_its_grid_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi(number=9, spacing=(2.0, 1.7))])
    assert chosen(found)["dwi"] == 6
    assert "ADC" in why(found, 6)


def test_two_equally_good_dwi_are_ambiguous(build, inspect):
    found = inspect([*build.study(), *build.dwi(number=9)])
    assert reason(found) is Reason.SERIES_AMBIGUOUS
    assert "series 6, 9" in str(found.refusal)


def one_b(build, b, number, **changes):
    """A derived series of one b-value whose SequenceName says that it was measured."""
    return build.dwi((b,), number, **{"SequenceName": f"*ep_b{b}t", **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ORIGINAL, "SequenceName": ""},
        {"description": "ep2d_diff_b50_b800_tra", "SequenceName": ""},
        {"description": "DWI b50, 400, 800", "SequenceName": ""},
    ],
)
def test_what_says_that_a_b_value_of_its_own_was_acquired(build, inspect, changes):
    found = inspect([*build.t2(), *one_b(build, 50, 8), *one_b(build, 800, 9, **changes), *build.adc()])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [8, 9]


def test_a_derived_b_value_that_nothing_calls_acquired_is_left_out_or_refused(build, write, tmp_path):
    """A calculated b 1000 without its name, among series of one b-value each."""
    acquired = [image for b, number in ((50, 8), (400, 9), (800, 10)) for image in one_b(build, b, number)]
    calculated = build.dwi((1000,), number=11, description="ep2d_diff_b1000")
    rest = [*build.t2(), *build.adc()]
    found = inspect_study(write([*acquired, *calculated, *rest]))
    assert [one.number for one in found.chosen if one.role == "dwi"] == [8, 9, 10]
    assert "calculated" in why(found, 11)
    for image in acquired:
        del image.SequenceName
    silent = build.write([*acquired, *calculated, *rest], tmp_path / "silent")
    found = inspect_study(silent)
    assert reason(found) is Reason.SERIES_AMBIGUOUS
    assert "b 1000 of series 11" in str(found.refusal)
    named = inspect_study(silent, series=SeriesChoice(dwi="8+9+10"))
    assert [one.number for one in named.chosen if one.role == "dwi"] == [8, 9, 10]


def test_b_values_in_series_of_their_own_are_joined(build, write):
    b50, b400, b800 = (one_b(build, b, number) for b, number in ((50, 8), (400, 9), (800, 10)))
    study = read_study(write([*b800, *build.t2(), *b50, *b400, *build.adc()]))
    assert list(study.dwi) == [50, 400, 800]
    assert [(one.number, one.b_values) for one in study.series if one.role == "dwi"] == [
        (8, (50,)),
        (9, (400,)),
        (10, (800,)),
    ]


def test_a_slice_missing_in_one_of_the_joined_series_is_refused(build, inspect):
    b50, b800 = one_b(build, 50, 8), one_b(build, 800, 9)
    found = inspect([*build.t2(), *b50, *b800[:-1], *build.adc()])
    assert reason(found) is Reason.SLICE_MISSING
    assert "series 8 + 9, b 800" in str(found.refusal)


def test_b_values_of_different_echo_times_are_not_joined(build, inspect):
    b50, b800 = build.dwi((50,), number=8), build.dwi((800,), number=9, EchoTime=90)
    found = inspect([*build.t2(), *b50, *b800, *build.adc()])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [9]


def test_the_same_b_value_in_two_series_is_ambiguous(build, inspect):
    found = inspect([*build.t2(), *build.dwi((800,), number=8), *build.dwi((800,), number=9), *build.adc()])
    assert reason(found) is Reason.SERIES_AMBIGUOUS


def test_trace_images_come_before_single_directions(build, inspect):
    directions = [image for _ in range(3) for image in build.dwi(number=5)]
    for image in directions:
        image.SeriesInstanceUID = directions[0].SeriesInstanceUID
    found = inspect([*directions, *build.study()])
    assert chosen(found)["dwi"] == 6


def test_the_adc_that_is_dated_within_the_dwi_wins(build, inspect):
    dwi = build.dwi(AcquisitionTime="100000")
    near, far = build.adc(number=7, AcquisitionTime="100100"), build.adc(number=8, AcquisitionTime="095000")
    found = inspect([*build.t2(), *dwi, *near, *far])
    assert chosen(found)["adc"] == 7
    assert "dated within the DWI" in why(found, 7)


def test_two_adc_within_one_dwi_are_ambiguous(build, inspect):
    dwi = build.dwi(AcquisitionTime="100000")
    found = inspect([*build.t2(), *dwi, *(one for n in (7, 8) for one in build.adc(n, AcquisitionTime="100100"))])
    assert reason(found) is Reason.SERIES_AMBIGUOUS


@pytest.mark.parametrize("changes", [{"size": (10, 9)}, {"FrameOfReferenceUID": "1.2.3"}])
def test_an_adc_of_another_acquisition_is_left_aside_and_one_fitted(build, inspect, changes):
    found = inspect([*build.t2(), *build.dwi(), *build.adc(**changes)])
    assert chosen(found) == {"t2": 4, "dwi": 6}
    assert found.flags == (Reason.ADC_COMPUTED,)


@pytest.mark.parametrize("changes", [{"spacing": (1.8, 1.5)}, {"origin": (-4.0, -9.0, -20.0)}])
def test_an_adc_of_the_size_of_the_dwi_that_lies_elsewhere_is_refused(build, write, changes):
    folder = write([*build.t2(), *build.dwi(), *build.adc(**changes)])
    assert reason(inspect_study(folder)) is Reason.GEOMETRY_INVALID  # one of the two is misplaced: which?
    named = inspect_study(folder, series=SeriesChoice(dwi="6"))
    assert chosen(named) == {"t2": 4, "dwi": 6}
    assert Reason.ADC_COMPUTED in named.flags


def test_a_broken_adc_is_refused_not_replaced_by_a_fit(build, inspect):
    adc = build.adc()
    del adc[5]
    assert reason(inspect([*build.t2(), *build.dwi(), *adc])) is Reason.SLICE_MISSING


def test_an_adc_with_one_tilted_image_is_refused_whichever_it_is(build, inspect):
    for index in (0, 5, 11):
        adc = build.adc()
        adc[index].ImageOrientationPatient = [1, 0, 0, 0, 0.9848, 0.1736]
        assert reason(inspect([*build.t2(), *build.dwi(), *adc])) is Reason.ORIENTATION_MIXED


def test_maps_under_the_uid_of_their_diffusion_are_told_apart(build, write):
    dwi, adc = build.dwi(), build.adc(number=6, DiffusionBValue=800.0)
    for image in adc:
        image.SeriesInstanceUID = dwi[0].SeriesInstanceUID
    study = read_study(write([*build.t2(), *dwi, *adc]))
    assert [(one.role, one.number) for one in study.series] == [("t2", 4), ("dwi", 6), ("adc", 6)]
    assert study.dwi[800.0].data.max() < study.adc.data.max() / 2  # no mean of the two


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ScanningSequence": ["SE", "EP"]}, "echo-planar"),
        ({"EchoPlanarPulseSequence": "YES"}, "echo-planar"),
        ({"description": "Fractional Anisotropy", "ImageType": ["DERIVED", "SECONDARY", "PROCESSED"]}, "anisotropy"),
        ({"description": "dTENSOR", "ImageType": ["DERIVED", "PRIMARY", "TENSOR"]}, "tensor"),
    ],
)
def test_maps_and_echo_planar_images_are_no_t2(build, inspect, changes, words):
    found = inspect([*build.t2(**changes), *build.dwi(), *build.adc()])
    assert reason(found) is Reason.T2_MISSING
    assert words in why(found, 4)


def test_b_0_in_a_series_of_its_own_is_joined_whatever_it_looks_like(build, write):
    plain = {"ImageType": ["ORIGINAL", "PRIMARY", "M"], "ScanningSequence": "SE"}
    b0, b800 = build.dwi((0,), number=5, description="SShDWI", **plain), one_b(build, 800, 6)
    assert list(read_study(write([*build.t2(DiffusionBValue=0.0), *b0, *b800, *build.adc()])).dwi) == [0, 800]


def test_a_t2_in_the_frame_of_reference_of_the_dwi_wins(build, inspect):
    other = build.t2(number=9, FrameOfReferenceUID="1.2.3", spacing=(0.3, 0.3), AcquisitionTime="235959")
    found = inspect([*other, *build.study()])
    assert chosen(found)["t2"] == 4
    assert "frame of reference" in why(found, 4)


def test_a_t2_that_bears_the_name_of_the_diffusion_is_not_passed_over(build, inspect):
    """DYNDIST is a correction of diffusion images, and nothing dynamic."""
    names = {"description": "ep2d_diff_tra_DYNDIST_TRACEW", "AcquisitionTime": "235959"}
    found = inspect([*build.study(), *build.t2(number=9, **names)])
    assert chosen(found) == {"t2": 9, "dwi": 6, "adc": 7}


def test_a_localizer_in_three_orientations_beside_a_t2(build, inspect):
    planes = [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]
    images = [one for plane in planes for one in build.t2(number=1, description="haste", slices=5, orientation=plane)]
    for image in images:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    assert chosen(inspect([*images, *build.study()]))["t2"] == 4


@pytest.mark.parametrize(("merged_time", "outcome"), [("113000", None), ("090000", 4)])
def test_a_later_t2_under_the_uid_of_another_plane_is_not_passed_over(build, inspect, merged_time, outcome):
    sagittal = build.t2(number=8, orientation=(0, 1, 0, 0, 0, -1), slices=14, AcquisitionTime=merged_time)
    axial = build.t2(number=8, AcquisitionTime=merged_time)
    for image in axial:
        image.SeriesInstanceUID = sagittal[0].SeriesInstanceUID
    found = inspect([*sagittal, *axial, *build.t2(AcquisitionTime="100000"), *build.dwi(), *build.adc()])
    if outcome is None:
        assert reason(found) is Reason.ORIENTATION_MIXED
    else:
        assert chosen(found)["t2"] == outcome


@pytest.mark.parametrize(
    "sagittal",
    [
        {"size": (8, 8)},  # not the orientation is what such a stack fails by first
        {"EchoTime": 90},
        {"description": "localizer", "EchoTime": 4, "RepetitionTime": 8, "ScanningSequence": "GR"},
    ],
)
def test_a_repeat_under_the_uid_of_an_older_sagittal_is_refused_not_passed_over(build, inspect, sagittal):
    """The series began before both T2, but its axial images are the latest."""
    other = build.t2(
        **{"number": 2, "orientation": (0, 1, 0, 0, 0, -1), "slices": 15, "AcquisitionTime": "095000", **sagittal}
    )
    repeat = build.t2(number=2, AcquisitionTime="103000")
    for image in repeat:
        image.SeriesInstanceUID = other[0].SeriesInstanceUID
    older = [*build.t2(number=4, AcquisitionTime="100000"), *build.dwi(), *build.adc()]
    assert reason(inspect([*other, *repeat, *older])) in {Reason.GEOMETRY_INVALID, Reason.ORIENTATION_MIXED}
    newer = [*build.t2(number=4, AcquisitionTime="110000"), *build.dwi(), *build.adc()]
    assert chosen(inspect([*other, *repeat, *newer]))["t2"] == 4


def test_dozens_of_dynamic_series_change_nothing(build, inspect):
    dynamic = [
        image
        for point in range(30)
        for image in build.series(100 + point, "AX", EchoTime=1.5, RepetitionTime=4.0, ScanningSequence="GR", slices=2)
    ]
    assert chosen(inspect([*dynamic, *build.study()])) == {"t2": 4, "dwi": 6, "adc": 7}


# T2 series of several kinds; 15 is the latest and would win by time

MPR = {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}
FAT = {"ScanOptions": "FS"}
AGENT = {"ContrastBolusAgent": "Gd"}


def with_rival(build, changes, plain=None):
    late = build.t2(**{"number": 15, "AcquisitionTime": "235959", **changes})
    return [*build.t2(**(plain or {})), *late, *build.dwi(), *build.adc()]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ScanningSequence": ["SE", "IR"]}, "inversion recovery"),
        ({"InversionTime": 220}, "inversion recovery"),
        ({"description": "t2_tirm_tra"}, "TIRM"),
        ({"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]}, "map"),
        ({"description": "T2_Map"}, "MAP"),
    ],
)
def test_an_inversion_recovery_or_a_map_is_no_t2(build, inspect, changes, words):
    found = inspect(with_rival(build, changes))
    assert chosen(found)["t2"] == 4
    assert roles(found)[15] == "other"
    assert words in why(found, 15)


def test_an_inversion_time_of_0_says_nothing(build, inspect):
    assert chosen(inspect([*build.t2(InversionTime=0), *build.dwi(), *build.adc()]))["t2"] == 4


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (MPR, "original, not derived"),
        ({**MPR, "spacing": (0.3, 0.3), "size": (20, 25)}, "original, not derived"),
        (FAT, "without fat suppression"),
        ({"ScanOptions": ["PFP", "SFS"]}, "without fat suppression"),
        ({"description": "t2_tse_tra_spair"}, "without fat suppression"),
        ({"description": "t2 dixon W"}, "without fat suppression"),
        (AGENT, "before contrast"),
    ],
)
def test_a_lesser_t2_loses_to_a_plain_one_however_late_or_fine(build, inspect, changes, rule):
    found = inspect(with_rival(build, changes))
    assert chosen(found)["t2"] == 4
    assert [one.number for one in found.runners_up] == [15]
    assert f"loses by: {rule}" in why(found, 15)


@pytest.mark.parametrize("changes", [MPR, FAT, AGENT])
def test_a_lesser_t2_alone_is_read(build, inspect, changes):
    assert chosen(inspect([*build.t2(**changes), *build.dwi(), *build.adc()]))["t2"] == 4


@pytest.mark.parametrize(
    ("plain", "changes"),
    [
        (FAT, MPR),  # each is better in one way
        ({"FrameOfReferenceUID": "1.2.3"}, FAT),  # only the lesser one lies beside the DWI
        ({"slices": 10, "gap": 1.5}, MPR),  # only the lesser one covers it
    ],
)
def test_nobody_knows_which_lesser_t2_is_better(build, inspect, plain, changes):
    found = inspect(with_rival(build, changes, plain))
    assert reason(found) is Reason.SERIES_AMBIGUOUS
    assert "series 15" in str(found.refusal)
    assert "series 4" in str(found.refusal)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EchoTime": 80}, "echo time"),
        ({"RepetitionTime": 1400}, "repetition time"),
        ({"ScanOptions": "SAT1"}, "ScanOptions"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"]}, "ImageType"),
        ({"EchoTime": 80, "spacing": (0.8, 0.8)}, "echo time"),  # nor does the spacing decide
    ],
)
def test_t2_series_acquired_differently_are_ambiguous(build, inspect, changes, words):
    found = inspect(with_rival(build, changes))
    assert reason(found) is Reason.SERIES_AMBIGUOUS
    assert words in str(found.refusal)


def test_a_repeat_may_differ_a_little(build, inspect):
    assert chosen(inspect(with_rival(build, {"EchoTime": 100, "RepetitionTime": 4800})))["t2"] == 15


def test_an_enhanced_inversion_recovery_is_no_t2(build, inspect):
    late = build.enhanced(build.t2(number=15, AcquisitionTime="235959"))
    for group in late.PerFrameFunctionalGroupsSequence:
        modifier = Dataset()
        modifier.InversionRecovery = "YES"
        group.MRModifierSequence = [modifier]
    assert roles(inspect([*build.study(), late]))[15] == "other"
