"""Random crop of the zero-padded image and random horizontal flip, on a whole batch at once.

Source: the augmentation of He et al. 2016 for CIFAR (section 4.2), which Cao et al. 2019 use too.
"""

from dataclasses import dataclass

import torch

from prostate_alm.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Crops:
    """One draw for each image.

    Attributes:
        top: ``[B]`` first row of the crop in the padded image.
        left: ``[B]`` first column of the crop in the padded image.
        flip: ``[B]``, True where left and right change places after the crop.
    """

    top: torch.Tensor
    left: torch.Tensor
    flip: torch.Tensor


def draw_crops(batch: int, *, padding: int, generator: torch.Generator | None = None) -> Crops:
    """Offsets from 0 to ``2 * padding`` and flips with probability 1/2."""
    device = None if generator is None else generator.device
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator, device=device)
    flip = torch.rand(batch, generator=generator, device=device) < 0.5
    return Crops(offsets[0], offsets[1], flip)


def apply_crops(images: torch.Tensor, crops: Crops, *, padding: int) -> torch.Tensor:
    """Crop ``[B, C, H, W]`` images, zero-padded on each side, back to their size; no value is interpolated."""
    batch, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    columns = torch.arange(width, device=images.device)
    columns = torch.where(crops.flip[:, None], width - 1 - columns, columns) + crops.left[:, None]
    rows = torch.arange(height, device=images.device) + crops.top[:, None]
    places = rows[:, :, None] * padded.shape[-1] + columns[:, None, :]
    places = places.reshape(batch, 1, height * width).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, places).reshape(images.shape)


class CropFlip:
    """Draw a crop and a flip for each image of a batch.

    Args:
        padding: zeros added on each side before the crop, in pixels.

    Raises:
        ArgumentError: `padding` is negative.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 0:
            raise ArgumentError(f"`padding` must be at least 0, got {padding}.")
        self.padding = padding

    def __call__(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the images, each cropped and perhaps flipped.

        Args:
            images: ``[B, 3, H, W]`` unsigned bytes; they stay as they are.
            generator: None is torch's global generator on the CPU, wherever the images lie.

        Raises:
            ArgumentError: `images` are not a batch of unsigned bytes.
        """
        if images.ndim != 4 or images.dtype != torch.uint8:
            raise ArgumentError(
                f"`images` must be [B, 3, H, W] unsigned bytes, got shape {list(images.shape)} of {images.dtype}; "
                "augment before the conversion to floats."
            )
        crops = draw_crops(len(images), padding=self.padding, generator=generator)
        moved = Crops(*(draw.to(images.device) for draw in (crops.top, crops.left, crops.flip)))
        return apply_crops(images, moved, padding=self.padding)
