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
from prostate_alm.readers.rules import GEOMETRY
from prostate_alm.study import Geometry, Matrix

_LARGEST_SIDE = 2048  # voxels: a header's claim is checked before memory is taken for it
_LARGEST_VOLUME = 2**28  # voxels, 1 GiB as float32
_VOXEL_EDGE = (0.05, 15.0)  # mm
_LARGEST_EXTENT = 700.0  # mm, the bore of a scanner: a header in another unit is off by 10 or 1000

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


def refuse_implausible(geometry: Geometry, name: str) -> None:
    """Raise for a grid that no scanner makes of a patient: its header counts in another unit than mm.

    Raises:
        StudyRefusedError: a voxel's edge, or the whole grid, is too small or too large.
    """
    edges = [float(edge) for edge in geometry.spacing]
    extents = [edge * size for edge, size in zip(edges, geometry.shape, strict=True)]
    if min(edges) < _VOXEL_EDGE[0] or max(edges) > _VOXEL_EDGE[1] or max(extents) > _LARGEST_EXTENT:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"{name}: voxels of {' x '.join(f'{edge:.4g}' for edge in edges)} mm in a volume of"
            f" {' x '.join(f'{extent:.4g}' for extent in extents)} mm; check the unit of its header, which must be mm.",
        )


def normal_of(orientation: Matrix) -> NDArray[np.float64]:
    """The direction in which slices are counted: row direction × column direction."""
    (a, b, c), (d, e, f) = orientation.tolist()  # one call for each image: np.cross takes twenty times as long
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def same_plane(first: Instance, second: Instance) -> bool:
    """Whether two images agree in size, spacing and orientation."""
    if first.orientation is None or second.orientation is None or first.spacing is None or second.spacing is None:
        return False
    return (
        (first.rows, first.columns) == (second.rows, second.columns)
        and bool(np.abs(np.subtract(first.spacing, second.spacing)).max() <= GEOMETRY.spacing_tolerance)
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
    stack = Stack(_geometry(_edge(volumes, 0), normal, gap, len(positions), name), MappingProxyType(volumes))
    _check_in_line(stack, normal, gap, name)
    _check_locations(stack, along, name)
    _check_stated_gap(everything, gap, name)
    return stack


def _common_plane(instances: Sequence[Instance], name: str) -> Instance:
    first = instances[0]
    for instance in instances:
        if instance.orientation is None or instance.position is None or instance.spacing is None:
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID,
                f"{name}: an image has no valid position, orientation or pixel spacing; export the original images.",
            )
        assert first.orientation is not None
        if (first.rows, first.columns) != (instance.rows, instance.columns):
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID, f"{name}: its images differ in size; send a series with one."
            )
        if _corner_moves(first, instance, spacing=True) > GEOMETRY.same_corner:
            raise StudyRefusedError(
                Reason.SPACING_MIXED, f"{name}: its images differ in pixel spacing; send a series with one."
            )
        if _corner_moves(first, instance, spacing=False) > GEOMETRY.same_corner:
            raise StudyRefusedError(
                Reason.ORIENTATION_MIXED, f"{name}: its images differ in orientation; send a series with one."
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


def _corner_moves(first: Instance, second: Instance, *, spacing: bool) -> float:
    """How far, in mm, the farthest voxel of an image moves when it takes the other's spacing, or its orientation."""
    assert first.orientation is not None
    assert second.orientation is not None
    assert first.spacing is not None
    assert second.spacing is not None
    last = np.array([first.columns - 1, first.rows - 1])  # along a row, down a column
    steps = np.array(first.spacing)[::-1]
    if spacing:
        return float(np.abs(last * (np.array(second.spacing)[::-1] - steps)).max())
    return float(np.linalg.norm((second.orientation - first.orientation) * (last * steps)[:, None], axis=1).max())


def _same_orientation(first: Matrix, second: Matrix) -> bool:
    return bool((first * second).sum(axis=1).min() >= GEOMETRY.same_direction)


def _position(instance: Instance, name: str) -> NDArray[np.float64]:
    assert instance.position is not None, name
    return instance.position


def _label(name: str, b: float, groups: Mapping[float, Sequence[Instance]]) -> str:
    return f"{name}, b {b:g}" if len(groups) > 1 or b > 0 else name


def _distinct(ordered: Sequence[float]) -> list[float]:
    """The first of each run of values that are closer than `GEOMETRY.same_position` to it."""
    distinct: list[float] = []
    for value in ordered:
        if not distinct or value - distinct[-1] > GEOMETRY.same_position:
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
    wide = np.flatnonzero(gaps > (1 + GEOMETRY.gap_tolerance) * median)
    if wide.size:
        raise _missing(name, positions[wide[0]] + min(median, float(gaps[wide[0]]) / 2))
    narrow = np.flatnonzero(gaps < (1 - GEOMETRY.gap_tolerance) * median)
    if narrow.size:
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"{name}: slices are {gaps[narrow[0]]:.2f} mm apart at z = {positions[narrow[0]]:.1f} mm"
            f" and {median:.2f} mm elsewhere; send one regular series.",
        )
    return median


