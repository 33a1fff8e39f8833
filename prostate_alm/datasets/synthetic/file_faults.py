"""Faults of the written DICOM files, one series or slice at a time; each is drawn from the generator it is given."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from prostate_alm.datasets.synthetic.examination import CANARY
from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.datasets.synthetic.part10 import decimal
from prostate_alm.study import Geometry, Role, Study, Volume

Rng = np.random.Generator
_NAMES = (
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "RequestingPhysician",
    "OtherPatientNames",
)
_NAMES += ("PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson", "NameOfPhysiciansReadingStudy")
_TEXTS = (
    "OtherPatientIDs",
    "PatientComments",
    "PatientAddress",
    "AccessionNumber",
    "StudyID",
    "AdditionalPatientHistory",
)
_TEXTS += ("InstitutionName", "StationName", "EthnicGroup", "Occupation", "PatientTelephoneNumbers", "ImageComments")
_TEXTS += (
    "MilitaryRank",
    "CountryOfResidence",
    "RequestedProcedureID",
    "PerformedProcedureStepID",
    "MedicalRecordLocator",
)

_OTHER_OBJECTS = {
    "SR": BasicTextSRStorage,
    "PR": GrayscaleSoftcopyPresentationStateStorage,
    "MR": RawDataStorage,
    "OT": SecondaryCaptureImageStorage,
}


@dataclass(frozen=True)
class Written:
    """One examination on disk.

    Attributes:
        folder: its files, ``NN-NNNN.dcm`` by series number and image.
        roles: numbers of the series that are the study.
        targets: roles whose files a fault of one series may hit.
        study: what a reader should make of it.
    """

    folder: Path
    roles: Mapping[Role, tuple[int, ...]]
    targets: tuple[Role, ...]
    study: Study

    def files(self, *roles: Role) -> list[Path]:
        """The files of some roles; all files without one."""
        numbers = {number for role in roles for number in self.roles.get(role, ())}
        everything = sorted(self.folder.rglob("*.dcm"))
        return [path for path in everything if not roles or int(path.name[:2]) in numbers]


def break_files(fault: Fault | None, written: Written, rng: Rng) -> Study:
    """Put a fault into written files; other faults change nothing.

    Returns:
        What a reader should make of them, if it can.
    """
    change = _CHANGES.get(fault) if fault is not None else None
    changed = None if change is None else change(written, rng)
    return written.study if changed is None else changed


def _target(written: Written, rng: Rng) -> Role:
    return written.targets[int(rng.integers(len(written.targets)))]


def _slices(written: Written, role: Role) -> list[list[Path]]:
    """The files of a role at each position along the normal, in its order."""
    along: dict[float, list[Path]] = {}
    for path in written.files(role):
        header = dcmread(path, stop_before_pixels=True)
        axes = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        height = float(np.cross(axes[0], axes[1]) @ np.array(header.ImagePositionPatient, dtype=float))
        along.setdefault(round(height, 2), []).append(path)
    return [along[height] for height in sorted(along)]


def _one_inside(written: Written, rng: Rng) -> Path:
    """One image that is neither first nor last in its series."""
    slices = _slices(written, _target(written, rng))
    images = slices[int(rng.integers(2, len(slices) - 2))]
    return images[int(rng.integers(len(images)))]


def _inner_slice_lost(written: Written, rng: Rng) -> None:
    """One image is missing, or all images of one position."""
    slices = _slices(written, _target(written, rng))
    images = slices[int(rng.integers(2, len(slices) - 2))]
    for path in images if rng.random() < 0.5 else images[:1]:
        path.unlink()


def _edge_slice_lost(written: Written, rng: Rng) -> Study:
    """The first or last slice is missing: of T2w, nothing shows it unless its header counts the images."""
    role, first = _target(written, rng), bool(rng.integers(2))
    for path in _slices(written, role)[0 if first else -1]:
        path.unlink()
    return _shorter(written.study, first=first) if role is Role.T2 else written.study


def _shorter(study: Study, *, first: bool) -> Study:
    t2 = study.t2
    data = t2.data[:, :, 1:] if first else t2.data[:, :, :-1]
    affine = np.array(t2.geometry.affine)
    affine[:, 3] = t2.geometry.affine @ [0.0, 0.0, float(first), 1.0]
    x, y, z = data.shape
    return replace(study, t2=Volume(data, Geometry((x, y, z), affine), t2.frame_of_reference))


def _slice_doubled(written: Written, rng: Rng) -> None:
    """A second image at one position, under a UID of its own and with other values."""
    path = _one_inside(written, rng)
    image = dcmread(path)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(rng.random())])
    image.PixelData = np.roll(np.frombuffer(image.PixelData, "<u2"), 7).tobytes()
    image.save_as(path.with_name(f"{path.stem}b.dcm"))


def _slice_tilted(written: Written, rng: Rng) -> None:
    path, angle = _one_inside(written, rng), np.deg2rad(rng.uniform(3, 15))
    with _edited(path) as image:
        axes = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
        normal = np.cross(axes[0], axes[1])
        tilted = [axes[0], np.cos(angle) * axes[1] + np.sin(angle) * normal]
        image.ImageOrientationPatient = [decimal(value) for value in np.ravel(tilted)]


def _spacing_mixed(written: Written, rng: Rng) -> None:
    with _edited(_one_inside(written, rng)) as image:
        factor = rng.choice((0.5, 0.9, 1.1, 2.0))
        image.PixelSpacing = [decimal(float(value) * factor) for value in image.PixelSpacing]


def _numbers_shuffled(written: Written, rng: Rng) -> None:
    """Instance numbers and file names that say nothing of the place."""
    files = written.files()
    for path, number in zip(files, rng.permutation(len(files)), strict=True):
        with _edited(path) as image:
            image.InstanceNumber = int(number) + 1
        path.replace(path.with_name(f"{path.name[:2]}-x{int(number):05d}.dcm"))


def _series_merged(written: Written, rng: Rng) -> None:
    """Axial and sagittal T2w, or diffusion and its map, under one series UID and number."""
    if rng.random() < 0.5:
        kept, moved = [path for path in written.files() if path.name.startswith("02-")], written.files(Role.T2)
    else:
        kept, moved = written.files(Role.DWI), written.files(Role.ADC)
    header = dcmread(kept[0], stop_before_pixels=True)
    for path in moved:
        with _edited(path) as image:
            image.SeriesInstanceUID, image.SeriesNumber = header.SeriesInstanceUID, header.SeriesNumber


def _descriptions_swapped(written: Written, _: Rng) -> None:
    """A technician's slip: T2w is called what the diffusion is, and the other way round."""
    roles = (Role.T2, Role.DWI)
    names = [dcmread(written.files(role)[0], stop_before_pixels=True).SeriesDescription for role in roles]
    for role, name in zip(roles, reversed(names), strict=True):
        for path in written.files(role):
            with _edited(path) as image:
                image.SeriesDescription = name


