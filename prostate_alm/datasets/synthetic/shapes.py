"""Soft-edged shapes on axis-aligned grids: what the anatomy is made of.

Coordinates are mm in the frame of the prescription: x along image columns (to the left), y along rows
(to posterior), z along slices (to superior), zero at the middle of the T2w volume. A shape knows its
level: about the distance to its surface in mm, negative inside. Partial volume at an edge is a ramp as
wide as the grid is coarse.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]
EVERYWHERE = 1e4
WHOLE: Box = (slice(None), slice(None), slice(None))


class Shape(Protocol):
    """Something with an inside."""

    @property
    def bounds(self) -> tuple[Point, Point]:
        """Lower and upper corner in mm."""
        ...

    def level(self, x: Array, y: Array, z: Array) -> Array:
        """About the distance to the surface in mm, negative inside."""
        ...


@dataclass(frozen=True)
class Grid:
    """An axis-aligned grid in the frame of the prescription."""

    shape: tuple[int, int, int]
    spacing: Point

    @cached_property
    def axes(self) -> tuple[Array, Array, Array]:
        """Voxel centres in mm along x, y, z; the grid's middle is zero."""
        x, y, z = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(self.shape, self.spacing, strict=True)
        )
        return x, y, z

    def box(self, bounds: tuple[Point, Point], margin_mm: float, shift: Point = (0.0, 0.0, 0.0)) -> Box:
        """The part of the grid that holds these bounds in a frame moved by `shift` mm."""
        first, second, third = (
            slice(*np.searchsorted(axis, (low + move - margin_mm, high + move + margin_mm)))
            for axis, low, high, move in zip(self.axes, *bounds, shift, strict=True)
        )
        return first, second, third

    def coordinates(self, box: Box, shift: Point = (0.0, 0.0, 0.0)) -> tuple[Array, Array, Array]:
        """Coordinates of a box, ready to broadcast, in a frame moved by `shift` mm."""
        x, y, z = (axis[part] - np.float32(move) for axis, part, move in zip(self.axes, box, shift, strict=True))
        return x[:, None, None], y[None, :, None], z[None, None, :]


@dataclass(frozen=True)
class Ellipsoid:
    """``|x/a|^p + |y/b|^p + |z/c|^p <= 1``, turned about z, with an optional wobble of its surface.

    Attributes:
        centre: in mm.
        semi_axes: a, b, c in mm.
        power: p; above 2 it grows boxy.
        turn: rotation about z in radians.
        wobble: rows of (kx, ky, kz, phase, amplitude), wave vectors in rad/mm, amplitude as a share
            of the radius.
    """

    centre: Point
    semi_axes: Point
    power: float = 2.0
    turn: float = 0.0
    wobble: tuple[tuple[float, float, float, float, float], ...] = ()

    @property
    def bounds(self) -> tuple[Point, Point]:
        """Lower and upper corner in mm."""
        a, b, c = self.semi_axes
        if self.turn:
            cos, sin = abs(np.cos(self.turn)), abs(np.sin(self.turn))
            a, b = a * cos + b * sin, a * sin + b * cos
        grow = 1.0 + sum(abs(wave[4]) for wave in self.wobble)
        x, y, z = self.centre
        return (x - a * grow, y - b * grow, z - c * grow), (x + a * grow, y + b * grow, z + c * grow)

    def level(self, x: Array, y: Array, z: Array) -> Array:
        """About the distance to the surface in mm, negative inside."""
        (a, b, c), (cx, cy, cz) = self.semi_axes, self.centre
        u, v, w = x - np.float32(cx), y - np.float32(cy), np.abs((z - np.float32(cz)) / np.float32(c))
        if self.turn:
            cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
            u, v = cos * u + sin * v, cos * v - sin * u
        u, v = np.abs(u / np.float32(a)), np.abs(v / np.float32(b))
        if self.power == 2.0:
            radius = np.sqrt(u * u + v * v + w * w)
        else:
            p = np.float32(self.power)
            radius = (u**p + v**p + w**p) ** np.float32(1 / self.power)
        for kx, ky, kz, phase, amplitude in self.wobble:
            angle = np.float32(kx) * x + np.float32(ky) * y + np.float32(kz) * z + np.float32(phase)
            radius = radius - np.float32(amplitude) * np.sin(angle)
        return (radius - 1) * np.float32(min(a, b, c))


@dataclass(frozen=True)
class Tube:
    """A bent elliptic tube along z: ``y = centre_y + slope z + bend z^2``.

    Attributes:
        centre: x and y in mm at z = 0.
        semi_axes: along x and y in mm.
        slope: dimensionless.
        bend: in 1/mm.
        bottom: lowest z in mm.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    slope: float
    bend: float
    bottom: float = -EVERYWHERE

    def centre_y(self, z: Array) -> Array:
        """Where the middle lies at height z, both in mm."""
        return np.asarray(self.centre[1] + self.slope * z + self.bend * z * z, dtype=np.float32)

    @property
    def bounds(self) -> tuple[Point, Point]:
        """Lower and upper corner in mm; generous along y."""
        (x, y), (a, b) = self.centre, self.semi_axes
        return (x - a, y - b - 20.0, self.bottom), (x + a, y + b + 25.0, EVERYWHERE)

    def level(self, x: Array, y: Array, z: Array) -> Array:
        """About the distance to the surface in mm, negative inside."""
        a, b = self.semi_axes
        u, v = (x - np.float32(self.centre[0])) / np.float32(a), (y - self.centre_y(z)) / np.float32(b)
        around = (np.sqrt(u * u + v * v) - 1) * np.float32(min(a, b))
        return np.maximum(around, np.float32(self.bottom) - z)


@dataclass(frozen=True)
class Wedge:
    """A sector that opens from its apex along a direction of the axial plane.

    Attributes:
        apex: in mm.
        direction: angle from posterior to the left in radians.
        half_angle: of the opening, in radians.
        half_height: along z in mm.
        reach: length in mm.
    """

    apex: Point
    direction: float
    half_angle: float
    half_height: float
    reach: float = 40.0

    @property
    def bounds(self) -> tuple[Point, Point]:
        """Lower and upper corner in mm."""
        (x, y, z), r, h = self.apex, self.reach, self.half_height
        return (x - r, y - r, z - h), (x + r, y + r, z + h)

    def level(self, x: Array, y: Array, z: Array) -> Array:
        """About the distance to the surface in mm, negative inside."""
        cx, cy, cz = (np.float32(value) for value in self.apex)
        sin, cos = np.float32(np.sin(self.direction)), np.float32(np.cos(self.direction))
        along, across = (x - cx) * sin + (y - cy) * cos, np.abs((x - cx) * cos - (y - cy) * sin)
        side = across * np.float32(np.cos(self.half_angle)) - along * np.float32(np.sin(self.half_angle))
        return np.maximum(side, np.abs(z - cz) - np.float32(self.half_height))


@dataclass(frozen=True)
class Shell:
    """The skin of a shape."""

    of: Shape
    thickness: float

    @property
    def bounds(self) -> tuple[Point, Point]:
        """Lower and upper corner in mm."""
        return self.of.bounds

    def level(self, x: Array, y: Array, z: Array) -> Array:
        """About the distance to the surface in mm, negative inside."""
        return np.abs(self.of.level(x, y, z)) - np.float32(self.thickness / 2)


def inside(level: Array, edge_mm: float) -> Array:
    """Share of a voxel that lies inside, from the level at its centre and the width of the edge in mm."""
    return np.clip(np.float32(0.5) - level / np.float32(edge_mm), 0, 1)
