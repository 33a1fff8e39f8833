"""The montage shows the same place of the patient in every row, and says nothing that is not drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prostate_alm.datasets.montage import COLUMNS, FIELD_MM, GAP, LEFT, TILE, TOP, draw_montage, write_montage
from prostate_alm.study import Acquisition, Geometry, Study, Volume

MARKER_MM = np.array([12.0, -20.0, 13.5])  # of the patient: to the left, to the front, up
Grid = tuple[tuple[int, int, int], tuple[float, float, float]]
T2_GRID: Grid = ((120, 120, 20), (1.2, 1.2, 3.0))
DWI_GRID: Grid = ((70, 90, 28), (2.1, 2.0, 2.5))


def geometry(grid: Grid, *, down: bool = False, shift: float = 0.0) -> Geometry:
    """Its middle lies at `shift` mm along each axis; `down` stores the highest slice first."""
    shape, spacing = grid
    affine = np.diag([*spacing, 1.0])
    if down:
        affine[2, 2] = -spacing[2]
    affine[:3, 3] = shift - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def marked(at: Geometry, brightness: float) -> Volume:
    """A bright ball of 4 mm around the marker on a dim ground."""
    index = np.stack(np.meshgrid(*map(np.arange, at.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(index @ at.affine[:3, :3].T + at.affine[:3, 3] - MARKER_MM, axis=-1)
    return Volume(np.where(distance < 4.0, brightness, 0.1 * brightness).astype(np.float32), at)


def study(t2: Geometry, dwi: Geometry) -> Study:
    high, low = marked(dwi, 400.0), marked(dwi, 700.0)
    return Study("key-1", marked(t2, 900.0), {50.0: low, 800.0: high}, marked(dwi, 2900.0))


def bright(picture: Image.Image, row: int) -> tuple[int, float, float]:
    """Column of the tile that holds most of a row's bright pixels, and the middle of those within it."""
    step = TILE + GAP
    strip = np.asarray(picture)[TOP + row * step :][:TILE]
    tiles = [strip[:, LEFT + column * step :][:, :TILE] > 220 for column in range(COLUMNS)]
    best = int(np.argmax([tile.sum() for tile in tiles]))
    ys, xs = np.nonzero(tiles[best])
    return best, float(xs.mean()), float(ys.mean())


@pytest.mark.parametrize(("down", "shift"), [(False, 0.0), (True, 0.0), (False, 5.0)])
def test_the_same_place_of_the_patient_is_shown_in_every_row(down: bool, shift: float) -> None:
    picture = draw_montage(study(geometry(T2_GRID, down=down), geometry(DWI_GRID, down=not down, shift=shift)))
    # 20 slices of 3 mm, five of them over 48 mm: -22.5, -10.5, 1.5, 13.5 and 25.5 mm from the middle
    pixels_per_mm = TILE / FIELD_MM
    x, y = (MARKER_MM[:2] * pixels_per_mm + (TILE - 1) / 2).tolist()
    for row in range(3):
        column, found_x, found_y = bright(picture, row)
        assert column == 3
        assert found_x == pytest.approx(x, abs=1.5)
        assert found_y == pytest.approx(y, abs=1.5)


def test_what_a_series_does_not_cover_is_black() -> None:
    half = geometry(((70, 90, 8), (2.1, 2.0, 2.5)))  # 20 mm of T2's 60
    picture = np.asarray(draw_montage(study(geometry(T2_GRID), half)))
    step = TILE + GAP
    adc = picture[TOP + 2 * step :][:TILE]
    assert adc[:, LEFT : LEFT + TILE].max() == 0
    assert adc[:, LEFT + 2 * step :][:, :TILE].min() > 0


def test_the_same_study_gives_the_same_bytes_and_no_text_beside_the_picture(tmp_path: Path) -> None:
    one = study(geometry(T2_GRID), geometry(DWI_GRID))
    write_montage(one, tmp_path / "first.png")
    write_montage(one, tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]
    with Image.open(tmp_path / "first.png") as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "L", {})
        assert picture.width == pytest.approx(900, abs=20)


@pytest.mark.parametrize("change", [lambda data: data * 0, lambda data: data * np.float32("nan")])
def test_a_volume_without_contrast_is_drawn_too(change: Callable[[np.ndarray], np.ndarray]) -> None:
    good = study(geometry(T2_GRID), geometry(DWI_GRID))
    flat = Volume(change(good.t2.data), good.t2.geometry)
    odd = Study("key-1", flat, {2000.0: good.dwi[800.0]}, good.adc, acquisition=Acquisition("Ünknown"))
    picture = np.asarray(draw_montage(odd))
    assert picture[TOP : TOP + TILE, LEFT : LEFT + TILE].max() == 0
