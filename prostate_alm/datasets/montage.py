"""One picture a study: T2, high-b DWI and ADC side by side at the same places of the patient."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates

from prostate_alm.preprocessing.grid import box_grid
from prostate_alm.preprocessing.prepare import ADC_LIMIT, HIGH_B_ACCEPTED, choose_high_b
from prostate_alm.study import FloatArray, Geometry, Matrix, Study, Volume

FIELD_MM = 128.0  # width and height of a tile
EXTENT_MM = 48.0  # from the middle of the first slice shown to that of the last, where T2 reaches so far
TILE, GAP = 170, 4  # pixels
LEFT, TOP, BOTTOM = 34, 22, 42  # margins for labels
COLUMNS = 5
GROUND, INK, DIM = 0, 235, 160  # grey values
# It comes with Pillow, so that the bytes are the same everywhere; it has no × and no ².
_TEXT, _SMALL = ImageFont.load_default(13), ImageFont.load_default(11)


@dataclass(frozen=True, eq=False)
class Plane:
    """A square of the patient that is shown in a tile.

    Attributes:
        slice_number: of T2, from 1, the lowest in the patient first.
        offset_mm: along the slice normal from the middle of the T2 volume, up is positive.
        positions: ``[TILE, TILE, 3]``: patient position in mm of each pixel, row by row from the front.
    """

    slice_number: int
    offset_mm: float
    positions: Matrix


def write_montage(study: Study, path: Path) -> None:
    """Write the picture as a PNG, so that `path` holds either nothing, the old one, or the whole new one.

    T2 is cut at its own slices, DWI and ADC by linear interpolation at the same places. The patient's right is on
    the left. T2 and DWI are windowed from the 1st to the 99th percentile of what is shown, ADC from 0 to 3000e-6
    mm²/s. The same study gives the same bytes; the file holds no text but what is drawn.

    Args:
        study: its key is drawn into the picture.
        path: the picture; its folder must be there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    draw_montage(study).save(temporary, format="PNG")
    temporary.replace(path)


def draw_montage(study: Study) -> Image.Image:
    """The picture: 8-bit grey."""
    high_b = _high_b(study)
    shown = shown_planes(study.t2.geometry)
    rows = (
        ("T2", _windowed([cut(study.t2, plane) for plane in shown])),
        (f"b {high_b:g}", _windowed([cut(study.dwi[high_b], plane) for plane in shown])),
        ("ADC", [_scaled(cut(study.adc, plane), 0.0, ADC_LIMIT) for plane in shown]),
    )
    step = TILE + GAP
    picture = Image.new("L", (LEFT + COLUMNS * step, TOP + len(rows) * step + BOTTOM), GROUND)
    draw = ImageDraw.Draw(picture)
    for column, plane in enumerate(shown):
        text = f"slice {plane.slice_number} of {_slices(study.t2.geometry)}, {plane.offset_mm:+.0f} mm"
        draw.text((LEFT + column * step, 5), text, fill=DIM, font=_SMALL)
    for row, (name, tiles) in enumerate(rows):
        _draw_row_name(picture, name, TOP + row * step)
        for column, tile in enumerate(tiles):
            picture.paste(Image.fromarray(tile), (LEFT + column * step, TOP + row * step))
    for line, text in enumerate(_caption(study, high_b)):
        draw.text(
            (LEFT, TOP + len(rows) * step + 4 + 18 * line), text, fill=(INK, DIM)[line], font=(_TEXT, _SMALL)[line]
        )
    return picture


