"""Geometry through the front door: what a folder of slices becomes, or why it does not."""

import random

import numpy as np
import pytest
from pydicom.uid import generate_uid

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import read_study


def refusal(folder):
    with pytest.raises(StudyRefusedError) as caught:
        read_study(folder)
    return caught.value


def rotated(degrees_x, degrees_z):
    """Row and column direction of an axial plane, tilted about X and then turned about Z."""
    x, z = np.radians([degrees_x, degrees_z])
    tilt = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    turn = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return tuple((turn @ tilt @ np.eye(3)[:, :2]).T.ravel())


def assert_every_voxel_is_where_it_says(volume, signal):
    index = np.indices(volume.geometry.shape).reshape(3, -1)
    points = volume.geometry.affine @ np.vstack([index, np.ones(index.shape[1])])
    expected = signal(points[:3].T).reshape(volume.geometry.shape)
    assert np.abs(volume.data - expected).max() <= 1  # the written signal is rounded to whole numbers


@pytest.mark.parametrize(
    "orientation",
    [rotated(0, 0), rotated(18.5, 0), rotated(-30, 12), (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0), (0, 1, 0, -1, 0, 0)],
    ids=["axial", "tilted", "oblique", "turned by 180", "normal to the feet", "turned by 90"],
)
def test_each_voxel_lies_where_its_image_said(build, write, orientation):
    images = build.t2(orientation=orientation, PatientPosition="FFS")
    study = read_study(write([*images, *build.dwi(), *build.adc()]))
    assert study.t2.geometry.spacing == pytest.approx((0.5, 0.6, 3.6))
    assert study.t2.geometry.shape == (14, 10, 12)
    assert_every_voxel_is_where_it_says(study.t2, build.signal)
    assert_every_voxel_is_where_it_says(study.adc, build.signal)


def test_spacing_is_the_gap_between_slices_not_their_thickness(build, write):
    study = read_study(write(build.study()))
    assert study.t2.geometry.spacing[2] == pytest.approx(3.6)  # SliceThickness says 3.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_files_changes_nothing(build, tmp_path, seed):
    images = build.study()
    ordered = read_study(build.write(images, tmp_path / "ordered"))
    shuffle = random.Random(seed)
    shuffle.shuffle(images)
    for image in images:
        image.InstanceNumber = shuffle.randint(1, 999)
    shuffled = read_study(build.write(images, tmp_path / "shuffled"))
    assert shuffled.key == ordered.key
    assert np.array_equal(shuffled.t2.geometry.affine, ordered.t2.geometry.affine)
    assert np.array_equal(shuffled.adc.data, ordered.adc.data)
    for b in ordered.dwi:
        assert np.array_equal(shuffled.dwi[b].data, ordered.dwi[b].data)


