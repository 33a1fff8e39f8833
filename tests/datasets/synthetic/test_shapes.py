"""Soft shapes have the volume that geometry says, wherever the grid lies."""

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.anatomy import GLAND_POWER, GLAND_VOLUME_FACTOR
from prostate_alm.datasets.synthetic.shapes import WHOLE, Ellipsoid, Grid, Shape, Shell, Tube, Wedge, inside

GRID = Grid((120, 110, 60), (1.0, 1.0, 2.0))


def volume(shape: Shape, grid: Grid = GRID, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> float:
    """Volume in mm³ of what is painted on the grid."""
    box = grid.box(shape.bounds, 2.0, shift)
    level = np.broadcast_to(shape.level(*grid.coordinates(box, shift)), [part.stop - part.start for part in box])
    return float(inside(level, 1.5).sum() * np.prod(grid.spacing))


def test_an_ellipsoid_has_its_volume_anywhere_and_turned() -> None:
    expected = 4 / 3 * np.pi * 30 * 20 * 25
    assert volume(Ellipsoid((0, 0, 0), (30, 20, 25))) == pytest.approx(expected, rel=0.02)
    assert volume(Ellipsoid((7.3, -4.1, 9.7), (30, 20, 25))) == pytest.approx(expected, rel=0.02)
    assert volume(Ellipsoid((0, 0, 0), (30, 20, 25), turn=0.7)) == pytest.approx(expected, rel=0.02)
    assert volume(Ellipsoid((0, 0, 0), (30, 20, 25)), shift=(5.0, -3.0, 2.0)) == pytest.approx(expected, rel=0.02)


def test_the_gland_has_the_volume_it_was_drawn_with() -> None:
    gland = Ellipsoid((0, 0, 0), (26, 22, 24), GLAND_POWER)
    assert volume(gland) == pytest.approx(GLAND_VOLUME_FACTOR * 26 * 22 * 24, rel=0.02)


def test_bounds_hold_all_of_a_wobbly_turned_shape() -> None:
    shape = Ellipsoid((3, 2, 1), (25, 12, 18), 2.4, turn=0.6, wobble=((0.1, 0.05, 0.1, 1.0, 0.08),))
    everywhere = inside(shape.level(*GRID.coordinates(WHOLE)), 1.5).sum() * np.prod(GRID.spacing)
    assert volume(shape) == pytest.approx(float(everywhere), rel=1e-6)


def test_a_shell_is_the_skin_alone() -> None:
    sphere = Ellipsoid((0, 0, 0), (20, 20, 20))
    assert volume(Shell(sphere, 2.0)) == pytest.approx(4 * np.pi * 20**2 * 2.0, rel=0.05)


def test_a_tube_follows_its_bend_and_ends_at_its_bottom() -> None:
    tube = Tube((0.0, 10.0), (8.0, 6.0), slope=0.1, bend=0.002, bottom=-20.0)
    height = 59 + 1 - (-20)  # the grid's top face, and the bottom
    assert volume(tube) == pytest.approx(np.pi * 8 * 6 * height, rel=0.03)
    assert tube.centre_y(np.array([0.0, 10.0], np.float32)) == pytest.approx([10.0, 11.2])


def test_a_wedge_opens_along_its_direction() -> None:
    wedge = Wedge((0, 0, 0), direction=np.pi / 2, half_angle=0.3, half_height=10.0)

    def at(x: float, y: float, z: float) -> float:
        point = np.array([[x], [y], [z]], np.float32)
        return float(wedge.level(point[0], point[1], point[2])[0])

    assert at(20, 0, 0) < 0  # straight to the left
    assert at(20, 10, 0) > 0
    assert at(-20, 0, 0) > 0
    assert at(20, 0, 11) > 0
