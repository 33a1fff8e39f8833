"""From the images of a stack to voxel values."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.dicom import quiet_pydicom
from prostate_alm.readers.geometry import Stack
from prostate_alm.readers.instance import Instance
from prostate_alm.study import Volume


def read_volume(stack: Stack, b_value: float = 0.0, *, name: str = "the series") -> Volume:
    """Decode the images of one b-value, with RescaleSlope and RescaleIntercept applied.

    Several directions at one position become their geometric mean, the trace-weighted image.

    Raises:
        StudyRefusedError: an image can't be decoded, is no grey-scale image, or holds values that are not finite.
    """
    slices = stack.volumes[b_value]
    data = np.empty(stack.geometry.shape, dtype=np.float32)
    with quiet_pydicom():
        for index, copies in enumerate(slices):
            data[:, :, index] = _trace([_read_image(instance, name) for instance in copies])
    if not np.isfinite(data).all():
        raise StudyRefusedError(Reason.PIXELS_UNREADABLE, f"{name}: a voxel value is not finite; export it again.")
    return Volume(data, stack.geometry, slices[0][0].frame_of_reference)


def content_key(volumes: Iterable[Volume]) -> str:
    """A pseudonym from voxel values alone: the same examination has the same key as DICOM and as NIfTI."""
    digest = hashlib.sha256()
    for volume in volumes:
        digest.update(repr(volume.data.shape).encode())
        digest.update(np.ascontiguousarray(volume.data).astype("<f4").tobytes())
    return digest.hexdigest()[:12]


def _trace(images: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    if len(images) == 1:
        return images[0]
    with np.errstate(divide="ignore"):  # log 0 = -inf, whose exponential is 0 again
        return np.exp(np.mean(np.log(np.maximum(images, 0.0)), axis=0))


def _read_image(instance: Instance, name: str) -> NDArray[np.float64]:
    """One image as ``[X, Y]``."""
    try:
        dataset = dcmread(instance.path)
        if (dataset.SamplesPerPixel, dataset.PhotometricInterpretation) != (1, "MONOCHROME2"):
            raise ValueError
        pixels = dataset.pixel_array
        if pixels.shape != (instance.rows, instance.columns):
            raise ValueError
        slope, intercept = _rescale(dataset)
    except Exception as error:  # whatever a corrupt or unknown encoding makes pydicom raise
        raise StudyRefusedError(
            Reason.PIXELS_UNREADABLE,
            f"{name}: an image can't be decoded as grey values ({type(error).__name__}); export it uncompressed.",
        ) from None
    return pixels.T.astype(np.float64) * slope + intercept


def _rescale(dataset: Dataset) -> tuple[float, float]:
    """RescaleSlope, which is not 0, and RescaleIntercept; 1 and 0 where an image has none."""
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    factor = 1.0 if slope is None else float(slope)
    if factor == 0:
        raise ValueError
    return factor, 0.0 if intercept is None else float(intercept)
