"""An examination as a list of series to be written, in one vendor's way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from prostate_alm.datasets.synthetic.part10 import decimal, encoded, preamble, synthetic_uid
from prostate_alm.datasets.synthetic.vendors import Kind, SeriesStyle, Vendor
from prostate_alm.study import FloatArray, Volume

CANARY = "Qwyllgrave"  # the family name of every patient: it must never leave the headers
STUDY_DATE = "20171113"
_TIMING = {  # repetition and echo time in ms; None takes the scanner's echo time
    Kind.LOCALIZER: (7.0, 3.5),
    Kind.T1: (600.0, 11.0),
    Kind.T2: (4500.0, None),
    Kind.T2_SAGITTAL: (4500.0, None),
    Kind.DCE: (5.2, 1.7),
}


@dataclass(frozen=True)
class Images:
    """One volume of a series; its slices share what `elements` say, by keyword."""

    volume: Volume
    b_value: float | None = None
    elements: Mapping[str, object] = field(default_factory=dict)
    sequence_name: str = ""


@dataclass(frozen=True)
class SeriesPlan:
    """A series to be written.

    Attributes:
        number: SeriesNumber; the series begins so many times five minutes after eight.
        kind: what it is.
        style: what the vendor says of it.
        images: its volumes.
        timing: repetition and echo time in ms; None takes those of the kind.
        enhanced: whether the images were acquired after contrast agent was given.
        begins_as: number of the series it begins at the same time as; 0 for its own.
    """

    number: int
    kind: Kind
    style: SeriesStyle
    images: tuple[Images, ...] = field(repr=False)
    timing: tuple[float, float] | None = None
    enhanced: bool = False
    begins_as: int = 0


@dataclass(frozen=True)
class Examination:
    """Everything that is written for one patient.

    Attributes:
        key: pseudonymous name; every UID follows from it.
        patient: number of the patient, from which name and ID follow.
        vendor: whose conventions are used.
        series: in the order of their numbers.
        position: PatientPosition.
    """

    key: str
    patient: int
    vendor: Vendor
    series: tuple[SeriesPlan, ...]
    position: str = "HFS"


def timing_of(plan: SeriesPlan, vendor: Vendor) -> tuple[float, float]:
    """Repetition and echo time of a series in ms."""
    if plan.timing is not None:
        return plan.timing
    repetition, echo = _TIMING.get(plan.kind, (4200.0, vendor.scanner.dwi_te))
    return repetition, vendor.scanner.t2_te if echo is None else echo


def write_single_frames(examination: Examination, folder: Path) -> None:
    """Write every series into `folder`, one classic MR file an image."""
    folder.mkdir(parents=True, exist_ok=True)
    for plan in examination.series:
        series_uid = synthetic_uid(examination.key, f"series {plan.number}")
        shared = encoded(_shared(examination, plan, series_uid))
        of_volume = {id(images): encoded(_of_volume(examination.vendor, images)) for images in plan.images}
        for number, (images, index) in enumerate(_acquired_order(plan, examination.position), start=1):
            uid = synthetic_uid(series_uid, str(number))
            own = encoded(_of_slice(examination.vendor, images, index, number=number, uid=uid))
            elements = shared | of_volume[id(images)] | own
            content = preamble(uid) + b"".join(elements[tag] for tag in sorted(elements))
            (folder / f"{plan.number:02d}-{number:04d}.dcm").write_bytes(content)


def identify(dataset: Dataset, examination: Examination, plan: SeriesPlan) -> None:
    """Patient, study, series, frame of reference and scanner of an examination that never took place."""
    vendor, key = examination.vendor, examination.key
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "MR", vendor.manufacturer, vendor.model
    dataset.PatientName = f"{CANARY}^Ottoline{examination.patient}"
    dataset.PatientID, dataset.PatientBirthDate = f"{CANARY}-{examination.patient:05d}", "19480229"
    dataset.PatientSex, dataset.PatientPosition = "M", examination.position
    dataset.StudyDate = dataset.SeriesDate = STUDY_DATE
    dataset.StudyTime, dataset.SeriesTime = "080000", series_time(plan)
    dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = "", "", ""
    dataset.StudyInstanceUID = synthetic_uid(key, "study")
    dataset.SeriesInstanceUID = synthetic_uid(key, f"series {plan.number}")
    dataset.FrameOfReferenceUID = synthetic_uid(key, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.SeriesNumber, dataset.BodyPartExamined = plan.number, "PROSTATE"
    dataset.SeriesDescription = plan.style.description
    dataset.ProtocolName = vendor.protocol or plan.style.description
    dataset.ImageType, dataset.MagneticFieldStrength = list(plan.style.image_type), 3.0
    if plan.enhanced or plan.kind is Kind.DCE:
        dataset.ContrastBolusAgent = "Gadobutrol"


def series_time(plan: SeriesPlan) -> str:
    """When a series began, HHMMSS."""
    number = plan.begins_as or plan.number
    return f"{8 + number // 12:02d}{5 * (number % 12):02d}00"


def _shared(examination: Examination, plan: SeriesPlan, series_uid: UID) -> Dataset:
    """What every image of a series says."""
    vendor, volume, dataset = examination.vendor, plan.images[0].volume, Dataset()
    identify(dataset, examination, plan)
    dataset.SOPClassUID, dataset.SeriesInstanceUID = MRImageStorage, series_uid
    dataset.AcquisitionDate, dataset.AcquisitionTime, dataset.AcquisitionNumber = STUDY_DATE, series_time(plan), 1
    dataset.ScanningSequence, dataset.SequenceVariant = list(plan.style.scanning), "SK"
    dataset.ScanOptions, dataset.MRAcquisitionType = "FS", "2D"
    dataset.RepetitionTime, dataset.EchoTime = (decimal(value) for value in timing_of(plan, vendor))
    dataset.EchoTrainLength = 25
    dataset.SliceThickness = decimal(volume.geometry.spacing[2] - 0.3)  # thinner than the gap, as often
    dataset.SpacingBetweenSlices = decimal(volume.geometry.spacing[2])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    if vendor.slope:
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(vendor.slope), "0"
        dataset.RescaleType = "normalized"
    if vendor.counts_images and "ORIGINAL" in plan.style.image_type:
        dataset.ImagesInAcquisition = sum(images.volume.geometry.shape[2] for images in plan.images)
    return dataset


def _acquired_order(plan: SeriesPlan, position: str) -> Iterator[tuple[Images, int]]:
    """Volumes and slice indices in the order of acquisition: the end that enters the scanner first."""
    for images in plan.images:
        order = range(images.volume.geometry.shape[2])
        for index in reversed(order) if position == "FFS" else order:
            yield images, index


def _of_volume(vendor: Vendor, images: Images) -> Dataset:
    """What the slices of one volume say beside what their series shares."""
    geometry, dataset = images.volume.geometry, Dataset()
    dataset.ImageOrientationPatient = [decimal(value) for value in geometry.direction[:, :2].T.ravel()]
    dataset.PixelSpacing = [decimal(geometry.spacing[1]), decimal(geometry.spacing[0])]
    dataset.Columns, dataset.Rows = geometry.shape[:2]
    if images.sequence_name:
        dataset.SequenceName = images.sequence_name
    for keyword, value in images.elements.items():
        setattr(dataset, keyword, value)
    if images.b_value is not None:
        vendor.write_b_value(dataset, images.b_value)
    return dataset


def _of_slice(vendor: Vendor, images: Images, index: int, *, number: int, uid: UID) -> Dataset:
    """What one image says for itself."""
    dataset = Dataset()
    dataset.SOPInstanceUID, dataset.InstanceNumber = uid, number
    x, y, z = images.volume.geometry.affine[:3] @ [0.0, 0.0, index, 1.0]
    dataset.ImagePositionPatient = [decimal(x), decimal(y), decimal(z)]
    dataset.add_new("PixelData", "OW", stored_values(images.volume.data[:, :, index], vendor.slope or 1.0))
    return dataset


def stored_values(plane: FloatArray, slope: float) -> bytes:
    """``[X, Y]`` to rows and columns of 16 bits; values that the slope divides are kept exactly."""
    return np.clip(np.rint(plane.T / slope), 0, 65535).astype("<u2").tobytes()
