"""Pictures of `image.npz` and `occlusion.npz`: what the model saw, voxel by voxel, and where it looked.

A picture holds all slices of a series, one below the other, the lowest in the patient first; one voxel is one pixel.
Rows run from anterior to posterior, columns from the patient's right to the left.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prostate_alm.errors import ArgumentError
from prostate_alm.study import FloatArray

Channel = Literal["t2", "dwi", "adc"]
NetworkPath = Literal["t2", "diffusion"]
CHANNELS: tuple[Channel, ...] = ("t2", "dwi", "adc")
ADC_CENTRE, ADC_SCALE, ADC_LIMIT = 1200.0, 600.0, 3000.0  # how `preprocessing` writes ADC; 1e-6 mm²/s
FOR_DCE, AGAINST_DCE = (255, 176, 64), (110, 170, 255)  # amber and blue: told apart by everybody, and neither is green
STRONGEST = 120  # of 255, opacity of the strongest place
FAINT = 0.08  # of the strongest place; what is weaker stays clear


@dataclass(frozen=True)
class ModelImage:
    """What the network saw of a study.

    Attributes:
        image: ``[C, H, W, D]``: H to the patient's left, W to posterior, D to superior.
        spacing: voxel size in mm along H, W, D.
        high_b: b-value of the DWI in s/mm².
    """

    image: FloatArray
    spacing: tuple[float, float, float]
    high_b: float

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.image.shape[-1]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of a slice."""
        _, columns, rows, _ = self.image.shape
        return columns * self.spacing[0], rows * self.spacing[1]

    def channel(self, name: Channel) -> FloatArray:
        """``[H, W, D]`` of one series."""
        return self.image[CHANNELS.index(name)]


def read_image(path: Path) -> ModelImage:
    """Read `image.npz`.

    Raises:
        OSError: there is none (any more).
        ArgumentError: it holds something else.
    """
    with np.load(path, allow_pickle=False) as content:
        if list(content["channels"]) != list(CHANNELS):
            raise ArgumentError(f"`channels` must be {list(CHANNELS)}; the image is of another release, send it again.")
        height, width, depth = (float(step) for step in content["spacing_mm"])
        return ModelImage(content["image"], (height, width, depth), float(content["high_b"]))


def read_occlusion(path: Path) -> dict[NetworkPath, FloatArray]:
    """Read `occlusion.npz`: for each path of the network ``[H, W, D]``, by how much hiding a place lowers the logit.

    Raises:
        OSError: there is none (any more).
    """
    with np.load(path, allow_pickle=False) as content:
        return {"t2": content["t2"], "diffusion": content["diffusion"]}


def channel_png(image: ModelImage, name: Channel) -> bytes:
    """All slices of a series in grey.

    T2 and DWI run from their least to their greatest value in the image: preprocessing has clipped what is beyond.
    ADC runs from 0 to 3000e-6 mm²/s. Places without a value hold a zero, as the model saw them.
    """
    values = image.channel(name)
    if name == "adc":
        low, high = -ADC_CENTRE / ADC_SCALE, (ADC_LIMIT - ADC_CENTRE) / ADC_SCALE
    else:
        low, high = float(values.min()), float(values.max())
    unit = (values - low) / max(high - low, 1e-6)
    return _png(_stacked(np.rint(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)))


def occlusion_png(values: FloatArray, strongest: float) -> bytes:
    """The overlay: amber where a place speaks for DCE, blue where it speaks against; opacity is the strength.

    Args:
        values: ``[H, W, D]``, drop of the logit.
        strongest: magnitude that is drawn most opaque, the same for both paths so that they can be compared.
    """
    strength = np.clip(np.abs(values) / max(strongest, 1e-12), 0.0, 1.0)
    opacity = np.where(strength >= FAINT, strength * STRONGEST, 0.0)
    colour = np.where((values > 0)[..., None], FOR_DCE, AGAINST_DCE)
    picture = np.concatenate([colour, np.rint(opacity)[..., None]], axis=-1).astype(np.uint8)
    return _png(_stacked(picture))


def _stacked(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[H, W, D, ...]`` -> ``[D * W, H, ...]``: rows of a picture are W, and the slices follow each other."""
    rows_first = np.moveaxis(values, (2, 1, 0), (0, 1, 2))
    return np.ascontiguousarray(rows_first.reshape(-1, *rows_first.shape[2:]))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
