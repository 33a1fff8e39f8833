"""Acquire one synthetic patient: anatomy through the scanner's physics to a `Study`."""

import numpy as np

from prostate_alm.datasets.synthetic import artefacts
from prostate_alm.datasets.synthetic import tissue as ts
from prostate_alm.datasets.synthetic.anatomy import Anatomy, Part, draw_anatomy
from prostate_alm.datasets.synthetic.presets import Cause, PatientPlan, Scanner, Truth, draw_truth
from prostate_alm.datasets.synthetic.shapes import Array, Grid, Point, inside
from prostate_alm.study import Acquisition, Geometry, Matrix, Role, Series, Study, Volume

TEXTURE_STEP_MM = (2.4, 2.4, 4.0)
TEXTURE_NODES = (80, 96, 26)


def synthesize_study(plan: PatientPlan) -> tuple[Study, Truth]:
    """Render one patient.

    Returns:
        The study, its values rounded to integers as a scanner stores them, and the latent truth.
    """
    truth = draw_truth(plan)
    return acquire_study(truth, truth.scanner, plan.rng(1), key=plan.key), truth


def acquire_study(truth: Truth, scanner: Scanner, rng: np.random.Generator, *, key: str) -> Study:
    """Render a patient of this truth on a scanner of any grid; the study's volumes share the frame `key`."""
    anatomy = draw_anatomy(truth, rng)
    texture = rng.standard_normal((2, *TEXTURE_NODES), dtype=np.float32)
    frame = _prescription(rng)
    t2 = _acquire_t2(anatomy, texture[0], scanner, rng)
    stack, adc = _acquire_dwi(anatomy, texture, truth, scanner, rng)
    t2_geometry = _geometry(Grid(scanner.t2_shape, scanner.t2_spacing), frame)
    dwi_geometry = _geometry(Grid(scanner.dwi_shape, scanner.dwi_spacing), frame)
    return Study(
        key=key,
        t2=Volume(t2, t2_geometry, key),
        dwi={b: Volume(volume, dwi_geometry, key) for b, volume in zip(scanner.b_values, stack, strict=True)},
        adc=Volume(adc, dwi_geometry, key),
        series=(
            Series(Role.T2, 3, "t2_tse_tra"),
            Series(Role.DWI, 4, "ep2d_diff_tra", scanner.b_values),
            Series(Role.ADC, 5, "ep2d_diff_tra_ADC", scanner.b_values),
        ),
        acquisition=Acquisition(scanner.name, f"synthetic {scanner.name}", 3.0),
    )


def _prescription(rng: np.random.Generator) -> Matrix:
    """``[4, 4]`` from the prescription's frame to the patient's: an oblique tilt and the table's position."""
    tilt, turn = np.deg2rad(rng.uniform(0, 26)), np.deg2rad(rng.normal(0, 2.5))
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    frame = np.eye(4)
    frame[:3, :3] = about_x @ about_z
    frame[:3, 3] = rng.normal(0, (4, 15, 20))
    return frame


def _geometry(grid: Grid, frame: Matrix) -> Geometry:
    """The grid in patient space; its middle is the prescription's origin."""
    local = np.eye(4)
    local[:3, :3] = np.diag(grid.spacing)
    local[:3, 3] = [float(axis[0]) for axis in grid.axes]
    return Geometry(grid.shape, frame @ local)


def _acquire_t2(anatomy: Anatomy, texture: Array, scanner: Scanner, rng: np.random.Generator) -> Array:
    """``[X, Y, Z]`` stored T2w values."""
    grid, gain = Grid(scanner.t2_shape, scanner.t2_spacing), scanner.gain * rng.uniform(0.8, 1.25)
    signals = [ts.spin_echo(part.tissue, scanner.t2_te) for part in anatomy.parts]
    image = _render(anatomy, grid, [ts.spin_echo(ts.FAT, scanner.t2_te), *signals])[0]
    image *= 1 + np.float32(0.07) * _sample(texture, grid)
    image *= _coil(grid, rng)
    sigma = ts.spin_echo(ts.PERIPHERAL_ZONE, scanner.t2_te) / np.float32(scanner.t2_snr)
    return _stored(ts.rician(image, sigma, rng), gain)


