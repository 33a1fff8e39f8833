"""What each series is, and what a study lacks."""

import pytest
from pydicom.dataset import Dataset

from prostate_alm.errors import Reason
from prostate_alm.readers import read_study

CALCULATED = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]


def test_a_plain_study(build, inspect):
    found = inspect(build.study())
    assert found.roles == {4: "axial T2", 6: "DWI", 7: "ADC"}
    assert found.numbers == {"t2": 4, "dwi": 6, "adc": 7}
    assert next(one.b_values for one in found.chosen if one.role == "dwi") == (50, 800)
    assert "(0018,9087)" in found.why(6)
    assert found.runners_up == ()


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
    assert found.reason is Reason.T2_MISSING
    assert words in found.why(4)


def test_a_3d_t2_and_an_opaque_name_are_accepted(build, inspect):
    found = inspect([*build.t2(description="SPACE p2 iso", EchoTime=203), *build.dwi(), *build.adc()])
    assert found.numbers["t2"] == 4


def test_several_echo_times_or_temporal_positions_are_no_t2(build, inspect):
    images = build.t2()
    for image in images[6:]:
        image.TemporalPositionIdentifier = 2
    assert inspect([*images, *build.dwi(), *build.adc()]).reason is Reason.T2_MISSING


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
    assert found.roles[9] == role


def test_a_calculated_b_value_is_known_by_its_sequence_name(build, inspect):
    extra = build.dwi((1000,), number=8, SequenceName="*ep_b50_800")
    found = inspect([*build.study(), *extra])
    assert found.roles[8] == "calculated b"
    assert found.numbers["dwi"] == 6


def test_a_protocol_name_that_says_dce_changes_nothing(build, inspect):
    found = inspect([*build.t2(), *build.dwi(), *build.adc(ProtocolName="PRO DCE W_T1 MAPPING")])
    assert found.numbers["adc"] == 7


def test_no_t2(build, inspect):
    assert inspect([*build.dwi(), *build.adc()]).reason is Reason.T2_MISSING


def test_no_dwi(build, inspect):
    assert inspect([*build.t2(), *build.adc()]).reason is Reason.DWI_MISSING


def test_only_a_calculated_b_value_is_no_dwi_and_said_so(build, inspect):
    found = inspect([*build.t2(), *build.dwi((1500,), description="CALC_BVAL"), *build.adc()])
    assert found.reason is Reason.DWI_MISSING
    assert "b 1500 was calculated" in str(found.refusal)


def test_b_0_alone_is_no_dwi(build, inspect):
    assert inspect([*build.t2(), *build.dwi((0,)), *build.adc()]).reason is Reason.DWI_MISSING


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
    assert found.reason is Reason.T2_MISSING
    assert words in found.why(4)


def test_dozens_of_dynamic_series_change_nothing(build, inspect):
    dynamic = [
        image
        for point in range(30)
        for image in build.series(100 + point, "AX", EchoTime=1.5, RepetitionTime=4.0, ScanningSequence="GR", slices=2)
    ]
    assert inspect([*dynamic, *build.study()]).numbers == {"t2": 4, "dwi": 6, "adc": 7}


def test_an_inversion_time_of_0_says_nothing(build, inspect):
    assert inspect([*build.t2(InversionTime=0), *build.dwi(), *build.adc()]).numbers["t2"] == 4


def test_an_enhanced_inversion_recovery_is_no_t2(build, inspect):
    late = build.enhanced(build.t2(number=15, AcquisitionTime="235959"))
    for group in late.PerFrameFunctionalGroupsSequence:
        modifier = Dataset()
        modifier.InversionRecovery = "YES"
        group.MRModifierSequence = [modifier]
    assert inspect([*build.study(), late]).roles[15] == "other"


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "FAT: Ax T2 IDEAL"},
        {"description": "t2_tse_dixon_tra_F"},
        {"description": "T2 fat only"},
        {"description": "t2_dixon_opp"},
        {"ImageType": ["DERIVED", "PRIMARY", "DIXON", "FAT"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "F", "F", "SE"]},
    ],
)
def test_a_fat_image_is_no_t2(build, inspect, changes):
    found = inspect([*build.t2(**changes), *build.dwi(), *build.adc()])
    assert found.reason is Reason.T2_MISSING
    assert "shows fat" in found.why(4)


@pytest.mark.parametrize("water", [{"description": "WATER: Ax T2 IDEAL"}, {"description": "t2 fat sat dixon W"}])
def test_the_water_image_beside_it_is_read(build, inspect, water):
    images = [*build.t2(**water), *build.t2(5, "FAT: Ax T2 IDEAL"), *build.dwi(), *build.adc()]
    assert inspect(images).numbers["t2"] == 4


@pytest.mark.parametrize("part", ["P", "PHASE MAP", "R", "I"])
def test_a_phase_image_is_neither_t2_nor_diffusion(build, inspect, part):
    image_type = {"ImageType": ["ORIGINAL", "PRIMARY", part, "SE"]}
    found = inspect([*build.study(), *build.t2(14, **image_type), *build.dwi(number=16, **image_type)])
    assert found.numbers == {"t2": 4, "dwi": 6, "adc": 7}
    assert {found.roles[14], found.roles[16]} == {"other"}


@pytest.mark.parametrize(
    ("description", "changes", "b_values"),
    [
        ("DWI b50 b400 b800 for ADC", {}, (50, 400, 800)),
        ("DWI ADC b800", {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION"]}, (800,)),
        ("DWI ADC b800", {}, (800,)),  # TRACEW
        ("DWI ADC b800", {"ImageType": ["DERIVED", "PRIMARY"], "SequenceName": "*ep_b800t"}, (800,)),
    ],
)
def test_the_word_adc_makes_no_map_of_weighted_images(build, inspect, description, changes, b_values):
    found = inspect([*build.t2(), *build.dwi(b_values, description=description, **changes), *build.adc()])
    assert found.numbers == {"t2": 4, "dwi": 6, "adc": 7}
