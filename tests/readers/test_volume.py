import numpy as np
import pytest
from pydicom.uid import JPEGLosslessSV1, RLELossless

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import inspect_study, read_study


def test_slope_and_intercept_are_applied_image_by_image(build, tmp_path):
    plain = read_study(build.write(build.study(), tmp_path / "plain"))
    images = build.t2()
    for index, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = str(index + 0.5), str(-index)
    scaled = read_study(build.write([*images, *build.dwi(), *build.adc()], tmp_path / "scaled"))
    slope = np.arange(12) + 0.5
    assert np.allclose(scaled.t2.data, plain.t2.data * slope - np.arange(12), rtol=1e-6)


def test_signed_pixels(build, write):
    images = build.adc(PixelRepresentation=1)
    images[3].PixelData = np.full((8, 9), -5, "<i2").tobytes()
    assert (read_study(write([*build.t2(), *build.dwi(), *images])).adc.data[:, :, 3] == -5).all()


def test_directions_become_their_geometric_mean(build, write):
    images = []
    for number, value in enumerate((100, 200, 800)):
        for image in build.dwi((0, 800) if number == 0 else (800,)):
            if image.DiffusionBValue == 800:
                image.PixelData = np.full((8, 9), value, "<u2").tobytes()
            images.append(image)
    for image in images:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    study = read_study(write([*build.t2(), *images, *build.adc()]))
    assert np.allclose(study.dwi[800].data, (100 * 200 * 800) ** (1 / 3))
    assert study.dwi[0].data.std() > 0


def test_a_direction_missing_at_one_slice_is_refused(build, write):
    images = [image for _ in range(3) for image in build.dwi()]
    for image in images:
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
    del images[5]
    with pytest.raises(StudyRefusedError, match="SLICE_MISSING"):
        read_study(write([*build.t2(), *images, *build.adc()]))


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        {"PixelData": b"\0" * 40},
        {"RescaleSlope": "0"},
        {"BitsAllocated": 32},
    ],
)
def test_pixels_that_are_no_grey_values_are_refused(build, write, changes):
    images = build.t2()
    for keyword, value in changes.items():
        setattr(images[2], keyword, value)
    folder = write([*images, *build.dwi(), *build.adc()])
    with pytest.raises(StudyRefusedError) as caught:
        read_study(folder)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
    assert "series 4" in str(caught.value)
    assert inspect_study(folder).refusal is None  # it decodes no pixel


def test_run_length_encoding_is_read(build, tmp_path):
    images = build.study()
    key = read_study(build.write(images, tmp_path / "plain")).key
    for image in images:
        image.compress(RLELossless, generate_instance_uid=False)
    assert read_study(build.write(images, tmp_path / "encoded")).key == key


def test_an_encoding_that_nothing_decodes_is_refused(build, write):
    images = build.t2()
    images[2].compress(RLELossless, generate_instance_uid=False)
    images[2].file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(StudyRefusedError, match="PIXELS_UNREADABLE"):
        read_study(write([*images, *build.dwi(), *build.adc()]))


def test_the_key_follows_the_voxels_and_nothing_else(build, tmp_path):
    first = read_study(build.write(build.study(), tmp_path / "first"))
    other = build.study()  # every UID is new
    assert read_study(build.write(other, tmp_path / "other")).key == first.key
    other[0].PixelData = b"\1" + other[0].PixelData[1:]
    assert read_study(build.write(other, tmp_path / "changed")).key != first.key
    assert len(first.key) == 12
