"""Several diffusion images of one b-value: directions, or repeats that were kept apart, and the trace they make.

The geometric mean over directions is the trace-weighted image, exp(-b tr(D) / 3), where the directions weigh every axis
alike: the mean of g gᵀ is a third of the identity. DICOM and NIfTI share it. A ``.bvec`` file tells the directions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.boundary import raise_if_unavailable
from prostate_alm.readers.rules import ROLES
from prostate_alm.study import Matrix, Volume

_LARGEST_FILE = 1 << 16  # bytes; 64 volumes have some 3000


def trace_weighted(images: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """The geometric mean of images of one shape; 0 where one is 0 or less. One image stays as it is."""
    if len(images) == 1:
        return images[0]
    stack = np.stack(images).astype(np.float64)
    with np.errstate(divide="ignore"):  # log 0 = -inf, whose exponential is 0 again
        return np.exp(np.mean(np.log(np.maximum(stack, 0.0)), axis=0))


def trace_volume(volumes: Sequence[Volume]) -> Volume:
    """The geometric mean of volumes on one grid, a slice at a time: the logarithms of all would fill the memory."""
    if len(volumes) == 1:
        return volumes[0]
    slices = range(volumes[0].geometry.shape[2])
    data = [trace_weighted([one.data[..., z] for one in volumes]).astype(np.float32) for z in slices]
    return Volume(np.stack(data, axis=-1), volumes[0].geometry, volumes[0].frame_of_reference)


def read_b_vectors(path: Path) -> Matrix:
    """The directions of a ``.bvec`` file, ``[volumes, 3]``: three lines with a number for each volume, as FSL has them.

    Raises:
        StudyRefusedError: it holds anything else.
    """
    try:
        with path.open(encoding="ascii") as file:
            rows = [[float(word) for word in line.split()] for line in file.read(_LARGEST_FILE).splitlines() if line]
        vectors = np.array(rows, dtype=np.float64).T
    except (ValueError, OSError) as error:
        raise_if_unavailable(error)
        vectors = np.empty((0, 0))
    if vectors.ndim != 2 or vectors.shape[1:] != (3,) or not np.isfinite(vectors).all():
        raise StudyRefusedError(
            Reason.B_VALUE_UNKNOWN,
            "a `.bvec` file must hold three lines with one number for each volume; write it as dcm2niix does.",
        )
    return vectors


def directions_problem(b_values: Sequence[float], vectors: Matrix) -> str | None:
    """Why the volumes of a b-value that repeats make no trace; None where they do, or where none repeats.

    Repeats of one direction, and repeats without any, are averages that were kept apart.

    Args:
        b_values: of each volume, in s/mm².
        vectors: ``[volumes, 3]``, of length 1, or 0 where a volume has no direction.
    """
    if len(vectors) != len(b_values):
        return f"its `.bvec` has {len(vectors)} directions for {len(b_values)} b-values"
    for b in sorted(set(b_values) - {0.0}):
        of_b = vectors[[one == b for one in b_values]]
        problem = _no_trace(of_b) if len(of_b) > 1 else None
        if problem:
            return f"b {b:g}: {problem}"
    return None


def _no_trace(vectors: Matrix) -> str | None:
    lengths = np.linalg.norm(vectors, axis=1)
    undirected, directed = lengths < ROLES.no_direction, np.abs(lengths - 1) < ROLES.unit_direction
    if undirected.all():
        return None
    if not (undirected | directed).all():
        return "directions that are not of length 1"
    if undirected.any():
        return "volumes with a direction and without one"
    units = vectors / lengths[:, None]
    shares = np.linalg.eigvalsh(units.T @ units / len(units))
    one_direction = shares[-1] > 1 - ROLES.trace_isotropy
    if one_direction or np.abs(shares - 1 / 3).max() <= ROLES.trace_isotropy:
        return None
    return f"{len(units)} directions that do not weigh every axis alike, so their mean is no trace"