def _edge(volumes: Mapping[float, Slices], index: int) -> Instance:
    """The image of one slice that speaks for its place."""
    return next(iter(volumes.values()))[index][0]


def _check_in_line(stack: Stack, normal: NDArray[np.float64], gap: float, name: str) -> None:
    """Refuse slices beside the normal through the middle of all, or half a gap off a regular grid.

    The images of one slice must also lie at one place, whatever their b-value or direction.
    """
    count = stack.geometry.shape[2]
    for slices in stack.volumes.values():
        positions = np.stack([_position(one, name) for copies in slices for one in copies])
        index = np.repeat(np.arange(count), [len(copies) for copies in slices])
        offsets = positions - stack.geometry.affine[:3, 3] - index[:, None] * normal * gap
        drift = offsets @ normal
        beside = offsets - drift[:, None] * normal
        beside = np.linalg.norm(beside - np.median(beside, axis=0), axis=1).max()
        start = np.linalg.norm(np.median(offsets - drift[:, None] * normal, axis=0))
        if max(beside, start) > GEOMETRY.in_line or np.abs(drift).max() > gap / 2:
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID,
                f"{name}: its slices do not lie above each other at even steps; send one stack.",
            )


def _check_locations(stack: Stack, along: Mapping[int, float], name: str) -> None:
    """Refuse an image whose position contradicts its SliceLocation, in a series where most agree.

    Vendors count SliceLocation from different origins and in either direction, some not along the normal: where it
    is no measure of the position, nothing can be told from it.
    """
    images = [one for one in stack.instances if one.slice_location is not None]
    if len(images) < 3:
        return
    places = np.array([along[id(one)] for one in images])
    locations = np.array([one.slice_location for one in images])
    residuals = [np.abs(each - np.median(each)) for each in (locations - places, locations + places)]
    residual = min(residuals, key=lambda one: float(np.median(one)))
    if np.median(residual) < GEOMETRY.location_agrees and residual.max() > GEOMETRY.same_position:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"{name}: an image's position contradicts its slice location; export the original images.",
        )


def _check_stated_gap(images: Sequence[Instance], gap: float, name: str) -> None:
    """Refuse slices whose distance contradicts (0018,0088) Spacing Between Slices.

    A multiple of it means that slices were left out evenly. Less proves nothing alone, for some write there the space
    between the edges of slices; with the steps of SliceLocation on its side, the positions are wrong.

    Raises:
        StudyRefusedError: slices were left out, or the positions are stretched.
    """
    stated = [abs(one.spacing_between_slices) for one in images if one.spacing_between_slices]
    if len(stated) * 2 < len(images):
        return
    expected = float(np.median(stated))
    times = round(gap / expected)
    if expected >= GEOMETRY.stated_gap and times > 1 and abs(gap / expected - times) <= GEOMETRY.gap_tolerance:
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"{name}: slices are {gap:.2f} mm apart, their headers say {expected:.2f} mm; send the whole series.",
        )
    steps = np.diff(_distinct(sorted(one.slice_location for one in images if one.slice_location is not None)))
    tolerance = GEOMETRY.stated_agrees * expected
    if steps.size and abs(np.median(steps) - expected) <= tolerance < abs(gap - expected):
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"{name}: slices lie {gap:.2f} mm apart by position and {expected:.2f} mm by two other elements;"
            " export the original images.",
        )


def _geometry(first: Instance, normal: NDArray[np.float64], gap: float, count: int, name: str) -> Geometry:
    assert first.orientation is not None
    assert first.spacing is not None
    shape = (first.columns, first.rows, count)
    if np.prod(shape, dtype=np.int64) > _LARGEST_VOLUME:
        raise StudyRefusedError(Reason.INPUT_TOO_LARGE, f"{name}: {shape} voxels; at most {_LARGEST_VOLUME} are read.")
    row_spacing, column_spacing = first.spacing  # between rows: along Y; between columns: along X
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[0] * column_spacing
    affine[:3, 1] = first.orientation[1] * row_spacing
    affine[:3, 2] = normal * gap
    affine[:3, 3] = _position(first, name)
    geometry = Geometry(shape, affine)
    refuse_implausible(geometry, name)
    return geometry
