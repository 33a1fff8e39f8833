"""From the images of a stack to voxel values."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.boundary import raise_if_unavailable
from prostate_alm.readers.dicom import quiet_pydicom
from prostate_alm.readers.directions import trace_weighted
from prostate_alm.readers.expansion import refuse_expansion
from prostate_alm.readers.geometry import Stack
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.pixels import read_pixels
from prostate_alm.study import Volume


def read_volume(stack: Stack, b_value: float = 0.0, *, name: str = "the series") -> Volume:
    """Decode the images of one b-value, with RescaleSlope and RescaleIntercept applied.

    Several directions at one position become their geometric mean, the trace-weighted image.

    Raises:
        StudyRefusedError: an image can't be decoded, is no grey-scale image, or holds values that are not finite.
    """
    slices = stack.volumes[b_value]
    columns, rows, _ = stack.geometry.shape
    _refuse_expansion([instance for copies in slices for instance in copies], name)
    data = np.empty((len(slices), rows, columns), dtype=np.float32)
    with quiet_pydicom():
        for index, copies in enumerate(slices):
            data[index] = trace_weighted([_read_image(instance, name) for instance in copies])
    if not np.isfinite(data).all():
        raise StudyRefusedError(Reason.PIXELS_UNREADABLE, f"{name}: a voxel value is not finite; export it again.")
    return Volume(data.transpose(2, 1, 0), stack.geometry, slices[0][0].frame_of_reference)


def content_key(volumes: Iterable[Volume]) -> str:
    """A pseudonym from voxel values alone: the same examination has the same key as DICOM and as NIfTI."""
    digest = hashlib.sha256()
    for volume in volumes:
        digest.update(repr(volume.data.shape).encode())
        # slice by slice, as DICOM and NIfTI files lie in memory: no copy
        digest.update(np.ascontiguousarray(volume.data.T, dtype="<f4").data)
    return digest.hexdigest()[:12]


def _refuse_expansion(instances: Sequence[Instance], name: str) -> None:
    """Raise for compressed images that are larger than their files could hold."""
    voxels = sum(instance.rows * instance.columns for instance in instances)
    packed = sum(path.stat().st_size for path in {instance.path for instance in instances})
    refuse_expansion(voxels, packed, name)


def _read_image(instance: Instance, name: str) -> NDArray[np.generic]:
    """One image as ``[rows, columns]`` in physical units."""
    slope, intercept = instance.encoding.slope, instance.encoding.intercept
    try:
        if slope == 0 or not np.isfinite([slope, intercept]).all():
            raise ValueError
        pixels = read_pixels(instance)
    except Exception as error:  # whatever a corrupt or unknown encoding makes a decoder raise
        raise_if_unavailable(error)
        raise StudyRefusedError(
            Reason.PIXELS_UNREADABLE,
            f"{name}: an image can't be decoded as grey values ({type(error).__name__}); export it uncompressed.",
        ) from None
    return pixels if (slope, intercept) == (1, 0) else pixels.astype(np.float64) * slope + intercept
