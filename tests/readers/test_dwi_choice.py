"""Which diffusion is chosen, of which series, and by which tie-break."""

import pytest

from prostate_alm.errors import Reason
from prostate_alm.readers import read_study

ORIGINAL = ["ORIGINAL", "PRIMARY", "DIFFUSION"]


def test_a_derived_b_value_above_every_acquired_one_was_calculated(build, inspect):
    found = inspect([*build.study(), *build.dwi((1400,), number=8)])
    assert found.roles[8] == "calculated b"


def test_calculated_images_inside_an_acquired_series_are_left_out(build, write):
    images = build.dwi((50, 800, 1500))
    for image in images[24:]:
        image.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "CALC_BVALUE"]
    assert list(read_study(write([*build.t2(), *images, *build.adc()])).dwi) == [50, 800]


def test_an_unknown_b_value_is_refused(build, inspect):
    images = build.dwi()
    for image in images[:12]:
        del image.DiffusionBValue
    assert inspect([*build.t2(), *images, *build.adc()]).reason is Reason.B_VALUE_UNKNOWN


def test_dwi_with_several_b_values_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi((1400,), number=9, ImageType=ORIGINAL, EchoTime=80)])
    assert found.numbers["dwi"] == 6
    assert "several acquired b-values" in found.why(6)


def test_dwi_with_the_highest_b_value_up_to_1500_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi((0, 1000), number=9), *build.dwi((0, 2000), number=10)])
    assert found.numbers["dwi"] == 9


def test_dwi_with_an_adc_on_its_grid_wins(build, inspect):
    found = inspect([*build.study(), *build.dwi(number=9, spacing=(2.0, 1.7))])
    assert found.numbers["dwi"] == 6
    assert "ADC" in found.why(6)


def test_two_equally_good_dwi_are_ambiguous(build, inspect):
    found = inspect([*build.study(), *build.dwi(number=9)])
    assert found.reason is Reason.SERIES_AMBIGUOUS
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


def test_a_derived_b_value_that_nothing_calls_acquired_is_left_out_or_refused(build, write, tmp_path, inspect):
    """A calculated b 1000 without its name, among series of one b-value each."""
    acquired = [image for b, number in ((50, 8), (400, 9), (800, 10)) for image in one_b(build, b, number)]
    calculated = build.dwi((1000,), number=11, description="ep2d_diff_b1000")
    rest = [*build.t2(), *build.adc()]
    found = inspect([*acquired, *calculated, *rest])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [8, 9, 10]
    assert "calculated" in found.why(11)
    for image in acquired:
        del image.SequenceName
    silent = build.write([*acquired, *calculated, *rest], tmp_path / "silent")
    found = inspect(silent)
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "b 1000 of series 11" in str(found.refusal)
    named = inspect(silent, dwi="8+9+10")
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
    assert found.reason is Reason.SLICE_MISSING
    assert "series 8 + 9, b 800" in str(found.refusal)


def test_b_values_of_different_echo_times_are_not_joined(build, inspect):
    b50, b800 = build.dwi((50,), number=8), build.dwi((800,), number=9, EchoTime=90)
    found = inspect([*build.t2(), *b50, *b800, *build.adc()])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [9]


def test_the_same_b_value_in_two_series_is_ambiguous(build, inspect):
    found = inspect([*build.t2(), *build.dwi((800,), number=8), *build.dwi((800,), number=9), *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS


def test_trace_images_come_before_single_directions(build, inspect):
    directions = [image for _ in range(3) for image in build.dwi(number=5)]
    for image in directions:
        image.SeriesInstanceUID = directions[0].SeriesInstanceUID
    found = inspect([*directions, *build.study()])
    assert found.numbers["dwi"] == 6


def test_b_0_in_a_series_of_its_own_is_joined_whatever_it_looks_like(build, write):
    plain = {"ImageType": ["ORIGINAL", "PRIMARY", "M"], "ScanningSequence": "SE"}
    b0, b800 = build.dwi((0,), number=5, description="SShDWI", **plain), one_b(build, 800, 6)
    assert list(read_study(write([*build.t2(DiffusionBValue=0.0), *b0, *b800, *build.adc()])).dwi) == [0, 800]


@pytest.mark.parametrize("finer", [{"spacing": (1.6, 1.5)}, {"gap": 3.0, "slices": 14}])
def test_no_higher_b_value_makes_coarser_diffusion_the_one_of_the_prostate(build, write, inspect, finer):
    folder = write([*build.study(), *build.dwi((50, 400, 900), number=9, **finer), *build.dwi((0, 1000), number=10)])
    found = inspect(folder)
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "series 10, series 9" in str(found.refusal)
    assert inspect(folder, dwi="9").numbers["dwi"] == 9


def test_finer_diffusion_without_a_high_b_value_disturbs_nobody(build, inspect):
    found = inspect([*build.study(), *build.dwi((50, 400), number=9, spacing=(1.6, 1.5))])
    assert found.numbers["dwi"] == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "SE"]},
        {"ImageType": [*ORIGINAL, "ND"]},
        {"EchoTime": 120},
    ],
)
def test_images_of_two_kinds_have_no_mean(build, inspect, changes):
    images, others = build.dwi(ImageType=ORIGINAL), build.dwi(**{"ImageType": ORIGINAL, **changes})
    for image in others:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    found = inspect([*build.t2(), *images, *others, *build.adc()])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "ImageType" in str(found.refusal)


@pytest.mark.parametrize(
    "reverse",
    [{"description": "ep2d_diff_b0_PA"}, {"description": "DWI revPE"}, {"InPlanePhaseEncodingDirection": "ROW"}],
)
def test_b_0_of_another_phase_encoding_is_not_joined(build, inspect, reverse):
    b0 = build.dwi((0,), number=5, **reverse)
    series = [*one_b(build, 400, 8), *one_b(build, 800, 9)]
    for image in series:
        image.InPlanePhaseEncodingDirection = "COL"
    found = inspect([*build.t2(), *b0, *series, *build.adc()])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [8, 9]


def test_a_name_that_all_series_of_one_b_value_share_keeps_none_apart(build, inspect):
    series = [one for b, number in ((50, 8), (800, 9)) for one in one_b(build, b, number, description="diff_PA")]
    found = inspect([*build.t2(), *series, *build.adc()])
    assert [one.number for one in found.chosen if one.role == "dwi"] == [8, 9]


def test_directions_do_not_win_over_the_trace_by_a_higher_b_value(build, inspect):
    dti = [one for _ in range(3) for one in build.dwi((0, 1000), number=9, ImageType=ORIGINAL)]
    for image in dti:
        image.SeriesInstanceUID = dti[0].SeriesInstanceUID
    found = inspect([*build.study(), *dti])
    assert found.reason is Reason.SERIES_AMBIGUOUS
    assert "single directions" in str(found.refusal)
