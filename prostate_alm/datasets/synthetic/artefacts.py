"""What goes wrong in echo-planar diffusion: distortion at gas, voids at metal, ghosts of motion."""

import numpy as np

from prostate_alm.datasets.synthetic.anatomy import Anatomy
from prostate_alm.datasets.synthetic.presets import Cause, Truth
from prostate_alm.datasets.synthetic.shapes import WHOLE, Array, Ellipsoid, Grid, inside


def field_map(anatomy: Anatomy, truth: Truth, grid: Grid, rng: np.random.Generator) -> Array:
    """How far EPI displaces the signal towards posterior, in mm, ``[X, Y, Z]``.

    Susceptibility at the front wall of a gas-filled rectum drags the gland; a smooth remainder of
    shimming is always there.
    """
    x, y, z = grid.coordinates(WHOLE)
    tilt = rng.normal(0, 0.9, 3)
    shim = tilt[0] * x / 60 + tilt[1] * y / 60 + tilt[2] * (x * x + y * y) / 3600
    if not anatomy.has_gas:
        return np.broadcast_to(shim.astype(np.float32), grid.shape).copy()
    severity = truth.severity if truth.artefact == Cause.GAS_DISTORTION.value else 0.0
    lumen, width = anatomy.rectum, 14 + 16 * severity
    wall = lumen.centre_y(z) - lumen.semi_axes[1]
    bump = np.exp(-(((x - lumen.centre[0]) / width) ** 2) - ((y - wall) / (9 + 11 * severity)) ** 2)
    amplitude = float(rng.choice((-1, 1))) * (rng.uniform(1.0, 2.2) + 16 * severity)
    return (shim + amplitude * bump).astype(np.float32)


def distort(stack: Array, displacement: Array, step_mm: float) -> Array:
    """Move the signal of ``[B, X, Y, Z]`` along Y by a field in mm; what is squeezed together adds up."""
    rows = displacement.shape[1]
    source = np.arange(rows, dtype=np.float32)[None, :, None] - displacement / np.float32(step_mm)
    jacobian = np.clip(np.gradient(source, axis=1), 0.15, 3.5)
    low = np.clip(np.floor(source), 0, rows - 2).astype(np.intp)
    share = np.clip(source - low, 0, 1)
    moved = [
        np.take_along_axis(volume, low, 1) * (1 - share) + np.take_along_axis(volume, low + 1, 1) * share
        for volume in stack
    ]
    return (np.stack(moved) * jacobian).astype(np.float32)


def dephase(stack: Array, anatomy: Anatomy, severity: float, grid: Grid) -> Array:
    """Signal lost next to rectal gas, through the thickness of a slice; reaches farther the worse it is."""
    x, y, z = grid.coordinates(WHOLE)
    lumen = anatomy.rectum
    wall = lumen.centre_y(z) - lumen.semi_axes[1]
    near = np.exp(-(((x - lumen.centre[0]) / (10 + 14 * severity)) ** 2) - ((y - wall) / (3 + 9 * severity)) ** 2)
    return stack * (1 - np.float32(min(1.0, 0.3 + 0.6 * severity)) * near).astype(np.float32)


def metal_void(stack: Array, severity: float, grid: Grid, rng: np.random.Generator) -> Array:
    """Signal lost around a hip prosthesis, with a bright rim; when severe it swallows half the gland."""
    side = float(rng.choice((-1.0, 1.0)))
    radius = 34 + 50 * severity + rng.uniform(-3, 3)
    void = Ellipsoid((side * 84, rng.normal(0, 6), rng.normal(5, 5)), (radius, radius * 0.9, radius * 0.9))
    level = void.level(*grid.coordinates(WHOLE))
    rim = np.float32(0.9) * np.exp(-(((level - 4) / 4) ** 2)) + 1
    return stack * (1 - inside(level, 8.0)) * rim


def ghost(stack: Array, severity: float, rng: np.random.Generator) -> Array:
    """Motion between the excitations: a phase that swings along the phase-encoding lines of k-space (Y).

    The copies grow with the b-value; each slice moves by itself.
    """
    rows, slices = stack.shape[2], stack.shape[3]
    lines = np.fft.fftfreq(rows)[:, None]
    frequency = rng.uniform(0.22, 0.5) * rows
    swing = rng.uniform(0.75, 1.25, slices) * (0.15 + 1.35 * severity)
    wave = np.sin(2 * np.pi * frequency * lines + rng.uniform(0, 2 * np.pi, slices)) * swing
    ghosted = []
    for volume, weight in zip(stack, np.linspace(0.6, 1.0, len(stack)), strict=True):
        spectrum = np.fft.fft(volume, axis=1) * np.exp(1j * weight * wave)
        ghosted.append(np.abs(np.fft.ifft(spectrum, axis=1)) * (1 - 0.3 * severity * weight))
    return np.stack(ghosted).astype(np.float32)
