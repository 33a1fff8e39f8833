"""Which T2 is chosen, by which tie-break, and what is left to a person."""

import re

import pytest

from prostate_alm.errors import Reason

# T2 series of several kinds; 15 is the latest and would win by time

MPR = {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}
FAT = {"ScanOptions": "FS"}
AGENT = {"ContrastBolusAgent": "Gd"}
HASTE = {"description": "t2_haste_tra", "EchoTime": 92, "RepetitionTime": 1300, "spacing": (1.2, 1.0)}
ELSEWHERE = {"FrameOfReferenceUID": "1.2.3"}


def test_t2_with_the_smallest_in_plane_spacing_wins(build, inspect):
    coarse = build.t2(number=9, spacing=(0.8, 0.8))
    found = inspect([*coarse, *build.study()])
    assert found.numbers["t2"] == 4
    assert "smallest in-plane spacing" in found.why(4)
    assert [one.number for one in found.runners_up] == [9]


def test_t2_that_covers_the_dwi_comes_before_a_short_one(build, inspect):
    found = inspect([*build.t2(number=9, gap=1.5), *build.study()])
    assert found.numbers["t2"] == 4
    assert "covers the DWI" in found.why(4)


@pytest.mark.parametrize("times", [("110000", "113000"), ("113000", "110000")])
def test_a_repeated_t2_is_taken_from_its_latest_acquisition(build, inspect, times):
    images = [*build.t2(number=4, AcquisitionTime=times[0]), *build.t2(number=5, AcquisitionTime=times[1])]
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert found.numbers["t2"] == (5 if times[1] > times[0] else 4)
    assert "latest acquisition" in found.why(found.numbers["t2"])


def test_the_latest_is_told_across_midnight(build, inspect):
    early = build.t2(number=4, AcquisitionDate="20240102", AcquisitionTime="235900")
    late = build.t2(number=5, AcquisitionDate="20240103", AcquisitionTime="000500")
    assert inspect([*early, *late, *build.dwi(), *build.adc()]).numbers["t2"] == 5


@pytest.mark.parametrize("time", ["110000", ""])
def test_two_equally_good_t2_are_ambiguous_and_both_named(build, inspect, time):
    images = [*build.t2(number=4, AcquisitionTime=time), *build.t2(number=15, AcquisitionTime=time)]
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert re.search(r"series 4, (series )?15", str(found.refusal))


def test_a_complete_repeat_stands_in_for_a_broken_t2(build, inspect):
    broken = build.t2(number=5, AcquisitionTime="120000")
    del broken[4]
    found = inspect([*build.t2(number=4), *broken, *build.dwi(), *build.adc()])
    assert found.numbers["t2"] == 4
    assert "SLICE_MISSING" in found.why(5)


def test_a_poorer_t2_does_not_stand_in_for_a_broken_one(build, inspect):
    broken = build.t2(number=4)
    del broken[4]
    found = inspect([*broken, *build.t2(number=5, spacing=(0.9, 0.9)), *build.dwi(), *build.adc()])
    assert found.reason is Reason.SLICE_MISSING


def test_a_t2_in_the_frame_of_reference_of_the_dwi_wins(build, inspect):
    other = build.t2(number=9, FrameOfReferenceUID="1.2.3", AcquisitionTime="235959")
    found = inspect([*other, *build.study()])
    assert found.numbers["t2"] == 4
    assert "frame of reference" in found.why(4)


def test_a_t2_that_bears_the_name_of_the_diffusion_is_not_passed_over(build, inspect):
    """DYNDIST is a correction of diffusion images, and nothing dynamic."""
    names = {"description": "ep2d_diff_tra_DYNDIST_TRACEW", "AcquisitionTime": "235959"}
    found = inspect([*build.study(), *build.t2(number=9, **names)])
    assert found.numbers == {"t2": 9, "dwi": 6, "adc": 7}


def test_a_localizer_in_three_orientations_beside_a_t2(build, inspect):
    planes = [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]
    images = [one for plane in planes for one in build.t2(number=1, description="haste", slices=5, orientation=plane)]
    for image in images:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    assert inspect([*images, *build.study()]).numbers["t2"] == 4


