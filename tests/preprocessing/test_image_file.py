"""A PNG file becomes the array that CIFAR holds, or is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prostate_alm.errors import DatasetError
from prostate_alm.preprocessing.image_file import ReadRGB, png_files


def test_pixels_come_back_channel_by_channel_row_by_row(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = ReadRGB()(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert image.shape == (3, 32, 32)
    assert (image.numpy() == pixels.transpose(2, 0, 1)).all()


def test_grey_images_and_transparency_become_three_channels(tmp_path: Path) -> None:
    Image.new("L", (32, 32), 9).save(tmp_path / "grey.png")
    Image.new("RGBA", (32, 32), (1, 2, 3, 4)).save(tmp_path / "transparent.png")
    assert ReadRGB()(tmp_path / "grey.png").unique().tolist() == [9]
    assert ReadRGB()(tmp_path / "transparent.png")[:, 0, 0].tolist() == [1, 2, 3]


def test_another_size_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 32)).save(tmp_path / "wide.png")
    with pytest.raises(DatasetError, match=r"`wide.png` has 40 x 32 pixels, the network was trained on 32 x 32"):
        ReadRGB()(tmp_path / "wide.png")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"`broken.png` can't be read"):
        ReadRGB()(tmp_path / "broken.png")


def test_a_truncated_image_is_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"`a.png` can't be read"):
        ReadRGB()(tmp_path / "a.png")


def test_files_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in png_files(tmp_path)] == ["a.PNG", "b.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found none"):
        png_files(tmp_path / "nowhere")
