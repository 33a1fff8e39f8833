"""Stored values of one image: straight from the file where they are not compressed, else through a decoder.

Run-length encoding is pydicom's. The JPEG family (baseline, extended, lossless, JPEG-LS, JPEG 2000) is decoded by the
GDCM inside SimpleITK, from a file that holds this one frame and no rescale: SimpleITK would apply that itself.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage

from prostate_alm.readers.codestream import coded_size
from prostate_alm.readers.header import BIG_ENDIAN
from prostate_alm.readers.instance import Instance

_LARGEST_COMPRESSED = 1 << 28  # bytes of one encapsulated object
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_TYPES = {(8, False): "u1", (8, True): "i1", (16, False): "u2", (16, True): "i2", (32, False): "u4", (32, True): "i4"}


def read_pixels(instance: Instance) -> NDArray[np.generic]:
    """The stored values of an image or frame as ``[rows, columns]``.

    Raises:
        ValueError: it is no grey-scale image, or its values do not fill its rows and columns.
        Exception: whatever a corrupt encoding makes a decoder raise.
    """
    encoding, pixels = instance.encoding, instance.pixels
    stored = _TYPES.get((encoding.bits_allocated, encoding.signed))
    if pixels is None or stored is None or not encoding.grey or not encoding.bits_stored <= encoding.bits_allocated:
        raise ValueError("no grey-scale image of 8, 16 or 32 bits")
    if pixels.length is None:
        decoded = _decode(instance)
        if decoded.shape != (instance.rows, instance.columns):
            raise ValueError("another size than the header's")
        return decoded
    order = ">" if pixels.syntax == BIG_ENDIAN else "<"
    return _read_plain(instance, np.dtype(order + stored))


def _read_plain(instance: Instance, stored: np.dtype[np.generic]) -> NDArray[np.generic]:
    pixels, size = instance.pixels, instance.rows * instance.columns * stored.itemsize
    assert pixels is not None
    expected = size * instance.frames
    if pixels.length not in {expected, expected + expected % 2}:
        raise ValueError("the values do not fill the image")
    with instance.path.open("rb", buffering=0) as stream:
        stream.seek(pixels.offset + size * instance.frame)
        content = stream.read(size)
    return np.frombuffer(content, stored).reshape(instance.rows, instance.columns)


def _decode(instance: Instance) -> NDArray[np.generic]:
    pixels = instance.pixels
    assert pixels is not None
    size = instance.path.stat().st_size - pixels.offset
    if size > _LARGEST_COMPRESSED:
        raise ValueError("more compressed bytes than any study has")
    with instance.path.open("rb") as stream:
        stream.seek(pixels.offset)
        frame = get_frame(stream.read(size), instance.frame, number_of_frames=instance.frames)
    if pixels.syntax == RLELossless:
        return _frame_file(frame, instance).pixel_array
    if not pixels.syntax.startswith(_JPEG_FAMILY):
        raise ValueError("an encoding that is not read")
    if coded_size(frame) != (instance.rows, instance.columns):
        raise ValueError("another size than the header's")
    return _decode_jpeg(frame, instance)


def _decode_jpeg(frame: bytes, instance: Instance) -> NDArray[np.generic]:
    import SimpleITK as sitk  # noqa: PLC0415 - half a second, and few studies are compressed

    with tempfile.TemporaryDirectory(prefix="prostate-alm-") as folder:
        path = Path(folder) / "frame.dcm"
        _frame_file(frame, instance).save_as(path, enforce_file_format=True)
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
    array = sitk.GetArrayFromImage(image)
    return array[0] if array.ndim == 3 else array


def _frame_file(frame: bytes, instance: Instance) -> Dataset:
    """A file that holds one compressed frame and nothing of the patient."""
    assert instance.pixels is not None
    dataset, encoding = Dataset(), instance.encoding
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(instance.pixels.syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = SecondaryCaptureImageStorage, "1.2.3", "OT"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    dataset.Rows, dataset.Columns = instance.rows, instance.columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = encoding.bits_allocated, encoding.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = encoding.bits_stored - 1, int(encoding.signed)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return dataset