@pytest.mark.parametrize(("merged_time", "outcome"), [("113000", None), ("090000", 4)])
def test_a_later_t2_under_the_uid_of_another_plane_is_not_passed_over(build, inspect, merged_time, outcome):
    sagittal = build.t2(number=8, orientation=(0, 1, 0, 0, 0, -1), slices=14, AcquisitionTime=merged_time)
    axial = build.t2(number=8, AcquisitionTime=merged_time)
    for image in axial:
        image.SeriesInstanceUID = sagittal[0].SeriesInstanceUID
    found = inspect([*sagittal, *axial, *build.t2(AcquisitionTime="100000"), *build.dwi(), *build.adc()])
    if outcome is None:
        assert found.reason is Reason.ORIENTATION_MIXED
    else:
        assert found.numbers["t2"] == outcome


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
    assert inspect([*other, *repeat, *older]).reason in {Reason.GEOMETRY_INVALID, Reason.ORIENTATION_MIXED}
    newer = [*build.t2(number=4, AcquisitionTime="110000"), *build.dwi(), *build.adc()]
    assert inspect([*other, *repeat, *newer]).numbers["t2"] == 4


def with_rival(build, changes, plain=None):
    late = build.t2(**{"number": 15, "AcquisitionTime": "235959", **changes})
    return [*build.t2(**(plain or {})), *late, *build.dwi(), *build.adc()]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (MPR, "original, not derived"),
        (FAT, "without fat suppression"),
        ({"ScanOptions": ["PFP", "SFS"]}, "without fat suppression"),
        ({"description": "t2_tse_tra_spair"}, "without fat suppression"),
        ({"description": "t2 dixon W"}, "without fat suppression"),
        (AGENT, "before contrast"),
    ],
)
def test_a_lesser_t2_loses_to_a_plain_one_however_late(build, inspect, changes, rule):
    found = inspect(with_rival(build, changes))
    assert found.numbers["t2"] == 4
    assert [one.number for one in found.runners_up] == [15]
    assert f"loses by: {rule}" in found.why(15)


@pytest.mark.parametrize("changes", [MPR, FAT, AGENT])
def test_a_lesser_t2_alone_is_read(build, inspect, changes):
    assert inspect([*build.t2(**changes), *build.dwi(), *build.adc()]).numbers["t2"] == 4


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
    assert found.reason is Reason.SERIES_AMBIGUOUS
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
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert words in str(found.refusal)


def test_a_repeat_may_differ_a_little(build, inspect):
    assert inspect(with_rival(build, {"EchoTime": 100, "RepetitionTime": 4800})).numbers["t2"] == 15


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
    assert found.numbers["t2"] == 4
    assert found.roles[15] == "other"
    assert words in found.why(15)


