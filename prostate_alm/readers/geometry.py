"""Order slices by where they lie, refuse a stack with a hole, and make its affine.

Only ImagePositionPatient, ImageOrientationPatient and PixelSpacing count: not the file's name, not the instance
number, not the patient's position, and never SliceThickness (3.0 mm in a series whose slices are 3.6 mm apart).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.instance import Instance
from prostate_alm.study import Geometry, Matrix

SAME_DIRECTION = 0.9999  # smallest cosine between slices of one stack: 0.8°
SAME_POSITION_MM = 0.1  # two images closer than this lie at one position
GAP_TOLERANCE = 0.15  # of the median gap
_IN_LINE_MM = 0.5  # how far a slice may lie beside the normal through the first one
_SPACING_TOLERANCE_MM = 1e-3
_LARGEST_SIDE = 2048  # voxels: a header's claim is checked before memory is taken for it
_LARGEST_VOLUME = 2**28  # voxels, 1 GiB as float32

Slices = tuple[tuple[Instance, ...], ...]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along the normal, for one or more b-values on one grid.

    Attributes:
        geometry: the grid they share.
        volumes: by b-value (0 where there is none), the images at each position: one, or several directions.
    """

    geometry: Geometry
    volumes: Mapping[float, Slices]

    @property
    def instances(self) -> list[Instance]:
        """Every image of the stack."""
        return [instance for slices in self.volumes.values() for copies in slices for instance in copies]


def normal_of(orientation: Matrix) -> NDArray[np.float64]:
    """The direction in which slices are counted: row direction × column direction."""
    return np.cross(orientation[0], orientation[1])


def same_plane(first: Instance, second: Instance) -> bool:
    """Whether two images agree in size, spacing and orientation."""
    if first.orientation is None or second.orientation is None or first.spacing is None or second.spacing is None:
        return False
    return (
        (first.rows, first.columns) == (second.rows, second.columns)
        and bool(np.abs(np.subtract(first.spacing, second.spacing)).max() <= _SPACING_TOLERANCE_MM)
        and _same_orientation(first.orientation, second.orientation)
    )


def stack_slices(groups: Mapping[float, Sequence[Instance]], name: str, *, directions: bool = False) -> Stack:
    """Stack the images of each group; all groups must lie on the same slices.

    Args:
        groups: images by b-value; one group under 0 where there is no b-value.
        name: what messages call the series.
        directions: whether a group may hold several images at each position (diffusion directions).

    Raises:
        StudyRefusedError: images differ in orientation, size or spacing; a slice is missing or doubled.
    """
    everything = [instance for group in groups.values() for instance in group]
    first = _common_plane(everything, name)
    assert first.orientation is not None
    normal = normal_of(first.orientation)
    along = {id(instance): float(normal @ _position(instance, name)) for instance in everything}
    positions = _distinct(sorted(along.values()))
    volumes = {
        b: _slices_of_group(group, positions, along, label=_label(name, b, groups), directions=directions)
        for b, group in sorted(groups.items())
    }
    gap = _regular_gap(positions, name)
    ordered = [copies[0] for copies in next(iter(volumes.values()))]
    _check_in_line([_position(instance, name) for instance in ordered], normal, gap, name)
    return Stack(_geometry(ordered, normal, gap, name), MappingProxyType(volumes))


def _common_plane(instances: Sequence[Instance], name: str) -> Instance:
    first = instances[0]
    for instance in instances:
        if instance.orientation is None or instance.position is None or instance.spacing is None:
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID,
                f"{name}: an image has no valid position, orientation or pixel spacing; export the original images.",
            )
        assert first.orientation is not None
        if not _same_orientation(first.orientation, instance.orientation):
            raise StudyRefusedError(
                Reason.ORIENTATION_MIXED, f"{name}: its images differ in orientation; send a series with one."
            )
        if not same_plane(first, instance):
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID, f"{name}: its images differ in size or pixel spacing; send a series with one."
            )
    if len({instance.frame_of_reference for instance in instances}) > 1:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, f"{name}: its images name two frames of reference; send a series with one."
        )
    if not (1 < first.rows <= _LARGEST_SIDE and 1 < first.columns <= _LARGEST_SIDE):
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, f"{name}: {first.columns} x {first.rows} pixels; 2 to {_LARGEST_SIDE} are read."
        )
    return first


