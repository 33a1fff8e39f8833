"""What the network saw of a patient and where it looked: one slice, five tiles side by side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prostate_alm.errors import ArgumentError
from prostate_alm.html_page import EmbeddedPicture, embedded

TILE, GAP = 168, 4  # pixels
TILES = ("T2", "high-b DWI", "ADC", "T2 path: where it looked", "diffusion path: where it looked")
FOR_DCE, AGAINST_DCE = (255, 176, 64), (110, 170, 255)  # as on the service's page; told apart by everybody
STRONGEST, FAINT = 0.5, 0.08
"""Opacity of the strongest place, and the share of its strength below which a place stays clear."""
ADC_WINDOW = (-2.0, 3.0)  # network units of 0 to 3000e-6 mm²/s

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class CasePicture:
    """A case in a page.

    Attributes:
        picture: its tiles.
        slice_number: that is shown, from 1, the lowest in the patient first.
        slices: of the image.
    """

    picture: EmbeddedPicture
    slice_number: int
    slices: int


def draw_case(image: FloatArray, *, t2_map: FloatArray, diffusion_map: FloatArray) -> CasePicture:
    """The slice on which hiding a place moves the score most.

    Amber: the place speaks for contrast, hiding it lowers the score; blue: it speaks against. Both overlays have one
    scale, so that the paths can be compared.

    Args:
        image: ``[3, H, W, D]``: T2, DWI, ADC in network units; H to the patient's left, W to posterior.
        t2_map: ``[H, W, D]``, drop of the logit when a place is hidden from the T2 path.
        diffusion_map: the same for the diffusion path.

    Raises:
        ArgumentError: the arrays do not fit together.
    """
    if image.ndim != 4 or image.shape[0] != 3 or not image.shape[1:] == t2_map.shape == diffusion_map.shape:
        raise ArgumentError(
            f"expected an image [3, H, W, D] and two maps [H, W, D], got {image.shape}, {t2_map.shape} and "
            f"{diffusion_map.shape}."
        )
    strength = np.maximum(np.abs(t2_map), np.abs(diffusion_map)).max(axis=(0, 1))
    shown = int(strength.argmax()) if strength.max() > 0 else image.shape[-1] // 2
    t2, dwi, adc = (_grey(channel, shown, _window(channel, name)) for channel, name in zip(image, "tda", strict=True))
    strongest = max(float(strength.max()), 1e-12)
    tiles = (
        t2,
        dwi,
        adc,
        _overlaid(t2, t2_map[..., shown] / strongest),
        _overlaid(dwi, diffusion_map[..., shown] / strongest),
    )
    width = len(tiles) * (TILE + GAP) - GAP
    picture = Image.new("RGB", (width, TILE), (255, 255, 255))
    for place, tile in enumerate(tiles):
        picture.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.BICUBIC), (place * (TILE + GAP), 0))
    return CasePicture(embedded(picture, quality=72), shown + 1, image.shape[-1])


def _window(channel: FloatArray, name: str) -> tuple[float, float]:
    """ADC by its unit; the others from the 1st to the 99.5th percentile of the image."""
    if name == "a":
        return ADC_WINDOW
    low, high = np.percentile(channel, (1.0, 99.5))
    return float(low), float(high)


def _grey(channel: FloatArray, shown: int, window: tuple[float, float]) -> NDArray[np.uint8]:
    """A slice as a picture ``[W, H, 3]``: rows run from anterior to posterior."""
    low, high = window
    unit = np.clip((channel[..., shown].T - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.repeat(np.rint(unit * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _overlaid(grey: NDArray[np.uint8], strength: FloatArray) -> NDArray[np.uint8]:
    """Colour over grey; ``strength`` runs from -1 to 1, ``[H, W]``."""
    signed = strength.T
    size = np.abs(signed)
    opacity = np.where(size >= FAINT, size * STRONGEST, 0.0)[..., None]
    colour = np.where((signed > 0)[..., None], FOR_DCE, AGAINST_DCE)
    return np.rint(grey * (1 - opacity) + colour * opacity).astype(np.uint8)