@pytest.mark.parametrize(
    "changes",
    [
        {**MPR, "EchoTime": 203, "RepetitionTime": 1700},  # of a 3-D SPACE, the only T2 of the prostate
        FAT,
        AGENT,
        {"description": "t2_tse_tra POST KM"},
        ELSEWHERE,
        {"slices": 10, "gap": 1.5},  # does not cover the DWI
    ],
)
def test_no_merit_makes_a_coarser_sequence_of_another_weighting_the_t2(build, inspect, changes):
    found = inspect([*build.t2(**changes), *build.t2(15, **HASTE), *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert {"series 4", "series 15"} <= set(re.findall(r"series \d+", str(found.refusal)))


@pytest.mark.parametrize("spacing", [(0.6, 0.5), (0.55, 0.5)])
@pytest.mark.parametrize("changes", [MPR, FAT, {**AGENT, "AcquisitionTime": "110000"}])
def test_no_merit_decides_between_weightings_of_like_pixels(build, inspect, changes, spacing):
    found = inspect([*build.t2(**changes), *build.t2(15, **{**HASTE, "spacing": spacing}), *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "echo or repetition time" in str(found.refusal)


def test_a_merit_may_decide_for_a_clearly_finer_t2_of_another_weighting(build, inspect):
    fat_suppressed = build.t2(15, ScanOptions="FS", EchoTime=80, spacing=(0.9, 0.9))
    assert inspect([*build.study(), *fat_suppressed]).numbers["t2"] == 4


def test_the_frame_of_reference_tells_no_weighting_from_another(build, inspect):
    haste = build.t2(15, **{**HASTE, "spacing": (0.3, 0.3)})
    found = inspect([*build.t2(**ELSEWHERE), *haste, *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS


@pytest.mark.parametrize("fine", [MPR, FAT, AGENT, ELSEWHERE, {"gap": 1.5}])
def test_no_merit_decides_against_a_finer_t2(build, inspect, fine):
    pelvis = build.t2(15, "t2_tse_tra_pelvis", spacing=(1.0, 1.0), AcquisitionTime="090000")
    found = inspect([*build.t2(**fine), *pelvis, *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "the first is coarser" in str(found.refusal)


@pytest.mark.parametrize("number", [4, 15])
@pytest.mark.parametrize("undated", [{"AcquisitionTime": ""}, {"AcquisitionDate": ""}])
def test_the_latest_of_which_one_has_no_time_is_not_known(build, inspect, number, undated):
    images = [*build.t2(4, AcquisitionTime="100000"), *build.t2(15, AcquisitionTime="110000")]
    for image in images:
        if image.SeriesNumber == number:
            for keyword, value in undated.items():
                setattr(image, keyword, value)
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "when they were acquired" in str(found.refusal)


def test_the_date_of_the_series_stands_in_for_that_of_the_acquisition(build, inspect):
    early = build.t2(4, AcquisitionTime="235900")
    late = build.t2(15, AcquisitionTime="000500", AcquisitionDate="", SeriesDate="20240103")
    assert inspect([*early, *late, *build.dwi(), *build.adc()]).numbers["t2"] == 15


@pytest.mark.parametrize(
    "name", ["t2_tse_tra post KM", "T2 ax delayed", "T2 TSE ax +C", "T2 C+ AX", "t2 gadovist", "T2 GD"]
)
def test_contrast_may_be_named_by_a_word(build, inspect, name):
    found = inspect(with_rival(build, {"description": name}))
    assert found.numbers["t2"] == 4
    assert "loses by: before contrast" in found.why(15)


@pytest.mark.parametrize("name", ["t2_tse_tra ohne KM", "T2 pre GD", "t2_tse_posterior"])
def test_a_word_may_deny_contrast(build, inspect, name):
    assert inspect(with_rival(build, {"description": name})).numbers["t2"] == 15


@pytest.mark.parametrize(
    "given",
    [
        {"ContrastBolusAgent": "Gd"},
        {"description": "t1_twist_dyn", "ScanningSequence": "GR"},
    ],
)
@pytest.mark.parametrize(("time", "number"), [("100500", 4), ("235900", 15)])
def test_what_follows_a_contrast_series_is_after_contrast(build, inspect, given, time, number):
    t2 = [*build.t2(4, AcquisitionTime="100000"), *build.t2(15, AcquisitionTime="101000")]
    t1 = {"description": "t1", "EchoTime": 2, "RepetitionTime": 5, "AcquisitionTime": time, **given}
    assert inspect([*t2, *build.t2(20, **t1), *build.dwi(), *build.adc()]).numbers["t2"] == number


def test_a_repeat_that_ends_earlier_is_refused(build, inspect):
    found = inspect([*build.study(), *build.t2(15, slices=11, AcquisitionTime="110000")])
    assert found.reason is Reason.SLICE_MISSING
    assert "series 15 has 11 slices, series 4" in str(found.refusal)
    assert inspect([*build.study(), *build.t2(15, slices=13, AcquisitionTime="110000")]).numbers["t2"] == 15


@pytest.mark.parametrize(
    "changes", [{"description": "t2_tse_tra_local"}, {"description": "T2 AX (DCE MATCHED)"}, {"EchoTime": 58}]
)
def test_a_t2_that_is_none_by_a_word_or_its_echo_time_is_not_passed_over(build, write, inspect, changes):
    folder = write([*build.t2(**changes), *build.t2(15, **HASTE), *build.dwi(), *build.adc()])
    found = inspect(folder)
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "series 15, series 4" in str(found.refusal)
    assert inspect(folder, t2="4").numbers["t2"] == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": (1.0, 1.0)},
        {"EchoTime": 30},
        {"RepetitionTime": 900},
        {"ScanningSequence": "GR"},
        {"slices": 9},
        {"orientation": (0, 1, 0, 0, 0, -1)},
    ],
)
def test_a_localizer_that_can_be_no_t2_disturbs_nobody(build, inspect, changes):
    assert inspect([*build.study(), *build.t2(15, "localizer", **changes)]).numbers["t2"] == 4


@pytest.mark.parametrize("kept", [slice(2, None), slice(0, None, 2)])
def test_numbers_tell_of_slices_that_leave_no_gap(build, inspect, kept):
    images = build.t2(slices=24)[kept]
    found = inspect([*images, *build.dwi(), *build.adc()])
    assert found.reason is Reason.SLICE_MISSING
    assert "numbered" in str(found.refusal)


@pytest.mark.parametrize(
    "number_of",
    [
        lambda place: 5 * place % 12,  # shuffled
        lambda place: 7 * (5 * place % 12),
        lambda place: 7,
        lambda place: 101 + place,  # counted through the study
        lambda place: 12 - place,
    ],
)
def test_numbers_that_do_not_count_the_slices_tell_nothing(build, inspect, number_of):
    images = build.t2()
    for place, image in enumerate(images):
        image.InstanceNumber = number_of(place)
    assert inspect([*images, *build.dwi(), *build.adc()]).numbers["t2"] == 4
