"""What the readers need to know of one DICOM image, taken from its header without its pixels.

UIDs are kept only as short hashes, so that none can reach a message, a repr or a log.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.config import IGNORE
from pydicom.tag import Tag
from pydicom.uid import UID

from prostate_alm.readers.b_values import B_VALUE_TAGS, BValue, read_b_value
from prostate_alm.readers.header import MALFORMED, Header, Pixels, Values
from prostate_alm.readers.person import person_of
from prostate_alm.readers.scrubbing import pseudonym, scrubbed, word_hashes
from prostate_alm.study import Matrix

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
MULTI_FRAME_MR = frozenset({f"{MR_IMAGE}.1", f"{MR_IMAGE}.3", f"{MR_IMAGE}.4"})  # enhanced, colour, legacy converted

_KEYWORDS = [
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "PatientID", "PatientName", "Modality", "Manufacturer", "ManufacturerModelName"),
    *("MagneticFieldStrength", "SeriesNumber", "SeriesDescription", "ImageType", "ScanningSequence", "SequenceName"),
    *("EchoTime", "RepetitionTime", "TemporalPositionIdentifier", "AcquisitionNumber", "ImagesInAcquisition"),
    *("AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime", "AcquisitionDateTime", "NumberOfFrames"),
    *("ContrastBolusAgent", "DiffusionDirectionality", "EchoPulseSequence", "EchoPlanarPulseSequence"),
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation"),
    *("SpacingBetweenSlices", "InversionTime", "InversionRecovery", "ScanOptions"),
    *("InPlanePhaseEncodingDirection", "InstanceNumber"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept"),
]
_PATIENT_KEYWORDS = [  # of whom: words of these are hidden where a scanner's free text repeats them
    *("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientBirthDate"),
    *("AccessionNumber", "StudyID", "ReferringPhysicianName", "RequestingPhysician", "PerformingPhysicianName"),
    *("OperatorsName", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "PatientAddress"),
    *("PatientMotherBirthName", "ResponsiblePerson", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
]
_TAGS = {keyword: int(Tag(keyword)) for keyword in [*_KEYWORDS, *_PATIENT_KEYWORDS]}
_PHILIPS_EPI_FACTOR = 0x2001_1013
_DAY = 86_400.0  # s
HEADER_TAGS = frozenset({*_TAGS.values(), *B_VALUE_TAGS, _PHILIPS_EPI_FACTOR})


@dataclass(frozen=True, slots=True)
class Encoding:
    """How stored values are written; a malformed number is NaN or 0, which no image has.

    Attributes:
        grey: whether an image has one sample, brighter for larger values.
        bits_allocated, bits_stored: of a sample.
        signed: whether values are two's complement.
        slope, intercept: of this image, to physical units.
    """

    grey: bool
    bits_allocated: int
    bits_stored: int
    signed: bool
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Instance:
    """One DICOM image, one frame of a multi-frame image, or another object.

    Attributes:
        path: its file.
        sop_class: what kind of object it is.
        sop, study, series, frame_of_reference: short hashes of the UIDs; empty when absent.
        patient_id, patient_name, accession: hashes, to tell patients and examinations apart; empty when absent.
        person: hash of name and birth date, of this process; empty where they name nobody (`person_of`).
        instance_number: of the image in its series; None when absent.
        number, description, image_type, sequences, sequence_name: of the series, upper case but the description.
        frames: of the object; `frame` is this one's index.
        echo_time, repetition_time: ms; None when absent.
        time: acquisition as seconds, of a day where no date is stated; None when absent.
        position: ``[3]`` mm, of the centre of the first voxel; None when absent or malformed.
        orientation: ``[2, 3]`` unit vectors along a row and down a column; None when absent or malformed.
        spacing: mm between rows and between columns; None when absent or malformed.
        slice_location: mm, as the scanner counts; None when absent.
        spacing_between_slices: mm, as the scanner states; None when absent.
        isotropic: whether the header calls it a trace image (DiffusionDirectionality).
        contrast_agent: whether the header names one.
        inversion_time: ms; None when absent.
        scan_options: of the series, upper case: fat saturation and the like.
        phase_axis: in which phase was encoded, ROW or COL; empty when absent.
        encoding, pixels: how and where the stored values lie; `pixels` is None for what is no image.
        vendor, model: of the scanner, without words of the patient.
        patient_words: hashes of the words in the patient's tags.
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
    slice_location: float | None
    spacing_between_slices: float | None
    b_value: BValue | None
    isotropic: bool
    contrast_agent: bool
    encoding: Encoding
    pixels: Pixels | None
    vendor: str = ""
    model: str = ""
    field_strength: float | None = None
    frame: int = 0
    accession: str = ""
    person: str = ""
    patient_words: frozenset[str] = frozenset()
    inversion_time: float | None = None
    scan_options: tuple[str, ...] = ()
    phase_axis: str = ""
    instance_number: int | None = None

    @property
    def shown_description(self) -> str:
        """The description of the series for a person to read: without words of the patient, dates and IDs."""
        return scrubbed(self.description, self.patient_words)

    @property
    def is_image(self) -> bool:
        """Whether it is an MR image of one frame, or a frame whose place its own header states."""
        return self.sop_class in MULTI_FRAME_MR or (self.sop_class == MR_IMAGE and self.frames == 1)

    @property
    def is_multi_frame(self) -> bool:
        """Whether it is a classic MR image with many frames in one file, whose places no header states."""
        return self.sop_class == MR_IMAGE and self.frames > 1


