"""Build small DICOM studies in code: every voxel's value tells where in the patient it lies."""

import copy
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, MRImageStorage, generate_uid

from prostate_alm.errors import Reason
from prostate_alm.readers import Inspection, SeriesChoice, inspect_study

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def signal(points: ArrayLike) -> NDArray[np.float64]:
    """A value for each position in mm (LPS), whole and positive near the origin, different along every axis."""
    return np.rint(np.asarray(points, dtype=np.float64) @ [3.0, 7.0, 11.0]) + 2000


class Builder:
    """Makes series as lists of datasets, to be changed by a test, and writes them."""

    signal = staticmethod(signal)

    def __init__(self) -> None:
        self.study_uid = generate_uid()
        self.frame_uid = generate_uid()

    def series(
        self,
        number: int,
        description: str,
        *,
        slices: int = 12,
        size: tuple[int, int] = (10, 14),
        spacing: tuple[float, float] = (0.6, 0.5),
        gap: float = 3.6,
        orientation: Sequence[float] = AXIAL,
        origin: Sequence[float] = (-12.0, -9.0, -20.0),
        scale: float = 1.0,
        **attributes: object,
    ) -> list[Dataset]:
        """One image for each slice; `size` is rows, columns and `spacing` between rows, between columns."""
        axes = np.array(orientation, dtype=float).reshape(2, 3)
        normal = np.cross(axes[0], axes[1])
        uid = generate_uid()
        images = []
        for index in range(slices):
            position = np.array(origin) + index * gap * normal
            rows, columns = np.mgrid[: size[0], : size[1]]
            points = position + columns[..., None] * spacing[1] * axes[0] + rows[..., None] * spacing[0] * axes[1]
            image = self.image(np.rint(signal(points) * scale), number, description, uid)
            image.ImagePositionPatient = [float(f"{value:.8f}") for value in position]
            image.ImageOrientationPatient = [float(f"{value:.10f}") for value in axes.ravel()]
            image.PixelSpacing = list(spacing)
            image.InstanceNumber = index + 1
            for keyword, value in attributes.items():
                setattr(image, keyword, value)
            images.append(image)
        return images

    def image(self, pixels: NDArray[np.float64], number: int, description: str, uid: str) -> Dataset:
        """An MR image without a place."""
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = self.study_uid, uid
        image.FrameOfReferenceUID = self.frame_uid
        image.PatientID, image.PatientName, image.PatientBirthDate = "4711", "Doe^Jane", "19500101"
        image.Modality, image.Manufacturer, image.MagneticFieldStrength = "MR", "SIEMENS", "3"
        image.SeriesNumber, image.SeriesDescription = number, description
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        image.SliceThickness = 3.0
        image.AcquisitionDate, image.AcquisitionTime = "20240102", f"{100000 + number:06d}"
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = pixels.shape
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.PixelData = pixels.astype("<u2").tobytes()
        image["PixelData"].VR = "OW"
        return image

    def t2(self, number: int = 4, description: str = "t2_tse_tra", **changes) -> list[Dataset]:
        return self.series(
            number, description, **{"EchoTime": 104, "RepetitionTime": 5660, "ScanningSequence": "SE", **changes}
        )

    def dwi(
        self, b_values: Sequence[float] = (50, 800), number: int = 6, description: str = "ep2d_diff", **changes
    ) -> list[Dataset]:
        images = []
        for b in b_values:
            arguments = {**_DIFFUSION, "scale": float(np.exp(-b * 1e-3)), "DiffusionBValue": float(b), **changes}
            images += self.series(number, description, **arguments)
        for image in images:
            image.SeriesInstanceUID = images[0].SeriesInstanceUID
        return images

    def adc(self, number: int = 7, description: str = "ep2d_diff_ADC", **changes) -> list[Dataset]:
        image_type = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
        return self.series(number, description, **{**_DIFFUSION, "ImageType": image_type, **changes})

    def study(self) -> list[Dataset]:
        return [*self.t2(), *self.dwi(), *self.adc()]

    def enhanced(self, images: Sequence[Dataset], *, shared: bool = False) -> Dataset:
        """One multi-frame object of the images of a series; what all frames share goes into the shared group or not."""
        whole = copy.deepcopy(images[0])
        whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = EnhancedMRImageStorage
        whole.NumberOfFrames = len(images)
        whole.PixelData = b"".join(image.PixelData for image in images)
        whole.AcquisitionDateTime = images[0].AcquisitionDate + images[0].AcquisitionTime
        if "EP" in str(whole.get("ScanningSequence")):
            whole.EchoPlanarPulseSequence = "YES"
        groups = [_functional_groups(image) for image in images]
        for keyword in (*_CLASSIC_ONLY, "DiffusionBValue", "RescaleSlope", "RescaleIntercept"):
            if keyword in whole:
                delattr(whole, keyword)
        common = Dataset()
        for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence") if shared else ():
            setattr(common, keyword, groups[0][keyword].value)
            for group in groups:
                delattr(group, keyword)
        whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [common], groups
        return whole

    def jpeg_lossless(self, image: Dataset, scratch: Path) -> None:
        """Encode the pixels of an image anew, process 14, first-order prediction."""
        values = np.frombuffer(image.PixelData, "<i2" if image.PixelRepresentation else "<u2")
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(scratch))
        writer.Execute(sitk.GetImageFromArray(values.reshape(image.Rows, image.Columns)))
        encoded = dcmread(scratch)
        assert encoded.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        assert len(encoded.PixelData) < len(image.PixelData)
        image.PixelData = encoded.PixelData
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        image.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    def write(self, images: Iterable[Dataset], folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images):
            image.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)
        return folder

    def zip(self, folder: Path, target: Path) -> Path:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return target


