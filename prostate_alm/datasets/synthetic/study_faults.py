"""Faults of the volumes themselves, whatever they are written as."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.study import Geometry, Study, Volume

Rng = np.random.Generator
Faulty = tuple[Study, Study]  # what is written, and what a reader should make of it


def break_study(fault: Fault | None, study: Study, rng: Rng) -> Faulty:
    """The study with a fault as it will be written, and the study that is right then; other faults change nothing."""
    change = _CHANGES.get(fault) if fault is not None else None
    return (study, study) if change is None else change(study, rng)


def _tenth(study: Study, _: Rng) -> Faulty:
    """ADC in 1e-5 mm²/s, as two real series had it without a RescaleSlope; rescaled, half a unit becomes five."""
    return replace(study, adc=_with_data(study.adc, np.rint(study.adc.data / 10))), study


def _zero(study: Study, _: Rng) -> Faulty:
    """A noise mask that swallowed all but the margin."""
    data = study.adc.data.copy()
    data[3:-3, 3:-3] = 0
    changed = replace(study, adc=_with_data(study.adc, data))
    return changed, changed


def _saturated(study: Study, rng: Rng) -> Faulty:
    """A receiver gain that cuts off the brighter 20 to 50 % of T2w."""
    limit = np.quantile(study.t2.data, rng.uniform(0.5, 0.8))
    changed = replace(study, t2=_with_data(study.t2, np.minimum(study.t2.data, np.floor(limit))))
    return changed, changed


def _constant(study: Study, rng: Rng) -> Faulty:
    data = np.full(study.adc.geometry.shape, float(rng.integers(10, 900)), dtype=np.float32)
    highest = max(study.dwi)
    changed = replace(study, dwi={**study.dwi, highest: _with_data(study.dwi[highest], data)})
    return changed, changed


def _apart(study: Study, rng: Rng) -> Faulty:
    """Diffusion 90 to 200 mm beside T2w, along one axis."""
    shift = np.eye(4)
    shift[rng.integers(3), 3] = rng.choice((-1, 1)) * rng.uniform(90, 200)
    changed = replace(
        study,
        dwi={b: _moved(volume, shift) for b, volume in study.dwi.items()},
        adc=_moved(study.adc, shift),
    )
    return changed, changed


def single_b(study: Study, _: Rng) -> Faulty:
    """Only the highest b-value was sent."""
    highest = max(study.dwi)
    changed = replace(study, dwi={highest: study.dwi[highest]})
    return changed, changed


def _oblique(study: Study, rng: Rng) -> Faulty:
    """Turned about all three axes; the normal stays within the 37° of an axial series."""
    y, z = np.deg2rad(rng.uniform(-12, 12)), np.deg2rad(rng.uniform(-25, 25))
    turn = np.eye(4)
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn[:3, :3] = about_z @ about_y
    changed = replace(
        study,
        t2=_moved(study.t2, turn),
        dwi={b: _moved(volume, turn) for b, volume in study.dwi.items()},
        adc=_moved(study.adc, turn),
    )
    return changed, changed


def _anisotropic(study: Study, _: Rng) -> Faulty:
    """T2w with rows twice as far apart as columns."""
    t2 = study.t2
    affine = t2.geometry.affine @ np.diag([1.0, 2.0, 1.0, 1.0])
    data = t2.data[:, ::2]
    x, y, z = data.shape
    changed = replace(study, t2=Volume(data, Geometry((x, y, z), affine), t2.frame_of_reference))
    return changed, changed


def _field_small(study: Study, rng: Rng) -> Faulty:
    """T2w, or diffusion and its map, that show 50 to 64 mm in plane."""
    width = rng.uniform(50, 64)
    if rng.random() < 0.5:
        changed = replace(study, t2=_middle_of(study.t2, width))
    else:
        dwi = {b: _middle_of(volume, width) for b, volume in study.dwi.items()}
        changed = replace(study, dwi=dwi, adc=_middle_of(study.adc, width))
    return changed, changed


def _middle_of(volume: Volume, width_mm: float) -> Volume:
    """The columns and rows nearest to the centre."""
    shape, spacing = volume.geometry.shape, volume.geometry.spacing
    columns, rows = (round(width_mm / spacing[axis]) for axis in (0, 1))
    x, y = (shape[0] - columns) // 2, (shape[1] - rows) // 2
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] += affine[:3, :2] @ [x, y]
    geometry = Geometry((columns, rows, shape[2]), affine)
    return Volume(volume.data[x : x + columns, y : y + rows], geometry, volume.frame_of_reference)


def _with_data(volume: Volume, data: NDArray[np.float32]) -> Volume:
    return Volume(data, volume.geometry, volume.frame_of_reference)


def _moved(volume: Volume, motion: NDArray[np.float64]) -> Volume:
    geometry = Geometry(volume.geometry.shape, motion @ volume.geometry.affine)
    return Volume(volume.data, geometry, volume.frame_of_reference)


_CHANGES: dict[Fault, Callable[[Study, Rng], Faulty]] = {
    Fault.ADC_TENTH: _tenth,
    Fault.ADC_ZERO: _zero,
    Fault.T2_SATURATED: _saturated,
    Fault.DWI_CONSTANT: _constant,
    Fault.T2_DWI_APART: _apart,
    Fault.SINGLE_B: single_b,
    Fault.SINGLE_B_NO_ADC: single_b,
    Fault.OBLIQUE: _oblique,
    Fault.ANISOTROPIC: _anisotropic,
    Fault.FIELD_SMALL: _field_small,
}
