"""What the readers need to know of one DICOM image, taken from its header without its pixels.

UIDs are kept only as short hashes, so that none can reach a message, a repr or a log.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from prostate_alm.readers.b_values import GE_TAG, PHILIPS_TAG, SIEMENS_TAG, STANDARD_TAG, BValue, read_b_value
from prostate_alm.study import Matrix

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
MULTI_FRAME_MR = frozenset({f"{MR_IMAGE}.1", f"{MR_IMAGE}.3", f"{MR_IMAGE}.4"})  # enhanced, colour, legacy converted

_KEYWORDS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("PatientID", "PatientName", "Modality", "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength"),
    *("SeriesNumber", "SeriesDescription", "ImageType", "ScanningSequence", "SequenceName", "EchoTime"),
    *("RepetitionTime", "TemporalPositionIdentifier", "AcquisitionNumber", "ImagesInAcquisition", "NumberOfFrames"),
    *("AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime"),
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "PixelData"),
]
_B_VALUE_TAGS = [STANDARD_TAG, SIEMENS_TAG, GE_TAG, PHILIPS_TAG, 0x0019_0010, 0x0043_0010, 0x2001_0010]
HEADER_TAGS: list[int] = [*(int(Tag(keyword)) for keyword in _KEYWORDS), *_B_VALUE_TAGS]


@dataclass(frozen=True, eq=False, repr=False)
class Instance:
    """One DICOM image or other object.

    Attributes:
        path: its file.
        sop_class: what kind of object it is.
        sop, study, series, frame_of_reference: short hashes of the UIDs; empty when absent.
        patient_id, patient_name: hashes, to tell two patients apart; empty when absent.
        number, description, image_type, sequences, sequence_name: of the series, upper case but the description.
        echo_time, repetition_time: ms; None when absent.
        time: acquisition as seconds; None when absent.
        position: ``[3]`` mm, of the centre of the first voxel; None when absent or malformed.
        orientation: ``[2, 3]`` unit vectors along a row and down a column; None when absent or malformed.
        spacing: mm between rows and between columns; None when absent or malformed.
    """

    path: Path
    sop_class: str
    sop: str
    study: str
    series: str
    frame_of_reference: str
    patient_id: str
    patient_name: str
    modality: str
    number: int | None
    description: str
    image_type: tuple[str, ...]
    sequences: tuple[str, ...]
    sequence_name: str
    frames: int
    rows: int
    columns: int
    echo_time: float | None
    repetition_time: float | None
    temporal_position: float | None
    acquisition_number: float | None
    images_in_acquisition: int | None
    time: float | None
    position: Matrix | None
    orientation: Matrix | None
    spacing: tuple[float, float] | None
    b_value: BValue | None
    vendor: str = ""
    model: str = ""
    field_strength: float | None = field(default=None)

    @property
    def is_image(self) -> bool:
        """Whether it is an MR image with one frame."""
        return self.sop_class == MR_IMAGE and self.frames == 1

    @property
    def is_multi_frame(self) -> bool:
        """Whether it is an MR image with many frames in one file."""
        return self.sop_class in MULTI_FRAME_MR or (self.sop_class == MR_IMAGE and self.frames > 1)


def read_instance(dataset: Dataset, path: Path) -> Instance:
    """Take from a header what the readers need; a malformed attribute counts as absent."""
    numbers = {name: _number(dataset, name) for name in ("SeriesNumber", "NumberOfFrames", "Rows", "Columns")}
    images = _number(dataset, "ImagesInAcquisition")
    return Instance(
        path=path,
        sop_class=_text(dataset, "SOPClassUID"),
        **{name: pseudonym(_text(dataset, keyword)) for name, keyword in _HASHED.items()},
        modality=_text(dataset, "Modality").upper(),
        number=None if numbers["SeriesNumber"] is None else int(numbers["SeriesNumber"]),
        description=clean_text(_text(dataset, "SeriesDescription")),
        image_type=tuple(part.upper() for part in _parts(dataset, "ImageType")),
        sequences=tuple(part.upper() for part in _parts(dataset, "ScanningSequence")),
        sequence_name=_text(dataset, "SequenceName"),
        frames=int(numbers["NumberOfFrames"] or 1),
        rows=int(numbers["Rows"] or 0),
        columns=int(numbers["Columns"] or 0),
        echo_time=_number(dataset, "EchoTime"),
        repetition_time=_number(dataset, "RepetitionTime"),
        temporal_position=_number(dataset, "TemporalPositionIdentifier"),
        acquisition_number=_number(dataset, "AcquisitionNumber"),
        images_in_acquisition=None if images is None else int(images),
        time=_time(dataset),
        position=_position(dataset),
        orientation=_orientation(dataset),
        spacing=_spacing(dataset),
        b_value=read_b_value(dataset),
        vendor=clean_text(_text(dataset, "Manufacturer")),
        model=clean_text(_text(dataset, "ManufacturerModelName")),
        field_strength=_number(dataset, "MagneticFieldStrength"),
    )


_HASHED = {
    "sop": "SOPInstanceUID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "frame_of_reference": "FrameOfReferenceUID",
    "patient_id": "PatientID",
    "patient_name": "PatientName",
}


def pseudonym(text: str) -> str:
    """A name that tells two texts apart and gives neither away; empty for an empty one."""
    normal = text.strip(" \0^").casefold()
    return hashlib.sha256(normal.encode("utf-8", errors="replace")).hexdigest()[:12] if normal else ""


def clean_text(text: str) -> str:
    """A scanner's free text without control characters, at most 64 characters long."""
    return "".join(character if character.isprintable() else "?" for character in text.strip(" \0"))[:64]


def class_name(sop_class: str) -> str:
    """What the standard calls a kind of object; private kinds stay unnamed."""
    uid = UID(sop_class)
    return uid.name if not uid.is_private and uid.name != sop_class else "unknown kind of object"


def _value(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset.get(keyword)
    except (ValueError, TypeError, OverflowError, ArithmeticError):  # a decimal string that is no number
        return None


def _text(dataset: Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    return "" if value is None else str(value).strip(" \0")


def _parts(dataset: Dataset, keyword: str) -> list[str]:
    value = _value(dataset, keyword)
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [str(part) for part in value if part]
    return [str(value)]


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float] | None:
    value = _value(dataset, keyword)
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    try:
        numbers = [float(str(number)) for number in values]
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset, keyword, 1)
    return numbers[0] if numbers else None


def _position(dataset: Dataset) -> Matrix | None:
    numbers = _numbers(dataset, "ImagePositionPatient", 3)
    return np.array(numbers) if numbers else None


def _orientation(dataset: Dataset) -> Matrix | None:
    """Unit row and column direction; None unless they are of length 1 and perpendicular to within 1 %."""
    numbers = _numbers(dataset, "ImageOrientationPatient", 6)
    if numbers is None:
        return None
    axes = np.array(numbers).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(axes[0] @ axes[1]) > 0.01:
        return None
    return axes / lengths[:, None]


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    numbers = _numbers(dataset, "PixelSpacing", 2)
    return (numbers[0], numbers[1]) if numbers and min(numbers) > 0 else None


def _time(dataset: Dataset) -> float | None:
    """Seconds on a common clock: of the acquisition, or of the series when the acquisition has none."""
    for kind in ("Acquisition", "Series"):
        clock = _text(dataset, f"{kind}Time").replace(":", "")
        if len(clock) >= 6 and clock.replace(".", "", 1).isdigit():
            seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])
            return _day(_text(dataset, f"{kind}Date")) * 86_400 + seconds
    return None


def _day(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return 0