_CLASSIC_ONLY = (
    *(
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "EchoTime",
        "RepetitionTime",
    ),
    *("ScanningSequence", "InstanceNumber", "AcquisitionDate", "AcquisitionTime"),
)


def _functional_groups(image: Dataset) -> Dataset:
    """What a classic image says, where an enhanced one says it (PS3.3 A.36)."""
    places = {
        "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
        "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
        "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing", "SliceThickness": "SliceThickness"},
        "PixelValueTransformationSequence": {
            "RescaleSlope": "RescaleSlope",
            "RescaleIntercept": "RescaleIntercept",
        },
        "MRImageFrameTypeSequence": {"FrameType": "ImageType"},
        "MRTimingAndRelatedParametersSequence": {"RepetitionTime": "RepetitionTime"},
        "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
        "MRDiffusionSequence": {
            "DiffusionBValue": "DiffusionBValue",
            "DiffusionDirectionality": "DiffusionDirectionality",
        },
    }
    group = Dataset()
    for sequence, attributes in places.items():
        item = Dataset()
        for keyword, classic in attributes.items():
            if classic in image:
                setattr(item, keyword, image[classic].value)
        if len(item):
            setattr(group, sequence, [item])
    return group


_DIFFUSION = {
    "size": (8, 9),
    "spacing": (2.0, 1.5),
    "EchoTime": 63,
    "RepetitionTime": 2700,
    "ScanningSequence": "EP",
    "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
}


class Answer:
    """What `inspect_study` says, as tests ask for it: `numbers` of the series chosen, `roles` and `why` of each."""

    def __init__(self, inspection: Inspection) -> None:
        self.inspection = inspection
        self.refusal, self.chosen, self.flags = inspection.refusal, inspection.chosen, inspection.flags
        self.runners_up = inspection.runners_up
        self.roles = {one.number: str(one.role) for one in inspection.found}

    @property
    def numbers(self) -> dict[str, int | None]:
        assert self.refusal is None
        return {str(one.role): one.number for one in self.chosen}

    @property
    def reason(self) -> Reason:
        assert self.refusal is not None
        return self.refusal.reason

    def why(self, number: int) -> str:
        return next(one.why for one in self.inspection.found if one.number == number)


@pytest.fixture
def inspect(write):
    """Inspect images, or a folder of them, with series named by hand."""

    def answer(images: Path | Iterable[Dataset], **names: str) -> Answer:
        folder = images if isinstance(images, Path) else write(images)
        return Answer(inspect_study(folder, series=SeriesChoice(**names)))

    return answer


@pytest.fixture
def build() -> Builder:
    return Builder()


@pytest.fixture
def write(build, tmp_path):
    """Write images into a fresh folder and return it."""

    def write_images(images):
        return build.write(images, tmp_path / "study")

    return write_images