def read_instance(header: Header) -> Instance:
    """Take from a header what the readers need; a malformed attribute counts as absent."""
    return instance_of(header.values, header)


def instance_of(values: Values, header: Header, frame: int = 0) -> Instance:
    """The instance that `values` describe: those of the header, or for one frame of it."""
    images, instance_number = _number(values, "ImagesInAcquisition"), _number(values, "InstanceNumber")
    series_number = _number(values, "SeriesNumber")
    words = word_hashes(part for keyword in _PATIENT_KEYWORDS for part in _parts(values, keyword))
    return Instance(
        path=header.path,
        sop_class=_text(values, "SOPClassUID"),
        **{name: pseudonym(_text(values, keyword)) for name, keyword in _HASHED.items()},
        person=person_of(_text(values, "PatientName"), _text(values, "PatientBirthDate")),
        modality=_text(values, "Modality").upper(),
        number=None if series_number is None else int(series_number),
        description=clean_text(_text(values, "SeriesDescription")),
        image_type=tuple(part.upper() for part in _parts(values, "ImageType")),
        sequences=_sequences(values),
        sequence_name=_text(values, "SequenceName"),
        frames=int(_number(values, "NumberOfFrames") or 1),
        rows=int(_number(values, "Rows") or 0),
        columns=int(_number(values, "Columns") or 0),
        echo_time=_number(values, "EchoTime"),
        repetition_time=_number(values, "RepetitionTime"),
        temporal_position=_number(values, "TemporalPositionIdentifier"),
        acquisition_number=_number(values, "AcquisitionNumber"),
        images_in_acquisition=None if images is None else int(images),
        time=_time(values),
        position=_position(values),
        orientation=_orientation(values),
        spacing=_spacing(values),
        slice_location=_number(values, "SliceLocation"),
        spacing_between_slices=_number(values, "SpacingBetweenSlices"),
        b_value=read_b_value(values),
        isotropic=_text(values, "DiffusionDirectionality").upper() == "ISOTROPIC",
        contrast_agent=_text(values, "ContrastBolusAgent") != "",
        encoding=_encoding(values),
        pixels=header.pixels,
        vendor=scrubbed(clean_text(_text(values, "Manufacturer")), words),
        model=scrubbed(clean_text(_text(values, "ManufacturerModelName")), words),
        field_strength=_number(values, "MagneticFieldStrength"),
        frame=frame,
        patient_words=words,
        inversion_time=_number(values, "InversionTime"),
        scan_options=tuple(part.upper() for part in _parts(values, "ScanOptions")),
        phase_axis=_text(values, "InPlanePhaseEncodingDirection").upper(),
        instance_number=None if instance_number is None else int(instance_number),
    )


def with_words_of_all(instances: Sequence[Instance]) -> list[Instance]:
    """The images of one study, each hiding the words in the patient's tags of all: those of some may be blank."""
    words = frozenset[str]().union(*{one.patient_words for one in instances})
    return [
        one
        if one.patient_words == words
        else replace(one, patient_words=words, vendor=scrubbed(one.vendor, words), model=scrubbed(one.model, words))
        for one in instances
    ]


_HASHED = {
    "sop": "SOPInstanceUID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "frame_of_reference": "FrameOfReferenceUID",
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "accession": "AccessionNumber",
}