def _same_orientation(first: Matrix, second: Matrix) -> bool:
    return bool((first * second).sum(axis=1).min() >= SAME_DIRECTION)


def _position(instance: Instance, name: str) -> NDArray[np.float64]:
    assert instance.position is not None, name
    return instance.position


def _label(name: str, b: float, groups: Mapping[float, Sequence[Instance]]) -> str:
    return f"{name}, b {b:g}" if len(groups) > 1 or b > 0 else name


def _distinct(ordered: Sequence[float]) -> list[float]:
    """The first of each run of values that are closer than `SAME_POSITION_MM` to it."""
    distinct: list[float] = []
    for value in ordered:
        if not distinct or value - distinct[-1] > SAME_POSITION_MM:
            distinct.append(value)
    return distinct


def _slices_of_group(
    group: Sequence[Instance],
    positions: Sequence[float],
    along: Mapping[int, float],
    *,
    label: str,
    directions: bool,
) -> Slices:
    """The images of one group by position; the same number, at least one, at each."""
    slices: list[list[Instance]] = [[] for _ in positions]
    edges = np.array(positions)
    for instance in sorted(group, key=lambda one: one.sop):
        slices[int(np.abs(edges - along[id(instance)]).argmin())].append(instance)
    counts = [len(copies) for copies in slices]
    usual = int(np.median(counts)) if directions else 1
    for z, copies in zip(positions, slices, strict=True):
        if len(copies) < max(usual, 1):
            raise _missing(label, z)
        if len(copies) > usual or len({instance.sop for instance in copies}) < len(copies):
            raise StudyRefusedError(
                Reason.SLICE_DUPLICATE,
                f"{label}: {len(copies)} images lie at z = {z:.1f} mm along the slice normal; send each image once.",
            )
    return tuple(tuple(copies) for copies in slices)


def _missing(label: str, z: float) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.SLICE_MISSING,
        f"{label}: no image at z = {z:.1f} mm along the slice normal; send the whole series.",
    )


def _regular_gap(positions: Sequence[float], name: str) -> float:
    """The median distance between slices in mm; all must be within 15 % of it."""
    gaps = np.diff(positions)
    if gaps.size == 0:
        raise StudyRefusedError(Reason.GEOMETRY_INVALID, f"{name}: all images lie at one position; a volume needs two.")
    median = float(np.median(gaps))
    wide = np.flatnonzero(gaps > (1 + GAP_TOLERANCE) * median)
    if wide.size:
        raise _missing(name, positions[wide[0]] + min(median, float(gaps[wide[0]]) / 2))
    narrow = np.flatnonzero(gaps < (1 - GAP_TOLERANCE) * median)
    if narrow.size:
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"{name}: slices are {gaps[narrow[0]]:.2f} mm apart at z = {positions[narrow[0]]:.1f} mm"
            f" and {median:.2f} mm elsewhere; send one regular series.",
        )
    return median


def _check_in_line(
    positions: Sequence[NDArray[np.float64]], normal: NDArray[np.float64], gap: float, name: str
) -> None:
    """Refuse slices that lie beside the normal through the first one, or drift from a regular grid by half a gap."""
    steps = np.arange(len(positions))[:, None] * normal * gap
    offsets = np.stack(positions) - positions[0] - steps
    drift = offsets @ normal
    beside = np.linalg.norm(offsets - drift[:, None] * normal, axis=1)
    if beside.max() > _IN_LINE_MM or np.abs(drift).max() > gap / 2:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, f"{name}: its slices do not lie above each other at even steps; send one stack."
        )


def _geometry(ordered: Sequence[Instance], normal: NDArray[np.float64], gap: float, name: str) -> Geometry:
    first = ordered[0]
    assert first.orientation is not None
    assert first.spacing is not None
    shape = (first.columns, first.rows, len(ordered))
    if np.prod(shape, dtype=np.int64) > _LARGEST_VOLUME:
        raise StudyRefusedError(Reason.INPUT_TOO_LARGE, f"{name}: {shape} voxels; at most {_LARGEST_VOLUME} are read.")
    row_spacing, column_spacing = first.spacing  # between rows: along Y; between columns: along X
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[0] * column_spacing
    affine[:3, 1] = first.orientation[1] * row_spacing
    affine[:3, 2] = normal * gap
    affine[:3, 3] = _position(first, name)
    return Geometry(shape, affine)
