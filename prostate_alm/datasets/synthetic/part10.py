"""DICOM files of the synthetic patients, byte by byte and fast.

A series has some 40 elements in common. Encoding them once and joining bytes makes writing three times as fast as
saving each image with pydicom.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from prostate_alm.study import FloatArray


def encoded(dataset: Dataset) -> dict[int, bytes]:
    """Each element's bytes, explicit VR little endian, by tag."""
    by_tag: dict[int, bytes] = {}
    for element in dataset:
        buffer, single = DicomBytesIO(), Dataset()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        single.add(element)
        write_dataset(buffer, single, parent_encoding="latin-1")
        by_tag[element.tag] = buffer.getvalue()
    return by_tag


def preamble(uid: UID) -> bytes:
    """What stands before the dataset: 128 bytes, the magic word and the file meta information."""
    buffer, meta = DicomBytesIO(), FileMetaDataset()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, uid
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, PYDICOM_IMPLEMENTATION_UID
    write_file_meta_info(buffer, meta)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()


def stored_pixels(plane: FloatArray) -> NDArray[np.uint16]:
    """``[X, Y]`` to rows and columns of 12 bits."""
    return np.ascontiguousarray(np.clip(plane.T, 0, 4095)).astype("<u2")


def synthetic_uid(*sources: str) -> UID:
    """The same sources give the same UID."""
    return generate_uid(entropy_srcs=["prostate-alm synthetic", *sources])


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters, as VR DS asks."""
    return f"{value:.9g}"
