"""Artefacts: nothing at no displacement, signal kept while it moves, worse when more severe."""

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.artefacts import distort, ghost, metal_void
from prostate_alm.datasets.synthetic.shapes import WHOLE, Array, Grid

GRID = Grid((40, 48, 6), (2.0, 2.0, 4.0))


def make_stack() -> Array:
    x, y, z = GRID.coordinates(WHOLE)
    blob = 100 * np.exp(-(x**2 + y**2) / 2 / 12.0**2) * np.ones_like(z)
    return np.stack([blob, 0.5 * blob]).astype(np.float32)


def test_no_displacement_changes_nothing() -> None:
    stack = make_stack()
    assert distort(stack, np.zeros(GRID.shape, np.float32), 2.0) == pytest.approx(stack, abs=1e-4)


def test_a_constant_displacement_is_a_shift_to_posterior() -> None:
    stack = make_stack()
    moved = distort(stack, np.full(GRID.shape, 6.0, np.float32), 2.0)
    assert moved[:, :, 10:40] == pytest.approx(stack[:, :, 7:37], abs=1e-3)


def test_squeezed_signal_piles_up_and_is_kept_in_sum() -> None:
    stack, (_, y, _) = make_stack(), GRID.coordinates(WHOLE)
    field = np.broadcast_to(-8 * np.exp(-((y / 14) ** 2)), GRID.shape).astype(np.float32)
    moved = distort(stack, field, 2.0)
    assert moved.sum() == pytest.approx(stack.sum(), rel=0.02)
    assert moved.max() > 1.2 * stack.max()


def test_ghosts_take_signal_to_where_there_was_none_and_grow_with_severity() -> None:
    stack = make_stack()
    outside = stack[0] < 1.0

    def leaked(severity: float) -> float:
        ghosted = ghost(stack, severity, np.random.default_rng(3))
        return float(ghosted[0][outside].mean())

    assert leaked(0.0) < leaked(0.3) < leaked(1.0)
    assert leaked(1.0) > 3.0


def test_a_void_reaches_the_gland_only_when_severe() -> None:
    grid = Grid((84, 84, 5), (2.0, 2.0, 4.0))
    stack = np.full((2, *grid.shape), 100.0, dtype=np.float32)

    def beside_the_midline(severity: float) -> float:
        """The darker of 15 mm to the left and to the right."""
        spoiled = metal_void(stack, severity, grid, np.random.default_rng(0))
        return float(min(spoiled[0, 34, 42, 3], spoiled[0, 49, 42, 3]))

    assert beside_the_midline(0.1) == pytest.approx(100.0, rel=0.05)
    assert beside_the_midline(1.0) < 20.0
