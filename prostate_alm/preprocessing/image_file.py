"""Colour images from files, as the arrays that networks for small images were trained on."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from prostate_alm.errors import DatasetError


def png_files(folder: str | Path) -> list[Path]:
    """Return the PNG files of a folder, by name.

    Raises:
        DatasetError: there is none.
    """
    files = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() == ".png")
    if not files:
        raise DatasetError(f"expected PNG files in `{folder}`, found none; name the folder that holds them.")
    return files


class ReadRGB:
    """Read an image file as red, green and blue; grey and palette images are converted, transparency is dropped.

    Args:
        size: of the images in pixels, height and width; others are refused, since a network for small images gives a
            number for a large one too, but one without meaning.
    """

    def __init__(self, size: int = 32) -> None:
        self.size = size

    def __call__(self, path: str | Path) -> torch.Tensor:
        """uint8 ``[3, H, W]``, row by row from the top.

        Raises:
            DatasetError: the file is no image, or one of another size.
        """
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise DatasetError(f"`{Path(path).name}` can't be read as an image: {error}.") from None
        if pixels.shape[:2] != (self.size, self.size):
            height, width = pixels.shape[:2]
            raise DatasetError(
                f"`{Path(path).name}` has {width} x {height} pixels, the network was trained on {self.size} x "
                f"{self.size}; cut or scale it before."
            )
        return torch.from_numpy(pixels).permute(2, 0, 1)
