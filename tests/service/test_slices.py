"""Pictures against voxels read one by one."""

import io

import numpy as np
import pytest
from PIL import Image

from prostate_alm.errors import ArgumentError
from prostate_alm.service.slices import Channel, ModelImage, channel_png, occlusion_png, read_image, read_occlusion

SHAPE = (5, 4, 3)  # columns, rows, slices


def picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def image_of(t2, *, dwi=None, adc=None) -> ModelImage:
    zeros = np.zeros(SHAPE, np.float32)
    channels = [zeros if values is None else np.asarray(values, np.float32) for values in (t2, dwi, adc)]
    return ModelImage(np.stack(channels), (1.0, 2.0, 3.0), 800.0)


def test_each_voxel_is_the_pixel_of_its_column_row_and_slice():
    values = np.arange(60, dtype=np.float32).reshape(SHAPE)
    pixels = picture(channel_png(image_of(values), "t2"))
    columns, rows, slices = SHAPE
    assert pixels.shape == (slices * rows, columns)
    for column in range(columns):
        for row in range(rows):
            for level in range(slices):
                expected = round(float(values[column, row, level]) / 59 * 255)
                assert pixels[level * rows + row, column] == expected


def test_t2_and_dwi_fill_the_range_and_nothing_is_cut_off():
    values = np.random.default_rng(0).normal(size=SHAPE)
    images: dict[Channel, ModelImage] = {"t2": image_of(values), "dwi": image_of(None, dwi=values)}
    for name, image in images.items():
        pixels = picture(channel_png(image, name))
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert (pixels == 0).sum() == (pixels == 255).sum() == 1


@pytest.mark.parametrize(("adc", "grey"), [(0.0, 0), (1500.0, 128), (3000.0, 255)])
def test_the_same_adc_has_the_same_grey_in_every_patient(adc, grey):
    network_units = np.full(SHAPE, (adc - 1200.0) / 600.0)
    assert set(picture(channel_png(image_of(None, adc=network_units), "adc")).ravel()) == {grey}


def test_adc_is_written_as_preprocessing_does():
    """The API process imports no torch, and so not the module that holds them."""
    from prostate_alm.preprocessing import prepare
    from prostate_alm.service import slices

    names = ("ADC_CENTRE", "ADC_SCALE", "ADC_LIMIT")
    assert [getattr(slices, name) for name in names] == [getattr(prepare, name) for name in names]


def test_a_constant_series_is_drawn():
    assert picture(channel_png(image_of(np.full(SHAPE, 2.0)), "t2")).max() == 0


def test_the_overlay_shows_direction_by_colour_and_strength_by_opacity():
    drop = np.zeros(SHAPE, np.float32)
    drop[1, 2, 0], drop[3, 0, 2], drop[0, 0, 1] = 2.0, -1.0, 0.01
    pixels = picture(occlusion_png(drop, strongest=2.0))
    rows = SHAPE[1]
    for_dce, against = pixels[2, 1].astype(int), pixels[2 * rows, 3].astype(int)
    assert for_dce[0] > for_dce[2]
    assert against[2] > against[0]
    assert for_dce[3] == pytest.approx(2 * against[3], abs=1)
    assert (pixels[..., 3] > 0).sum() == 2
    assert all(colour[1] < max(colour[0], colour[2]) for colour in (for_dce, against)), "neither is green"


def test_both_paths_share_one_strength():
    weak = picture(occlusion_png(np.full(SHAPE, 0.5, np.float32), strongest=2.0))
    strong = picture(occlusion_png(np.full(SHAPE, 2.0, np.float32), strongest=2.0))
    assert strong[0, 0, 3] == pytest.approx(4 * weak[0, 0, 3], abs=3)


def test_an_image_is_read_as_it_was_written(tmp_path):
    image = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    written = {"image": image, "channels": np.array(["t2", "dwi", "adc"]), "spacing_mm": (1, 2, 3), "high_b": 800.0}
    np.savez(tmp_path / "image.npz", **written)
    read = read_image(tmp_path / "image.npz")
    np.testing.assert_array_equal(read.channel("adc"), image[2])
    assert (read.slices, read.size_mm, read.high_b) == (3, (5.0, 8.0), 800.0)


def test_an_image_with_other_channels_is_refused(tmp_path):
    np.savez(tmp_path / "image.npz", image=np.zeros((3, *SHAPE)), channels=np.array(["adc", "dwi", "t2"]))
    with pytest.raises(ArgumentError, match="channels"):
        read_image(tmp_path / "image.npz")


def test_a_deleted_image_is_missed(tmp_path):
    with pytest.raises(OSError, match=r"image\.npz"):
        read_image(tmp_path / "image.npz")
    with pytest.raises(OSError, match=r"occlusion\.npz"):
        read_occlusion(tmp_path / "occlusion.npz")
