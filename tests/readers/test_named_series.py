"""What a person names is read, as far as it can be what it was named for."""

import pytest

from prostate_alm.errors import ArgumentError, Reason, StudyRefusedError
from prostate_alm.readers import SeriesChoice, inspect_study, read_study


def refusal(folder, **names):
    with pytest.raises(StudyRefusedError) as caught:
        read_study(folder, series=SeriesChoice(**names))
    return caught.value


def numbers(study):
    return [(str(one.role), one.number) for one in study.series]


@pytest.mark.parametrize("name", ["5", " 5 ", "T2_TSE_TRA_REPEAT"])
def test_a_person_decides_what_is_ambiguous(build, write, name):
    repeat = build.t2(number=5, description="t2_tse_tra_repeat", AcquisitionTime="100004")
    folder = write([*build.study(), *repeat])  # the same time as series 4: refused without a name
    assert inspect_study(folder).refusal is not None
    study = read_study(folder, series=SeriesChoice(t2=name))
    assert numbers(study) == [("t2", 5), ("dwi", 6), ("adc", 7)]
    assert study.flags == (Reason.SERIES_NAMED_BY_HAND,)
    inspection = inspect_study(folder, series=SeriesChoice(t2=name))
    assert inspection.flags == study.flags
    assert "named by hand" in next(one.why for one in inspection.found if one.number == 5)


def test_nothing_named_is_the_rules_choice(build, write):
    folder = write(build.study())
    assert read_study(folder, series=SeriesChoice(t2="", dwi=None)).flags == ()


def test_one_b_value_a_series(build, write):
    images = [image for number, b in ((8, 50), (9, 800), (10, 800)) for image in build.dwi((b,), number=number)]
    folder = write([*build.t2(), *images, *build.adc()])
    assert refusal(folder).reason is Reason.SERIES_AMBIGUOUS
    study = read_study(folder, series=SeriesChoice(dwi="8+10"))
    assert numbers(study) == [("t2", 4), ("dwi", 8), ("dwi", 10), ("adc", 7)]


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"description": "T1 TSE"}, True),  # a name is only a name
        ({"EchoTime": 50}, True),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, False),
        ({"ScanningSequence": "EP"}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, False),
    ],
)
def test_a_name_outranks_words_and_limits_but_not_geometry(build, write, changes, accepted):
    folder = write([*build.t2(number=5, **changes), *build.study()])
    if accepted:
        assert numbers(read_study(folder, series=SeriesChoice(t2="5")))[0] == ("t2", 5)
    else:
        assert refusal(folder, t2="5").reason is Reason.SERIES_NOT_FOUND


@pytest.mark.parametrize("names", [{"dwi": "7"}, {"adc": "6"}, {"t2": "6"}, {"dwi": "4"}, {"adc": "4"}, {"dwi": "8"}])
def test_series_are_not_taken_for_what_they_are_not(build, write, names):
    original = ["ORIGINAL", "PRIMARY", "DIFFUSION"]
    calculated = build.dwi((1400,), number=8, description="CALC_BVAL")
    folder = write([*build.t2(), *build.dwi(ImageType=original), *build.adc(), *calculated])
    error = refusal(folder, **names)
    assert error.reason is Reason.SERIES_NOT_FOUND
    assert "can't be that" in str(error)


@pytest.mark.parametrize("image_type", [["DERIVED", "SECONDARY", "PROCESSED"], ["DERIVED"]])
def test_a_map_that_nothing_gives_away_is_known_by_hand(build, write, image_type):
    adc = build.adc(number=8, description="map 1", ImageType=image_type, ScanningSequence="RM")
    folder = write([*build.t2(), *build.dwi(), *adc])
    assert numbers(read_study(folder)) == [("t2", 4), ("dwi", 6)]
    assert numbers(read_study(folder, series=SeriesChoice(adc="8"))) == [("t2", 4), ("dwi", 6), ("adc", 8)]


@pytest.mark.parametrize(
    ("role", "changes", "words"),
    [
        ("t2", {"ScanningSequence": "GR", "EchoTime": 1.7, "RepetitionTime": 4.0}, "gradient echo"),
        ("t2", {"ScanningSequence": "GR"}, "gradient echo"),
        ("t2", {"EchoTime": 12}, "echo time 12 ms"),
        ("t2", {"RepetitionTime": 600}, "repetition time 600 ms"),
        ("t2", {"InversionTime": 220}, "inversion recovery"),
        ("t2", {"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]}, "map"),
        ("adc", {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA"]}, "anisotropy"),
        ("adc", {"ImageType": ["DERIVED", "SECONDARY"], "description": "Exponential"}, "exponential"),
        ("adc", {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"], "DiffusionBValue": 800.0}, "diffusion"),
    ],
)
def test_physics_outranks_a_name(build, write, role, changes, words):
    series = build.t2 if role == "t2" else build.adc
    folder = write([*series(**{"number": 9, "description": "series nine", **changes}), *build.study()])
    error = refusal(folder, **{role: "9"})
    assert error.reason is Reason.SERIES_NOT_FOUND
    assert words in str(error)


def test_a_named_map_off_the_grid_is_refused(build, write):
    folder = write([*build.study(), *build.adc(number=8, spacing=(1.8, 1.5))])
    assert refusal(folder, adc="8").reason is Reason.GEOMETRY_INVALID


def test_a_named_series_with_a_hole_is_refused(build, write):
    broken = build.t2(number=5)
    del broken[4]
    assert refusal(write([*build.study(), *broken]), t2="5").reason is Reason.SLICE_MISSING


@pytest.mark.parametrize("name", ["99", "no such series"])
def test_what_is_not_there(build, write, name):
    error = refusal(write(build.study()), t2=name)
    assert error.reason is Reason.SERIES_NOT_FOUND
    assert "4, 6, 7" in str(error)
    assert "no such series" not in str(error)


def test_a_name_that_two_series_have_is_ambiguous(build, write):
    folder = write([*build.study(), *build.t2(number=5)])
    assert refusal(folder, t2="t2_tse_tra").reason is Reason.SERIES_AMBIGUOUS


def test_only_diffusion_takes_several_numbers():
    with pytest.raises(ArgumentError, match="`t2`"):
        SeriesChoice(t2="4+5")