def clean_text(text: str) -> str:
    """A scanner's free text without control characters, at most 64 characters long."""
    return "".join(character if character.isprintable() else "?" for character in text.strip(" \0"))[:64]


def class_name(sop_class: str) -> str:
    """What the standard calls a kind of object; private kinds stay unnamed."""
    uid = UID(sop_class, validation_mode=IGNORE)  # else pydicom warns of a malformed one, and quotes it
    return uid.name if not uid.is_private and uid.name != sop_class else "unknown kind of object"


def _value(values: Values, keyword: str) -> Any:
    value = values.get(_TAGS[keyword])
    return None if value is MALFORMED else value


def _text(values: Values, keyword: str) -> str:
    value = _value(values, keyword)
    return "" if value is None else str(value).strip(" \0")


def _parts(values: Values, keyword: str) -> list[str]:
    value = _value(values, keyword)
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [str(part) for part in value if part]
    return [str(value)]


def _numbers(values: Values, keyword: str, count: int) -> list[float] | None:
    value = _value(values, keyword)
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    try:
        numbers = [float(str(number)) for number in items]
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _number(values: Values, keyword: str) -> float | None:
    numbers = _numbers(values, keyword, 1)
    return numbers[0] if numbers else None


def _position(values: Values) -> Matrix | None:
    numbers = _numbers(values, "ImagePositionPatient", 3)
    return np.array(numbers) if numbers else None


def _orientation(values: Values) -> Matrix | None:
    """Unit row and column direction; None unless they are of length 1 and perpendicular to within 1 %."""
    numbers = _numbers(values, "ImageOrientationPatient", 6)
    if numbers is None:
        return None
    axes = np.array(numbers).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(axes[0] @ axes[1]) > 0.01:
        return None
    return axes / lengths[:, None]


def _spacing(values: Values) -> tuple[float, float] | None:
    numbers = _numbers(values, "PixelSpacing", 2)
    return (numbers[0], numbers[1]) if numbers and min(numbers) > 0 else None


def _sequences(values: Values) -> tuple[str, ...]:
    """ScanningSequence, with EP and IR where only other elements tell of them (enhanced, Philips)."""
    sequences = [part.upper() for part in _parts(values, "ScanningSequence")]
    factor = values.get(_PHILIPS_EPI_FACTOR)
    planar = isinstance(factor, (int, float)) and factor > 1
    if planar or _text(values, "EchoPlanarPulseSequence").upper() == "YES":
        sequences.append("EP")
    if _text(values, "InversionRecovery").upper() == "YES":
        sequences.append("IR")
    return tuple(sequences)


def _encoding(values: Values) -> Encoding:
    slope, intercept = (
        default if values.get(_TAGS[keyword]) is None else (_number(values, keyword) or 0.0)
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if values.get(_TAGS["RescaleIntercept"]) is MALFORMED:
        intercept = math.nan
    return Encoding(
        grey=(_number(values, "SamplesPerPixel"), _text(values, "PhotometricInterpretation")) == (1, "MONOCHROME2"),
        bits_allocated=int(_number(values, "BitsAllocated") or 0),
        bits_stored=int(_number(values, "BitsStored") or 0),
        signed=_number(values, "PixelRepresentation") == 1,
        slope=slope,
        intercept=intercept,
    )


def _time(values: Values) -> float | None:
    """Seconds on a common clock: of the acquisition, or of the series when the acquisition has none.

    A time without a date counts from midnight, and must not be compared with one that has a date (`on_one_clock`).
    """
    series_day = _text(values, "SeriesDate")
    clocks = [
        (_text(values, f"{kind}Date"), _text(values, f"{kind}Time").replace(":", ""))
        for kind in ("Acquisition", "Series")
    ]
    both = _text(values, "AcquisitionDateTime")
    for day, clock in [clocks[0], (both[:8], both[8:].split("+")[0].split("-")[0]), clocks[1]]:
        if len(clock) >= 6 and clock.replace(".", "", 1).isdigit():
            seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])
            return (_day(day) or _day(series_day)) * _DAY + seconds
    return None


def on_one_clock(times: Iterable[float | None]) -> bool:
    """Whether times can be compared: all are known, and either all or none of them have a date."""
    dated = {None if time is None else time >= _DAY for time in times}
    return None not in dated and len(dated) < 2


def _day(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return 0
