"""Studies that code builds alike everywhere: what a machine must score as the machine of the training did.

Their voxels are whole numbers worked out in integers, since sines differ in the last bit from one processor to another.
A phantom never changes: ensembles hold the logits of its name. A better one gets a new name.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from prostate_alm.preprocessing.prepare import Preprocessing
from prostate_alm.study import Geometry, Study, Volume

Voxels = NDArray[np.int64]


def golden_studies() -> dict[str, Study]:
    """Built studies in the size of a patient, by name."""
    return {"waves": _waves(), "oblique": _oblique()}


def golden_images(preprocessing: Preprocessing) -> dict[str, torch.Tensor]:
    """The phantoms as a network sees them, ``[3, H, W, D]`` by name."""
    return {name: preprocessing(study).image for name, study in golden_studies().items()}


def _waves() -> Study:
    """Waves along the axes, all volumes on one grid that does not fill the box."""
    geometry = Geometry((48, 48, 20), np.diag([2.5, 2.5, 3.5, 1.0]))
    x, y, z = np.indices(geometry.shape)
    t2 = 240 + 16 * (_triangle(x, 30) + _triangle(y, 44) + _triangle(z, 18))
    low = 400 + 8 * (_triangle(x, 22) + _triangle(y, 34) + _triangle(z, 14))
    adc = 900 + 20 * (_triangle(x, 26) + _triangle(y, 18))
    dwi = {50.0: _volume(low, geometry), 800.0: _volume(low - adc // 6, geometry)}
    return Study("phantom-waves", _volume(t2, geometry), dwi, _volume(adc, geometry))


def _oblique() -> Study:
    """Grain and a focus that restricts diffusion, on turned grids of their own; the ADC map has holes."""
    turned = np.array([[0.8, -0.6, 0.0, -20.0], [0.6, 0.8, 0.0, -90.0], [0.0, 0.0, 1.0, -40.0], [0.0, 0.0, 0.0, 1.0]])
    t2_grid = Geometry((80, 80, 24), turned @ np.diag([1.75, 1.75, 3.25, 1.0]))
    dwi_grid = Geometry((56, 56, 22), turned @ np.diag([2.5, 2.5, 3.5, 1.0]))
    x, y, z = np.indices(dwi_grid.shape)
    grain = _grain(dwi_grid)
    focus = ((x - 30) ** 2 + (y - 24) ** 2 + 2 * (z - 11) ** 2 < 40).astype(np.int64)
    adc = np.where(grain % 50 == 0, 0, 1100 + 3 * grain - 700 * focus)
    dwi = {
        b: _volume(level + grain + rise * focus, dwi_grid) for b, level, rise in ((50.0, 900, 60), (1000.0, 260, 300))
    }
    return Study("phantom-oblique", _volume(300 + 2 * _grain(t2_grid), t2_grid), dwi, _volume(adc, dwi_grid))


def _triangle(index: Voxels, period: int) -> Voxels:
    """Falls and rises by 1 a voxel, between 0 and half the period."""
    return np.abs(index % period - period // 2)


def _grain(geometry: Geometry) -> Voxels:
    """Whole numbers from 0 to 255 without an order that the eye or a network finds."""
    x, y, z = np.indices(geometry.shape)
    mixed = (x * 73_856_093) ^ (y * 19_349_663) ^ (z * 83_492_791)
    return (mixed * 2_654_435_761 >> 16) % 256


def _volume(voxels: Voxels, geometry: Geometry) -> Volume:
    return Volume(voxels.astype(np.float32), geometry)