def test_a_missing_slice_is_named_by_its_place(build, write):
    images = build.t2()
    del images[5]  # at -20 + 5 * 3.6
    error = refusal(write([*images, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING
    assert "series 4" in str(error)
    assert "z = -2.0 mm" in str(error)


@pytest.mark.parametrize(("index", "z"), [(12, "-20.0"), (17, "-2.0"), (23, "19.6")])
def test_a_slice_missing_in_one_b_value_is_named_even_at_the_edge(build, write, index, z):
    images = build.dwi()
    del images[index]
    error = refusal(write([*build.t2(), *images, *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING
    assert f"series 6, b 800: no image at z = {z} mm" in str(error)


def test_a_slice_missing_in_every_b_value_and_not_in_the_adc(build, write):
    images = build.dwi()
    del images[23], images[11]
    error = refusal(write([*build.t2(), *images, *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING
    assert "series 7, 12 slices" in str(error)


def test_an_edge_slice_is_missed_where_the_header_counts_images(build, write):
    images = build.t2(ImagesInAcquisition=12)
    assert read_study(write([*images, *build.dwi(), *build.adc()])).t2.geometry.shape[2] == 12


@pytest.mark.parametrize("series", ["t2", "dwi"])
def test_a_lost_edge_slice_is_refused_where_the_header_counts_images(build, write, series):
    t2 = build.t2(ImagesInAcquisition=12)
    dwi = build.dwi(ImagesInAcquisition=24, ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION"])
    if series == "t2":
        del t2[-1]
    else:
        del dwi[23], dwi[11]
    error = refusal(write([*t2, *dwi]))
    assert error.reason is Reason.SLICE_MISSING
    assert "its header counts" in str(error)


def test_a_derived_series_with_the_count_of_its_source_is_no_loss(build, write):
    study = read_study(write([*build.t2(), *build.dwi(ImagesInAcquisition=50), *build.adc(ImagesInAcquisition=50)]))
    assert study.adc.geometry.shape[2] == 12


def test_one_b_value_of_a_counted_acquisition_is_no_loss(build, write):
    original = ["ORIGINAL", "PRIMARY", "DIFFUSION"]
    b50 = build.dwi((50,), number=6, ImagesInAcquisition=24, ImageType=original)
    b800 = build.dwi((800,), number=7, ImagesInAcquisition=24, ImageType=original)
    assert list(read_study(write([*build.t2(), *b50, *b800])).dwi) == [50, 800]


@pytest.mark.parametrize("shift", [0.6, -0.6])  # 17 % of the gap
def test_an_uneven_gap_is_refused(build, write, shift):
    images = build.t2()
    images[-1].ImagePositionPatient = [-12.0, -9.0, -20.0 + 11 * 3.6 + shift]
    error = refusal(write([*images, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING


def test_a_gap_within_the_tolerance_is_accepted(build, write):
    images = build.t2()
    images[-1].ImagePositionPatient = [-12.0, -9.0, -20.0 + 11 * 3.6 + 0.4]
    study = read_study(write([*images, *build.dwi(), *build.adc()]))
    assert study.t2.geometry.spacing[2] == pytest.approx(3.6)  # the median


def test_a_doubled_slice_is_refused(build, write):
    images = build.t2()
    twin = build.t2()[3]
    twin.SeriesInstanceUID = images[0].SeriesInstanceUID
    error = refusal(write([*images, twin, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_DUPLICATE
    assert "2 images lie at z = -9.2 mm" in str(error)


def test_the_same_images_twice_under_new_uids_are_refused_in_the_t2(build, write):
    images, twins = build.t2(), build.t2()
    for twin in twins:
        twin.SeriesInstanceUID = images[0].SeriesInstanceUID
    error = refusal(write([*images, *twins, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_DUPLICATE


@pytest.mark.parametrize("orientation", [rotated(2, 0), rotated(0, 90), (0, 1, 0, 0, 0, -1)])
def test_mixed_orientations_are_refused(build, write, orientation):
    images = build.t2()
    images[4].ImageOrientationPatient = list(orientation)
    error = refusal(write([*images, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.ORIENTATION_MIXED


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", None),
        ("ImageOrientationPatient", None),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("PixelSpacing", [0, 0]),
        ("ImagePositionPatient", [-12.0, -7.0, -5.6]),  # 2 mm beside the stack
        ("FrameOfReferenceUID", "1.2.3"),
    ],
)
def test_an_image_of_another_or_no_geometry_is_refused(build, write, keyword, value):
    images = build.t2()
    if value is None:
        del images[4][keyword]
    else:
        setattr(images[4], keyword, value)
    error = refusal(write([*images, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.GEOMETRY_INVALID


@pytest.mark.parametrize("spacing", [[0.7, 0.5], [0.6, 0.51], [0.612, 0.5]])
def test_mixed_pixel_spacing_is_refused(build, write, spacing):
    images = build.t2()
    images[4].PixelSpacing = spacing
    assert refusal(write([*images, *build.dwi(), *build.adc()])).reason is Reason.SPACING_MIXED


def test_an_orientation_that_moves_no_corner_is_accepted(build, write):
    images = build.t2()
    images[4].ImageOrientationPatient = [0.999999995, 0.0001, 0, -0.0001, 0.999999995, 0]
    assert read_study(write([*images, *build.dwi(), *build.adc()])).t2.geometry.shape[2] == 12


def test_a_slice_beside_the_stack_is_refused_whichever_it_is(build, write):
    images = build.t2()
    images[0].ImagePositionPatient = [-12.0, -8.8, -20.0]  # 0.2 mm: it would move the whole volume
    assert refusal(write([*images, *build.dwi(), *build.adc()])).reason is Reason.GEOMETRY_INVALID


def test_b_values_that_lie_beside_each_other_are_refused(build, write):
    images = [*build.dwi((50,)), *build.dwi((800,), origin=(-12.0, -8.0, -20.0))]
    for image in images:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    assert refusal(write([*build.t2(), *images, *build.adc()])).reason is Reason.GEOMETRY_INVALID


@pytest.mark.parametrize("sign", [1, -1])
def test_a_position_that_contradicts_its_slice_location_is_refused(build, tmp_path, sign):
    images = build.study()
    for index, image in enumerate(images):
        image.SliceLocation = sign * (100 + 3.6 * (index % 12))
    assert read_study(build.write(images, tmp_path / "agrees")).t2.geometry.shape[2] == 12
    images[4].ImagePositionPatient = [-12.0, -9.0, -20.0 + 4 * 3.6 + 0.2]  # within the tolerance of a gap
    error = refusal(build.write(images, tmp_path / "contradicts"))
    assert error.reason is Reason.GEOMETRY_INVALID
    assert "slice location" in str(error)


def test_a_slice_location_that_measures_something_else_says_nothing(build, write):
    images = build.study()
    for index, image in enumerate(images):
        image.SliceLocation = (index % 12) ** 2
    assert read_study(write(images)).t2.geometry.shape[2] == 12


def test_an_edge_slice_that_lost_its_series_is_refused(build, write):
    images = build.t2()
    images[-1].SeriesInstanceUID = generate_uid()
    error = refusal(write([*images, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING
    assert "two series" in str(error)


def test_an_image_of_another_size_is_refused(build, write):
    images = build.t2()
    other = build.t2(size=(12, 14))[4]
    other.SeriesInstanceUID = images[0].SeriesInstanceUID
    error = refusal(write([*images[:4], other, *images[5:], *build.dwi(), *build.adc()]))
    assert error.reason is Reason.GEOMETRY_INVALID


def test_a_claimed_size_is_refused_before_memory_is_taken(build, write):
    images = build.t2(Rows=60_000, Columns=60_000)
    assert refusal(write([*images, *build.dwi(), *build.adc()])).reason is Reason.GEOMETRY_INVALID


def test_every_second_slice_left_out_is_refused_where_the_header_states_the_gap(build, write):
    t2 = build.t2(slices=20, SpacingBetweenSlices=3.6)[::2]
    error = refusal(write([*t2, *build.dwi(), *build.adc()]))
    assert error.reason is Reason.SLICE_MISSING
    assert "7.20 mm apart, their headers say 3.60 mm" in str(error)


@pytest.mark.parametrize("stated", [0.6, 3.6, -3.6, 0.0], ids=["between edges", "between centres", "negative", "zero"])
def test_a_stated_gap_in_either_reading_is_accepted(build, write, stated):
    images = build.t2(SpacingBetweenSlices=stated)
    assert read_study(write([*images, *build.dwi(), *build.adc()])).t2.geometry.spacing[2] == pytest.approx(3.6)


@pytest.mark.parametrize(("witnesses", "refused"), [(2, True), (1, False)])
def test_positions_that_two_other_elements_contradict_are_refused(build, write, witnesses, refused):
    t2 = build.t2(gap=3.24, SpacingBetweenSlices=3.6)  # stretched by 0.9
    for index, image in enumerate(t2):
        image.SliceLocation = index * (3.6 if witnesses == 2 else 3.24)
    folder = write([*t2, *build.dwi(), *build.adc()])
    if refused:
        assert refusal(folder).reason is Reason.GEOMETRY_INVALID
    else:
        assert read_study(folder).t2.geometry.spacing[2] == pytest.approx(3.24)
