"""The physical box every image is cut from, and sampling a volume on it."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from prostate_alm.errors import ArgumentError
from prostate_alm.study import Geometry, Matrix, Volume

TIE = 1e-3
"""In voxels, and as a share of weight: grids of round millimetres meet a volume's rim, and half of a hole, exactly; a
limit that stands aside of such ties does not flip with the last digit of an affine."""
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def box_grid(t2: Geometry, *, box_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return the grid of a box centred on the T2 volume, with the T2 volume's axes.

    The axes are ordered and signed so that they point nearest to left, posterior and superior: however the
    file stored its rows, the same anatomy comes to lie in the same corner of the array.

    Raises:
        ArgumentError: the box is no whole number of voxels.
    """
    shape = box_shape(box_mm, spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = _nearest_to_patient_axes(t2.direction) * np.array(spacing_mm)
    affine[:3, 3] = np.array(t2.centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def box_shape(box_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels along each axis of a box.

    Raises:
        ArgumentError: the box is no whole number of voxels.
    """
    x, y, z = (round(size / step) for size, step in zip(box_mm, spacing_mm, strict=True))
    if min(x, y, z) < 1 or np.abs(np.array((x, y, z)) * np.array(spacing_mm) - np.array(box_mm)).max() > 1e-6:
        raise ArgumentError(f"`box_mm` {box_mm} must be a whole number of voxels of {spacing_mm} mm.")
    return x, y, z


def _nearest_to_patient_axes(direction: Matrix) -> Matrix:
    """Order and sign the columns of `direction` so that column i points nearest to patient axis i."""
    order = [int(np.argmax(np.abs(direction[axis]))) for axis in range(3)]
    if sorted(order) != [0, 1, 2]:
        raise ArgumentError(
            "`direction` is tilted by 45 degrees or more, so that no axis is nearest to left; refuse it."
        )
    ordered = direction[:, order]
    return ordered * np.sign(np.diag(ordered))


def sample_on(volume: Volume, grid: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample `volume` on `grid` by linear interpolation, smoothed first where `grid` is coarser.

    Returns:
        Values and a mask of where the volume has voxels, both ``[X, Y, Z]`` of `grid` (float32, bool). Values
        outside the volume are 0.
    """
    smoothed = _smooth_for(volume.data.astype(np.float64), volume.geometry, grid)
    index = _voxel_index(volume.geometry, grid)
    values, inside = _interpolate(smoothed, index)
    return (values * inside).float(), inside


def sample_positive_on(volume: Volume, grid: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample `volume` on `grid` from its positive voxels only.

    Scanners write 0 where they could not fit an ADC. Interpolating across these zeros would invent low values,
    which read as cancer; here each value is the weighted mean of positive neighbours.

    Returns:
        Values and a mask of where positive voxels carry at least half of the weight.
    """
    positive = (volume.data > 0).astype(np.float64)
    index = _voxel_index(volume.geometry, grid)
    total, inside = _interpolate(_smooth_for(volume.data * positive, volume.geometry, grid), index)
    weight, _ = _interpolate(_smooth_for(positive, volume.geometry, grid), index)
    valid = inside & (weight >= 0.5 - TIE)
    return torch.where(valid, total / weight.clamp_min(0.5 - TIE), torch.zeros_like(total)).float(), valid


def _smooth_for(data: NDArray[np.float64], source: Geometry, grid: Geometry) -> NDArray[np.float64]:
    """Blur along the source's axes so that a voxel of `grid` averages what it covers (Gaussian, matched FWHM)."""
    steps = np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]) @ source.direction, axis=0)
    spacing = np.array(source.spacing)
    sigma_mm = np.sqrt(np.maximum((1.0 / steps) ** 2 - spacing**2, 0.0)) / FWHM_PER_SIGMA
    return gaussian_filter(data, sigma_mm / spacing, mode="nearest")


def _voxel_index(source: Geometry, grid: Geometry) -> torch.Tensor:
    """Fractional voxel index in `source` of each voxel of `grid`: ``[X, Y, Z, 3]`` float64."""
    matrix = torch.from_numpy(np.linalg.inv(source.affine) @ grid.affine)
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def _interpolate(data: NDArray[np.float64], index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear interpolation of `data` at `index`, and where `index` lies within the volume's voxels."""
    size = torch.tensor(data.shape, dtype=torch.float64)
    inside = ((index >= -0.5 - TIE) & (index <= size - 0.5 + TIE)).all(dim=-1)
    unit = 2.0 * index / (size - 1).clamp_min(1.0) - 1.0
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(data)[None, None],
        unit.flip(-1)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return sampled[0, 0], inside
