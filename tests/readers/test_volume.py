import subprocess

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

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


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [0, 1])
def test_an_encoding_without_loss_gives_the_same_study(build, tmp_path, syntax, signed):
    t2, others = build.t2(size=(64, 60)), [*build.dwi(), *build.adc()]
    for place, image in enumerate(t2):
        image.PixelRepresentation, image.RescaleSlope, image.RescaleIntercept = signed, "2", "-3"
        values = np.random.default_rng(place).integers(-2000 * signed, 4095 - 2048 * signed, (64, 60))
        image.PixelData = values.astype("<i2").tobytes()
    plain = read_study(build.write([*t2, *others], tmp_path / "plain"))
    for image in t2:
        image.compress(syntax, generate_instance_uid=False)
    encoded = read_study(build.write([*t2, *others], tmp_path / "encoded"))
    assert np.array_equal(encoded.t2.data, plain.t2.data)
    assert encoded.t2.data.min() < -3 if signed else encoded.t2.data.min() >= -3


@pytest.mark.parametrize("signed", [0, 1])
def test_jpeg_lossless_is_read_as_it_was_written_and_as_dcm2niix_reads_it(build, tmp_path, signed):
    """GDCM encodes and decodes here; dcm2niix has a decoder of its own."""
    t2 = build.t2(size=(64, 60))
    for place, image in enumerate(t2):
        values = np.random.default_rng(place).integers(-2000 * signed, 4095 - 2048 * signed, (64, 60))
        image.PixelRepresentation, image.PixelData = signed, values.astype("<i2").tobytes()
    plain = read_study(build.write([*t2, *build.dwi(), *build.adc()], tmp_path / "plain"))
    for image in t2:
        build.jpeg_lossless(image, tmp_path / "frame.dcm")
    build.write(t2, tmp_path / "encoded" / "t2")
    build.write([*build.dwi(), *build.adc()], tmp_path / "encoded" / "others")
    assert np.array_equal(read_study(tmp_path / "encoded").t2.data, plain.t2.data)
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "t2", "-o", str(tmp_path), str(tmp_path / "encoded" / "t2")]
    subprocess.run(command, check=True, capture_output=True)
    theirs = np.asarray(nib.load(tmp_path / "t2.nii").dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    assert np.array_equal(theirs[:, ::-1], plain.t2.data)  # its rows run the other way


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