def _acquire_dwi(
    anatomy: Anatomy, texture: Array, truth: Truth, scanner: Scanner, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Stored diffusion values ``[B, X, Y, Z]``, and the ADC ``[X, Y, Z]`` fitted from them."""
    grid, gain = Grid(scanner.dwi_shape, scanner.dwi_spacing), scanner.gain * rng.uniform(0.4, 0.7)
    b_values = np.array(scanner.b_values, dtype=np.float32)
    shift = tuple(float(value) for value in rng.normal(0, 1.2, 3))
    tissues = [ts.FAT, *(part.tissue for part in anatomy.parts)]
    signals = [ts.diffusion(tissue, scanner.dwi_te, scanner.b_values) for tissue in tissues]
    stack = _render(anatomy, grid, signals, (shift[0], shift[1], shift[2]))
    stack *= 1 + np.float32(0.06) * _sample(texture[0], grid)
    stack *= np.exp(-b_values[:, None, None, None] * np.float32(70e-6) * _sample(texture[1], grid))
    stack = _spoil(stack, anatomy, truth, grid, rng)
    reference = ts.diffusion(ts.PERIPHERAL_ZONE, scanner.dwi_te, scanner.b_values)[0]
    sigma = reference / scanner.dwi_snr / np.sqrt(np.array(scanner.averages, dtype=np.float32))
    stored = _stored(ts.rician(stack, sigma[:, None, None, None].astype(np.float32), rng), gain)
    return stored, np.rint(ts.fit_adc(stored, scanner.b_values, floor=6.0 * float(sigma[0]) * gain))


def _spoil(stack: Array, anatomy: Anatomy, truth: Truth, grid: Grid, rng: np.random.Generator) -> Array:
    """Distort as every EPI does, then add the patient's own loss of quality."""
    if anatomy.has_gas:
        gas = truth.severity if truth.artefact == Cause.GAS_DISTORTION.value else 0.0
        stack = artefacts.dephase(stack, anatomy, gas, grid)
    stack = artefacts.distort(stack, artefacts.field_map(anatomy, truth, grid, rng), grid.spacing[1])
    if truth.artefact == Cause.PROSTHESIS_VOID.value:
        stack = artefacts.metal_void(stack, truth.severity, grid, rng)
    if truth.artefact == Cause.MOTION_GHOSTING.value:
        stack = artefacts.ghost(stack, truth.severity, rng)
    return stack


def _render(anatomy: Anatomy, grid: Grid, signals: list[Array], shift: Point = (0.0, 0.0, 0.0)) -> Array:
    """Paint the parts over the first signal, the background: ``[C, X, Y, Z]``."""
    background = signals[0]
    canvas = np.empty((len(background), *grid.shape), dtype=np.float32)
    canvas[:] = background[:, None, None, None]
    for part, signal in zip(anatomy.parts, signals[1:], strict=True):
        _paint(canvas, part, signal, grid, shift)
    return canvas


def _paint(canvas: Array, part: Part, signal: Array, grid: Grid, shift: Point) -> None:
    edge = max(1.2, 1.3 * grid.spacing[0])
    box = grid.box(part.shape.bounds, edge, shift)
    x, y, z = grid.coordinates(box, shift)
    if not (x.size and y.size and z.size):
        return
    weight = inside(part.shape.level(x, y, z), edge) * np.float32(part.opacity)
    for shape in part.within:
        weight = weight * inside(shape.level(x, y, z), edge)
    for shape in part.outside:
        weight = weight * (1 - inside(shape.level(x, y, z), edge))
    for channel, value in zip(canvas, signal, strict=True):
        region = channel[box]
        region += weight * (value - region)


def _sample(texture: Array, grid: Grid) -> Array:
    """A random field with nodes every few mm, interpolated linearly onto the grid: ``[X, Y, Z]``."""
    sampled = texture
    for axis, (coordinates, nodes, step) in enumerate(zip(grid.axes, TEXTURE_NODES, TEXTURE_STEP_MM, strict=True)):
        position = np.clip(coordinates / step + (nodes - 1) / 2, 0, nodes - 1.001)
        low = position.astype(int)
        weights = np.zeros((len(position), nodes), dtype=np.float32)
        weights[np.arange(len(position)), low] = 1 - (position - low)
        weights[np.arange(len(position)), low + 1] = position - low
        sampled = np.moveaxis(np.tensordot(weights, sampled, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(sampled)


def _coil(grid: Grid, rng: np.random.Generator) -> Array:
    """A smooth sensitivity around 1, ``[X, Y, Z]``, as surface coils leave it."""
    x, y, z = grid.axes
    slope, bow = rng.normal(0, 0.10, 3), rng.uniform(-0.05, 0.12, 2)
    across = 1 + slope[0] * x / 80 + bow[0] * (x / 80) ** 2
    along = 1 + slope[1] * y / 80 + bow[1] * (y / 80) ** 2
    up = 1 + slope[2] * z / 40
    return (across[:, None, None] * along[None, :, None] * up[None, None, :]).astype(np.float32)


def _stored(image: Array, gain: float) -> Array:
    """What a scanner stores: rounded to integers of 12 bits."""
    return np.clip(np.rint(image * np.float32(gain)), 0, 4095).astype(np.float32)
