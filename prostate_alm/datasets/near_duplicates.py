"""Find studies whose images are the same: a second export, a copy under another patient, a resaved one.

Two studies of one acquisition may differ in gain and offset, in noise of rounding, in spacing and by a small crop.
Each T2 volume is therefore sampled coarsely around its middle, freed of what varies slowly (the coil, and the shape
of a pelvis, which all patients share), and compared by correlation over small shifts.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, spline_filter
from scipy.ndimage import shift as shift_volume

from prostate_alm.preprocessing.grid import box_grid, sample_on
from prostate_alm.readers.volume import content_key
from prostate_alm.study import FloatArray, Study

SPACING_MM = (4.0, 4.0, 6.0)
SHAPE = (26, 26, 10)
SHIFT = 1  # voxels along each axis: two copies may be cropped so that their middles lie this far apart
SLOW_MM = 8.0  # standard deviation of what is taken away
LIMIT = 0.14
"""Largest 1 - correlation of a near-duplicate.

By benchmarks/near_duplicates.py: 120 copies of 15 synthetic patients (cropped by up to 10 mm a side, moved, resampled,
noisier, in 8 bits, unevenly lit) have up to 0.10; the nearest of 24090 pairs of 220 patients has 0.18, and they are far
more alike than people are. Of 32 copies of one real study one has 0.17. Two real patients were not at hand.
"""
HALF_VOXEL = 0.15  # what the distance of two copies may fall by when they are moved by half a voxel
_ROWS = 64  # of a block of comparisons: bounds the memory


Shift = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Descriptor:
    """What a study is recognised by.

    Attributes:
        content: digest of the voxels of T2 and DWI.
        values: ``[X, Y, Z]`` int8, `SHAPE`: the sampled T2.
    """

    content: str
    values: NDArray[np.int8]

    def to_text(self) -> str:
        """One line of text for a JSON file."""
        return f"{self.content}:{base64.b64encode(self.values.tobytes()).decode()}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote."""
        content, _, coded = text.partition(":")
        return cls(content, np.frombuffer(base64.b64decode(coded), np.int8).reshape(SHAPE))


@dataclass(frozen=True)
class Pair:
    """Two studies that look alike.

    Attributes:
        first: name of the one.
        second: name of the other.
        distance: 1 - correlation.
        identical: whether every voxel of T2 and DWI is the same.
    """

    first: str
    second: str
    distance: float
    identical: bool


def descriptor(study: Study) -> Descriptor:
    """Describe a study by its images alone, whatever its headers say."""
    x, y, z = (n * step for n, step in zip(SHAPE, SPACING_MM, strict=True))
    grid = box_grid(study.t2.geometry, box_mm=(x, y, z), spacing_mm=SPACING_MM)
    values, inside = (tensor.numpy() for tensor in sample_on(study.t2, grid))
    detail = _detail(values, inside.astype(np.float32))
    scale = 127.0 / 3.0 / max(float(detail.std()), 1e-12)  # three standard deviations, then clipped
    coded = np.clip(np.rint(detail * scale), -127, 127).astype(np.int8)
    return Descriptor(content_key([study.t2, *study.dwi.values()]), coded)


def _detail(values: FloatArray, inside: FloatArray) -> FloatArray:
    """`values` without what varies slowly, relative to the spread; 0 outside."""
    sigma = [SLOW_MM / step for step in SPACING_MM]
    slow = gaussian_filter(values * inside, sigma) / np.maximum(gaussian_filter(inside, sigma), np.float32(1e-6))
    return ((values - slow) * inside).astype(np.float32)


def find(descriptors: Mapping[str, Descriptor], *, limit: float = LIMIT) -> list[Pair]:
    """All pairs of studies that are identical or nearly so, the nearest first.

    The cost grows with the square of the number of studies: some seconds for 1000.

    Args:
        descriptors: by the name of the study.
        limit: largest distance of a near pair.
    """
    names = list(descriptors)
    pairs = [
        Pair(names[i], names[j], distance, descriptors[names[i]].content == descriptors[names[j]].content)
        for i, j, distance in _near(list(descriptors.values()), limit)
    ]
    return sorted(pairs, key=lambda pair: (not pair.identical, pair.distance, pair.first, pair.second))


def _near(described: list[Descriptor], limit: float) -> Iterator[tuple[int, int, float]]:
    """Positions of two studies, the earlier one first, and their distance where it is at most `limit`."""
    if len(described) < 2:
        return
    volumes = np.stack([one.values for one in described]).astype(np.float32)
    for i, j, shift in _candidates(volumes, limit + HALF_VOXEL):
        distance = 1.0 - _aligned_correlation(volumes[i], volumes[j], shift)
        if distance <= limit:
            yield i, j, max(0.0, round(distance, 4))


def _candidates(volumes: FloatArray, limit: float) -> Iterator[tuple[int, int, Shift]]:
    """Pairs that lie within `limit` at some shift of whole voxels, and the best such shift."""
    middle = _unit(_window(volumes, (0, 0, 0)))
    shifts = list(product(range(-SHIFT, SHIFT + 1), repeat=3))
    shifted = [_unit(_window(volumes, shift)) for shift in shifts]
    for start in range(0, len(volumes), _ROWS):
        rows = middle[start : start + _ROWS]
        correlations = np.stack([rows @ other[start:].T for other in shifted])
        best = correlations.argmax(axis=0)
        for i, j in np.argwhere(correlations.max(axis=0) >= 1.0 - limit).tolist():
            if j > i:
                yield start + i, start + j, shifts[best[i, j]]


def _aligned_correlation(first: FloatArray, second: FloatArray, shift: Shift) -> float:
    """Largest correlation with `second` moved by `shift` or by half a voxel more or less along each axis."""
    coefficients = spline_filter(second, order=3, mode="nearest")
    moved = [
        shift_volume(coefficients, [-step - half for step, half in zip(shift, halves, strict=True)],
                     order=3, mode="nearest", prefilter=False)
        for halves in product((-0.5, 0.0, 0.5), repeat=3)
    ]  # fmt: skip
    windows = _unit(_window(np.stack([first, *moved], dtype=np.float32), (0, 0, 0)))
    return float((windows[1:] @ windows[0]).max())


def _window(volumes: FloatArray, shift: Shift) -> FloatArray:
    """The middle of each volume, moved by `shift` voxels: ``[N, D]``."""
    cut = tuple(slice(SHIFT + step, n - SHIFT + step) for n, step in zip(SHAPE, shift, strict=True))
    return volumes[:, *cut].reshape(len(volumes), -1)


def _unit(vectors: FloatArray) -> FloatArray:
    """Without their mean and of length 1; a constant one becomes 0."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