def _other_objects(written: Written, _: Rng) -> None:
    """What else a PACS sends of an examination: a report, a presentation state, raw data, a screenshot."""
    header = dcmread(written.files()[0], stop_before_pixels=True)
    for number, (modality, sop_class) in enumerate(_OTHER_OBJECTS.items(), start=90):
        other = Dataset()
        for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime"):
            setattr(other, keyword, header.get(keyword))
        other.SOPClassUID, other.Modality, other.SeriesNumber = sop_class, modality, number
        other.SOPInstanceUID, other.SeriesInstanceUID = (
            generate_uid(entropy_srcs=[kind, modality, header.StudyInstanceUID]) for kind in ("image", "series")
        )
        other.SeriesDescription = "t2_tse_tra"  # named after what it refers to
        if sop_class == SecondaryCaptureImageStorage:
            other.Rows, other.Columns, other.SamplesPerPixel, other.PhotometricInterpretation = 4, 4, 1, "MONOCHROME2"
            other.BitsAllocated, other.BitsStored, other.HighBit, other.PixelRepresentation = 8, 8, 7, 0
            other.PixelData = bytes(16)
            other["PixelData"].VR = "OB"
        meta = other.file_meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, sop_class
        meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        other.save_as(written.folder / f"{number:02d}-0001.dcm", enforce_file_format=True)


def _folder_per_series(written: Written, _: Rng) -> None:
    """Each series in a folder that is named as exports name them, after the patient."""
    for path in written.files():
        target = written.folder / f"{CANARY}_OTTOLINE" / f"SERIES {path.name[:2]}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _slope_per_slice(written: Written, _: Rng) -> None:
    """RescaleSlope and RescaleIntercept change from slice to slice; the values are the same."""
    for number, path in enumerate(written.files(Role.T2, Role.DWI, Role.ADC)):
        with _edited(path) as image:
            slope, intercept = (0.5, 0.25, 1.0)[number % 3], -8.0 * (number % 5)
            values = image.pixel_array.astype(float) * float(image.get("RescaleSlope", 1))
            image.RescaleSlope, image.RescaleIntercept = decimal(slope), decimal(intercept)
            image.PixelData = np.rint((values - intercept) / slope).astype("<u2").tobytes()


def _adc_thousandth(written: Written, _: Rng) -> None:
    """ADC in 1e-3 mm²/s, by the rescale slope."""
    for path in written.files(Role.ADC):
        with _edited(path) as image:
            frames = image.get("PerFrameFunctionalGroupsSequence")
            items = [one.PixelValueTransformationSequence[0] for one in frames] if frames else [image]
            for item in items:
                item.RescaleSlope = decimal(float(item.get("RescaleSlope", 1)) * 1e-3)
                item.RescaleIntercept = "0"


