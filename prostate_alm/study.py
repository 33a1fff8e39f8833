"""The nouns every other part speaks: `Geometry`, `Volume`, `Series`, `Acquisition`, `Study`.

Conventions: volumes are ``[X, Y, Z]`` (column, row, slice) float32; coordinates are millimetres in the
patient space of DICOM (LPS: x to the patient's left, y to posterior, z to superior); b-values in s/mm²;
ADC in 1e-6 mm²/s. All are frozen, and their arrays are read-only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import ArgumentError, Reason

QUALITY_GATES = (
    Reason.FRAME_OF_REFERENCE_DIFFERS,
    Reason.CONTRAST_GIVEN,
    *(Reason.COVERAGE_LOW,) * 2,  # of T2, of DWI
    Reason.FIELD_OF_VIEW_SMALL,
    *(Reason.VOLUME_CONSTANT,) * 6,  # contrast and share of values above 0 of T2, DWI and ADC
    Reason.VOLUME_SATURATED,
    Reason.ADC_OUT_OF_RANGE,
    Reason.MOTION_SUSPECTED,
    Reason.SUSCEPTIBILITY_SUSPECTED,
    Reason.SIGNAL_RISES_WITH_B,
    Reason.ADC_DISAGREES,
)
"""Every gate that preprocessing holds against a study, in the order of its findings."""

FloatArray = NDArray[np.float32]
Matrix = NDArray[np.float64]


class Role(StrEnum):
    """What a series is in a study."""

    T2 = "t2"
    DWI = "dwi"
    ADC = "adc"


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a volume lie.

    Attributes:
        shape: number of voxels along X (columns), Y (rows), Z (slices).
        affine: ``[4, 4]``, voxel index to patient position in mm (LPS).
    """

    shape: tuple[int, int, int]
    affine: Matrix

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
            raise ArgumentError("`affine` must be a finite, invertible [4, 4] matrix; check the image orientation.")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along X, Y, Z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def origin(self) -> tuple[float, float, float]:
        """Patient position in mm of the centre of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def direction(self) -> Matrix:
        """``[3, 3]``; its columns are the unit vectors of the X, Y and Z axes."""
        return self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Patient position in mm of the middle of the volume."""
        index = np.append((np.array(self.shape) - 1) / 2, 1.0)
        x, y, z = (self.affine @ index)[:3]
        return float(x), float(y), float(z)

    def is_close(self, other: "Geometry", tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids have the same shape and every corner agrees within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
        corners[:, :3] *= np.array(self.shape) - 1
        return bool(np.abs((self.affine - other.affine) @ corners.T).max() <= tolerance_mm)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values and where they lie.

    Attributes:
        data: ``[X, Y, Z]`` float32.
        geometry: the grid of `data`.
        frame_of_reference: opaque name of the coordinate system two volumes may share; empty when unknown.
    """

    data: FloatArray
    geometry: Geometry
    frame_of_reference: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        data = np.array(self.data, dtype=np.float32)
        if data.shape != self.geometry.shape:
            raise ArgumentError(f"`data` has shape {data.shape}, its geometry says {self.geometry.shape}.")
        data.flags.writeable = False
        object.__setattr__(self, "data", data)

    def __repr__(self) -> str:
        return f"Volume(shape={self.geometry.shape}, spacing={tuple(round(s, 3) for s in self.geometry.spacing)})"


@dataclass(frozen=True)
class Series:
    """Which series was chosen for a role.

    Attributes:
        role: what it is used as.
        number: DICOM series number, or None when the input has none.
        description: what the scanner calls it, free of patient data as far as the scanner's name is.
        b_values: acquired b-values in s/mm², ascending; empty for T2.
    """

    role: Role
    number: int | None
    description: str
    b_values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Acquisition:
    """Facts of the acquisition, for subgroups and drift; empty or None when unknown.

    Attributes:
        vendor: as the scanner writes it.
        model: as the scanner writes it.
        field_strength: tesla.
        contrast_agent: whether a header of a series that is read names a contrast agent.
    """

    vendor: str = ""
    model: str = ""
    field_strength: float | None = None
    contrast_agent: bool | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """One patient's examination, ready for preprocessing.

    Attributes:
        key: pseudonymous name: holds no name, date or UID.
        t2: axial T2-weighted volume.
        dwi: acquired diffusion-weighted volumes by b-value, ascending; all on one grid.
        adc: apparent diffusion coefficient in 1e-6 mm²/s.
        series: what was chosen for each role.
        flags: notes that change no decision, such as `Reason.ADC_COMPUTED`.
        acquisition: vendor, model, field strength.
        rules_sha256: which rules chose the series; empty where files were named by their role.
    """

    key: str
    t2: Volume
    dwi: Mapping[float, Volume]
    adc: Volume
    series: tuple[Series, ...] = ()
    flags: tuple[Reason, ...] = ()
    acquisition: Acquisition = field(default_factory=Acquisition)
    rules_sha256: str = ""

    def __post_init__(self) -> None:
        if not self.dwi:
            raise ArgumentError(
                "`dwi` must hold at least one volume; a study without diffusion is refused by its reader."
            )
        ordered = {float(b): self.dwi[b] for b in sorted(self.dwi)}
        first = next(iter(ordered.values())).geometry
        if any(not volume.geometry.is_close(first) for volume in ordered.values()):
            raise ArgumentError("`dwi` volumes must share one grid; resample or refuse before making a study.")
        object.__setattr__(self, "dwi", MappingProxyType(ordered))


@dataclass(frozen=True)
class QualityFinding:
    """One quality gate and what it measured on a study.

    Attributes:
        reason: the code reported when the gate does not pass.
        value: the measured figure.
        limit: the figure it was held against.
        passed: whether the study may be answered by the model.
    """

    reason: Reason
    value: float
    limit: float
    passed: bool
