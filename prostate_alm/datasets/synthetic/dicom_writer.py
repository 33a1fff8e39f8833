"""Write a synthetic patient as classic MR DICOM, in the tag conventions of Siemens scanners before XA.

Beside T2w, the multi-b diffusion series and the ADC map, the examination holds what a series choice must
leave aside: a sagittal T2w series and a calculated b-value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from prostate_alm.datasets.synthetic.part10 import decimal, encoded, preamble, stored_pixels, synthetic_uid
from prostate_alm.datasets.synthetic.presets import Scanner, Truth
from prostate_alm.study import Geometry, Study, Volume

CALCULATED_B = 1400.0
SAGITTAL_STEPS_MM = (4.0, 1.5)  # between slices, in the plane
SAGITTAL_WIDTH_MM = 72.0


@dataclass(frozen=True)
class _Image:
    """One volume of a series: its slices share these facts."""

    volume: Volume
    sequence_name: str
    b_value: float | None = None


@dataclass(frozen=True)
class _SeriesPlan:
    """What one series says about itself."""

    number: int
    description: str
    image_type: tuple[str, ...]
    scanning: tuple[str, str]  # scanning sequence, scan options
    timing: tuple[float, float, int]  # TR and TE in ms, echo train length
    images: tuple[_Image, ...] = field(repr=False)


def write_dicom_study(study: Study, truth: Truth, folder: Path) -> None:
    """Write every series of a synthetic patient into `folder`, one file an image.

    UIDs follow from the study's key alone; head-first patients are scanned from inferior, feet-first ones
    from superior.
    """
    folder.mkdir(parents=True)
    for plan in _series(study, truth.scanner):
        series_uid = synthetic_uid(study.key, f"series {plan.number}")
        shared = encoded(_shared(study, truth, plan, series_uid))
        for number, (image, index) in enumerate(_acquired_order(plan, truth.patient_position), start=1):
            uid = synthetic_uid(series_uid, str(number))
            elements = shared | encoded(_own(image, index, number, uid))
            content = preamble(uid) + b"".join(elements[tag] for tag in sorted(elements))
            (folder / f"{plan.number:02d}-{number:04d}.dcm").write_bytes(content)


def _series(study: Study, scanner: Scanner) -> Iterator[_SeriesPlan]:
    turbo, planar = ("SE", "SAT1"), ("EP", "PFP\\FS")
    t2_timing, dwi_timing = (4500.0, scanner.t2_te, 25), (4200.0, scanner.dwi_te, 48)
    original, derived = ("ORIGINAL", "PRIMARY", "M", "NORM"), ("DERIVED", "PRIMARY", "DIFFUSION")
    lowest, highest = min(study.dwi), max(study.dwi)
    fitted = f"*ep_b{lowest:.0f}_{highest:.0f}"
    trace = tuple(_Image(volume, f"*ep_b{b:.0f}t", b) for b, volume in study.dwi.items())
    sagittal, calculated = sagittal_reformat(study.t2), calculated_b(study)
    yield _SeriesPlan(2, "t2_tse_sag", original, turbo, t2_timing, (_Image(sagittal, "*tse2d1_25"),))
    yield _SeriesPlan(3, "t2_tse_tra", original, turbo, t2_timing, (_Image(study.t2, "*tse2d1_25"),))
    yield _SeriesPlan(4, "ep2d_diff_tra", (*derived, "TRACEW"), planar, dwi_timing, trace)
    adc = _Image(study.adc, fitted, highest)
    yield _SeriesPlan(5, "ep2d_diff_tra_ADC", (*derived, "ADC"), planar, dwi_timing, (adc,))
    extrapolated = _Image(calculated, fitted, CALCULATED_B)
    yield _SeriesPlan(6, "ep2d_diff_tra_CALC_BVAL", (*derived, "TRACEW"), planar, dwi_timing, (extrapolated,))


def sagittal_reformat(t2: Volume) -> Volume:
    """A coarse sagittal reformat of the T2w volume: columns to posterior, rows to inferior, slices to the left."""
    (nx, ny, nz), (dx, dy, dz) = t2.geometry.shape, t2.geometry.spacing
    margin = max(0, round((nx - SAGITTAL_WIDTH_MM / dx) / 2))
    columns = np.arange(margin, nx - margin, max(1, round(SAGITTAL_STEPS_MM[0] / dx)))
    rows = np.arange(0, ny, max(1, round(SAGITTAL_STEPS_MM[1] / dy)))
    heights = np.arange(nz - 1, -1e-6, -SAGITTAL_STEPS_MM[1] / dz)
    data = t2.data[np.ix_(columns, rows, np.rint(heights).astype(int))].transpose(1, 2, 0)
    affine, source = np.eye(4), t2.geometry.affine
    affine[:3, 0] = source[:3, 1] * rows[1]
    affine[:3, 1] = -source[:3, 2] * SAGITTAL_STEPS_MM[1] / dz
    affine[:3, 2] = source[:3, 0] * (columns[1] - columns[0])
    affine[:, 3] = source @ [columns[0], rows[0], heights[0], 1.0]
    x, y, z = data.shape
    return Volume(data, Geometry((x, y, z), affine))


def calculated_b(study: Study) -> Volume:
    """The highest b-value extrapolated by the ADC, as scanners offer it."""
    highest = max(study.dwi)
    decay = np.exp(-(CALCULATED_B - highest) * 1e-6 * study.adc.data)
    return Volume(np.rint(study.dwi[highest].data * decay), study.adc.geometry)


def _acquired_order(plan: _SeriesPlan, patient_position: str) -> Iterator[tuple[_Image, int]]:
    """Image and slice index in the order of acquisition."""
    for image in plan.images:
        order = range(image.volume.geometry.shape[2])
        for index in reversed(order) if patient_position == "FFS" else order:
            yield image, index


def _shared(study: Study, truth: Truth, plan: _SeriesPlan, series_uid: UID) -> Dataset:
    """What every image of a series says."""
    geometry, dataset = plan.images[0].volume.geometry, Dataset()
    _identify(dataset, study.key, plan.number)
    dataset.SeriesInstanceUID, dataset.AcquisitionNumber = series_uid, 1
    dataset.Manufacturer = "SIEMENS"
    dataset.ManufacturerModelName = f"Phantom {truth.vendor}"
    dataset.MagneticFieldStrength = "3"
    dataset.PatientPosition = truth.patient_position
    dataset.SeriesDescription = dataset.ProtocolName = plan.description
    dataset.ImageType = list(plan.image_type)
    dataset.ScanningSequence, dataset.ScanOptions = plan.scanning[0], plan.scanning[1].split("\\")
    dataset.SequenceVariant, dataset.MRAcquisitionType = "SK", "2D"
    dataset.RepetitionTime, dataset.EchoTime = (decimal(value) for value in plan.timing[:2])
    dataset.EchoTrainLength = plan.timing[2]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = decimal(geometry.spacing[2])
    dataset.PixelSpacing = [decimal(geometry.spacing[1]), decimal(geometry.spacing[0])]
    dataset.ImageOrientationPatient = [decimal(value) for value in geometry.direction[:, :2].T.ravel()]
    dataset.Columns, dataset.Rows = geometry.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    return dataset


def _identify(dataset: Dataset, key: str, series_number: int) -> None:
    """Patient, study, series and frame of reference of an examination that never took place."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    dataset.PatientName = dataset.PatientID = key
    dataset.PatientBirthDate, dataset.PatientSex = "", "M"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20000101"
    dataset.StudyTime = "080000"
    dataset.SeriesTime = dataset.AcquisitionTime = f"08{5 * series_number:02d}00"
    dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = "", "", ""
    dataset.StudyInstanceUID = synthetic_uid(key, "study")
    dataset.FrameOfReferenceUID = synthetic_uid(key, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.SeriesNumber, dataset.BodyPartExamined = series_number, "PROSTATE"


def _own(image: _Image, index: int, number: int, uid: UID) -> Dataset:
    """What one image says beside what its series shares."""
    dataset = Dataset()
    x, y, z = image.volume.geometry.affine[:3] @ [0.0, 0.0, index, 1.0]
    dataset.SOPInstanceUID, dataset.InstanceNumber = uid, number
    dataset.ImagePositionPatient = [decimal(x), decimal(y), decimal(z)]
    dataset.SequenceName = image.sequence_name
    if image.b_value is not None:
        block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", f"{image.b_value:.0f}")
    dataset.add_new("PixelData", "OW", stored_pixels(image.volume.data[:, :, index]).tobytes())
    return dataset