def shown_planes(t2: Geometry) -> list[Plane]:
    """The slices of T2 that are shown, from the lowest to the highest, evenly spaced around the middle."""
    one = (1.0, 1.0, 1.0)  # only its axes are wanted
    in_plane = box_grid(t2, box_mm=one, spacing_mm=one).direction
    axis = _slice_axis(t2)
    count, step = t2.shape[axis], t2.spacing[axis]
    up = 1 if t2.direction[2, axis] > 0 else -1
    reach = min(EXTENT_MM / 2, step * (count - 1) / 2)
    pixels = (np.arange(TILE) - (TILE - 1) / 2) * FIELD_MM / TILE
    square = pixels[None, :, None] * in_plane[:, 0] + pixels[:, None, None] * in_plane[:, 1]
    planes: list[Plane] = []
    for wanted in np.linspace(-reach, reach, COLUMNS):
        number = round((count - 1) / 2 + wanted / step)  # counted from the lowest
        index = (np.array(t2.shape) - 1) / 2
        index[axis] = number if up > 0 else count - 1 - number
        middle = (t2.affine @ np.append(index, 1.0))[:3]
        planes.append(Plane(number + 1, (number - (count - 1) / 2) * step, middle + square))
    return planes


def cut(volume: Volume, plane: Plane) -> FloatArray:
    """Values of a volume in a plane, ``[TILE, TILE]`` as a picture; NaN outside of the volume."""
    to_index = np.linalg.inv(volume.geometry.affine)
    index = np.moveaxis(plane.positions @ to_index[:3, :3].T + to_index[:3, 3], -1, 0)
    size = np.array(volume.geometry.shape).reshape(3, 1, 1)
    inside = ((index >= -0.5) & (index <= size - 0.5)).all(axis=0)
    values = map_coordinates(volume.data, index, order=1, mode="nearest")
    return np.where(inside, values, np.float32("nan")).astype(np.float32)


def _slice_axis(geometry: Geometry) -> int:
    return int(np.argmax(np.abs(geometry.direction[2])))


def _slices(geometry: Geometry) -> int:
    return geometry.shape[_slice_axis(geometry)]


def _high_b(study: Study) -> float:
    """What the network would see; the highest where it would refuse."""
    low, high = HIGH_B_ACCEPTED
    return choose_high_b(study.dwi) if any(low <= b <= high for b in study.dwi) else max(study.dwi)


def _windowed(tiles: Sequence[FloatArray]) -> list[NDArray[np.uint8]]:
    values = np.concatenate([tile[np.isfinite(tile)] for tile in tiles])
    low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
    return [_scaled(tile, float(low), float(high)) for tile in tiles]


def _scaled(tile: FloatArray, low: float, high: float) -> NDArray[np.uint8]:
    """To 8 bits; what is outside of the volume is black."""
    unit = (np.nan_to_num(tile, nan=low) - low) / max(high - low, 1e-6)
    return np.rint(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)


def _draw_row_name(picture: Image.Image, name: str, top: int) -> None:
    """Upright in the left margin, beside the row's tiles."""
    label = Image.new("L", (TILE, LEFT - GAP), GROUND)
    ImageDraw.Draw(label).text((TILE / 2, (LEFT - GAP) / 2), name, fill=INK, font=_TEXT, anchor="mm")
    picture.paste(label.rotate(90, expand=True), (0, top))


def _caption(study: Study, high_b: float) -> tuple[str, str]:
    """Key and acquisition; then how the tiles are windowed."""
    scanner = study.acquisition
    tesla = "" if scanner.field_strength is None else f"{scanner.field_strength:g} T"
    facts = (
        study.key,
        f"T2 {_millimetres(study.t2)}",
        f"DWI {_millimetres(study.dwi[high_b])}, b {'/'.join(f'{b:g}' for b in study.dwi)}",
        " ".join(word for word in (scanner.vendor, tesla) if word),
    )
    windows = (
        f"Window: T2 and b {high_b:g} 1st to 99th percentile, ADC 0 to {ADC_LIMIT:g}e-6 mm^2/s. "
        f"{FIELD_MM:g} mm wide; the patient's right is on the left."
    )
    return "   ".join(fact for fact in facts if fact), windows


def _millimetres(volume: Volume) -> str:
    return " x ".join(f"{step:.3g}" for step in volume.geometry.spacing) + " mm"