def _frame_differs(written: Written, rng: Rng) -> None:
    """The patient was laid down again between T2w and diffusion."""
    uid = generate_uid(entropy_srcs=[str(rng.random())])
    for path in written.files(Role.DWI, Role.ADC):
        with _edited(path) as image:
            image.FrameOfReferenceUID = uid


def _empty_file(written: Written, rng: Rng) -> None:
    _any_image(written, rng).write_bytes(b"")


def _truncated_file(written: Written, rng: Rng) -> None:
    truncate(_any_image(written, rng), rng)


def truncate(path: Path, rng: Rng) -> None:
    """Cut off the last 5 to 60 % of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rng.uniform(0.4, 0.95))])


def _any_image(written: Written, rng: Rng) -> Path:
    files = written.files(Role.T2, Role.DWI, Role.ADC)
    return files[int(rng.integers(len(files)))]


def _canary(written: Written, _: Rng) -> None:
    """The patient's name in every tag that may hold one, and in the files' names."""
    for number, path in enumerate(written.files()):
        with _edited(path) as image:
            for keyword in (*_NAMES, *_TEXTS):
                setattr(image, keyword, f"{CANARY} O"[:16])
            image.StudyDescription = f"Prostate of {CANARY}"
        path.replace(path.with_name(f"{path.name[:2]}-{CANARY}_Ottoline_{number:04d}.dcm"))


def _foreign_slice(written: Written, rng: Rng) -> None:
    """A slice of another examination in place of the patient's, of another patient or under the same ID."""
    path = _one_inside(written, rng)
    with _edited(path) as image:
        if rng.random() < 0.5:
            image.PatientName, image.PatientID = "Somebody^Else", "0815"
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(image, keyword, generate_uid(entropy_srcs=[keyword, str(rng.random())]))


def _not_ascii(written: Written, _: Rng) -> None:
    """Umlauts and units in names and descriptions, in one character set or another."""
    for path in written.files():
        with _edited(path) as image:
            image.SpecificCharacterSet = ("ISO_IR 100", "ISO_IR 192")[int(path.name[:2]) % 2]
            image.SeriesDescription = f"{image.SeriesDescription} größe mm²/s"
            image.PatientName = f"{CANARY}^Ölrün"


def _private_unknown(written: Written, _: Rng) -> None:
    """An archive that did not know the private tags kept their bytes as UN."""
    for path in written.files():
        with _edited(path) as image:
            for element in [one for one in image if one.tag.is_private and not one.tag.is_private_creator]:
                image[element.tag] = DataElement(element.tag, "UN", _bytes_of(element))


def _bytes_of(element: DataElement) -> bytes:
    value = element.value
    if isinstance(value, bytes):
        return value
    if element.VR == "FL":
        return struct.pack("<f", value)
    if element.VR == "SL":
        return struct.pack("<i", value)
    parts = value if isinstance(value, (MultiValue, list)) else [value]
    text = "\\".join(str(part) for part in parts).encode("ascii")
    return text + b" " * (len(text) % 2)


def _implicit_types(written: Written, _: Rng) -> None:
    for path in written.files():
        image = dcmread(path)
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        image.save_as(path, implicit_vr=True, little_endian=True)


class _edited:  # noqa: N801 (read as a verb in a with statement)
    """Read a file, let it be changed, and write it again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Dataset:
        self._image = dcmread(self._path)
        return self._image

    def __exit__(self, *_: object) -> None:
        self._image.save_as(self._path, enforce_file_format=True)


_CHANGES: dict[Fault, Callable[[Written, Rng], Study | None]] = {
    Fault.INNER_SLICE_LOST: _inner_slice_lost,
    Fault.EDGE_SLICE_LOST: _edge_slice_lost,
    Fault.SLICE_DOUBLED: _slice_doubled,
    Fault.SLICE_TILTED: _slice_tilted,
    Fault.SPACING_MIXED: _spacing_mixed,
    Fault.NUMBERS_SHUFFLED: _numbers_shuffled,
    Fault.SERIES_MERGED: _series_merged,
    Fault.DESCRIPTIONS_SWAPPED: _descriptions_swapped,
    Fault.OTHER_OBJECTS: _other_objects,
    Fault.FOLDER_PER_SERIES: _folder_per_series,
    Fault.SLOPE_PER_SLICE: _slope_per_slice,
    Fault.ADC_THOUSANDTH: _adc_thousandth,
    Fault.FRAME_DIFFERS: _frame_differs,
    Fault.EMPTY_FILE: _empty_file,
    Fault.TRUNCATED_FILE: _truncated_file,
    Fault.CANARY: _canary,
    Fault.FOREIGN_SLICE: _foreign_slice,
    Fault.NOT_ASCII: _not_ascii,
    Fault.PRIVATE_UNKNOWN: _private_unknown,
    Fault.IMPLICIT_TYPES: _implicit_types,
}
