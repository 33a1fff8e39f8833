"""What an archive or a converter makes of an examination's files: a disk, a zip, compression, NIfTI, MHA."""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from prostate_alm.datasets.synthetic.examination import CANARY
from prostate_alm.datasets.synthetic.part10 import synthetic_uid
from prostate_alm.study import FloatArray, Geometry, Study, Volume

_SMALLEST_JPEG2000 = 32  # pixels: its encoder always halves an image five times
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
STRAY_FILES = {
    ".DS_Store": b"\0\0\0\1Bud1\0\0",
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "AUTORUN.INF": b"[autorun]\r\nopen=VIEWER.EXE\r\n",
    "README.TXT": b"Images of this disk are in DICOM format.\r\n",
    "VIEWER/VIEWER.EXE": b"MZ\x90\0" + bytes(200),
    "VIEWER/INDEX.HTM": b"<html><body>viewer</body></html>",
    "VIEWER/LOGO.JPG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
}


def lossless_syntaxes() -> list[UID]:
    """The compressed transfer syntaxes that can be written here."""
    encoders = [uid for uid in (RLELossless, JPEGLSLossless, JPEG2000Lossless) if get_encoder(uid).is_available]
    return [*encoders, JPEGLosslessSV1]


def compress_files(folder: Path, syntax: UID) -> None:
    """Compress every image of a folder without loss; what a file says else stays as it is."""
    for path in sorted(folder.rglob("*.dcm")):
        dataset = dcmread(path)
        if "PixelData" not in dataset:
            continue
        small = min(dataset.Rows, dataset.Columns) < _SMALLEST_JPEG2000
        if syntax == JPEGLosslessSV1:
            _compress_jpeg_lossless_(dataset)
        else:
            used = RLELossless if syntax == JPEG2000Lossless and small else syntax
            dataset.compress(used, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)


def _compress_jpeg_lossless_(dataset: Dataset) -> None:
    """By the GDCM inside SimpleITK, whose file of the same values holds the bytes; pydicom has no encoder."""
    import SimpleITK as sitk  # noqa: PLC0415 - half a second, and few cases are compressed

    with tempfile.TemporaryDirectory(prefix="prostate-alm-") as folder:
        path = Path(folder) / "image.dcm"
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array))
        encoded = dcmread(path)
    assert encoded.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True


def make_disk(folder: Path) -> None:
    """Rename images as a disk has them, add a DICOMDIR, and strew in what else lies on a disk."""
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        target = folder / "DICOM" / f"PA{number % 3:06d}" / f"IM{number:06d}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    _write_directory(folder / "DICOMDIR")
    for name, content in STRAY_FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _write_directory(path: Path) -> None:
    """A DICOMDIR with one patient record: readers need no more than to see what it is."""
    record, dataset = Dataset(), Dataset()
    record.DirectoryRecordType, record.PatientName, record.PatientID = "PATIENT", f"{CANARY}^Ottoline", f"{CANARY}-1"
    record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    dataset.FileSetID, dataset.DirectoryRecordSequence = "DISK", [record]
    meta = dataset.file_meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = synthetic_uid("disk")
    dataset.save_as(path, enforce_file_format=True)


def double_files(folder: Path) -> None:
    """Copy every image under a second name, as exporting twice leaves them."""
    for path in sorted(folder.glob("*.dcm")):
        shutil.copyfile(path, path.with_name(f"{path.stem} (1).dcm"))


def zip_folder(folder: Path, target: Path) -> None:
    """Pack a folder, which is then gone."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)


def write_dcm2niix_files(study: Study, numbers: Sequence[int], folder: Path) -> None:
    """Write what dcm2niix makes of T2w, diffusion and ADC: a ``.bval`` beside the ADC too.

    Args:
        study: what is written, `with_rows_turned`; values are stored as integers of 16 bits.
        numbers: series numbers of T2w, diffusion and ADC, which the names begin with.
        folder: where to.
    """
    folder.mkdir(parents=True)
    t2, dwi, adc = (str(number) for number in numbers)
    b_values, grid = list(study.dwi), study.adc.geometry
    stack = np.stack([study.dwi[b].data for b in b_values], axis=-1)
    _write_nifti(folder / f"{t2}_t2_tse_tra.nii.gz", study.t2.data, study.t2.geometry)
    _write_nifti(folder / f"{dwi}_ep2d_diff_tra.nii.gz", stack, grid)
    _write_nifti(folder / f"{adc}_ep2d_diff_tra_ADC.nii.gz", study.adc.data, grid)
    texts = {f"{dwi}_ep2d_diff_tra": b_values, f"{adc}_ep2d_diff_tra_ADC": [max(b_values)]}
    for name, values in texts.items():
        (folder / f"{name}.bval").write_text(" ".join(f"{b:g}" for b in values) + "\n", encoding="ascii")
        (folder / f"{name}.bvec").write_text(f"{' '.join('0' for _ in values)}\n" * 3, encoding="ascii")
    for name in (*texts, f"{t2}_t2_tse_tra"):
        facts = {"Modality": "MR", "SeriesDescription": name, "ConversionSoftware": "dcm2niix"}
        (folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")


def with_rows_turned(study: Study) -> Study:
    """The same study on grids whose rows run the other way, as those of dcm2niix do."""
    dwi = {b: _rows_turned(volume) for b, volume in study.dwi.items()}
    return replace(study, t2=_rows_turned(study.t2), dwi=dwi, adc=_rows_turned(study.adc))


def _rows_turned(volume: Volume) -> Volume:
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] += affine[:3, 1] * (volume.geometry.shape[1] - 1)
    affine[:3, 1] *= -1
    return replace(volume, data=volume.data[:, ::-1], geometry=Geometry(volume.geometry.shape, affine))


def _write_nifti(path: Path, data: FloatArray, geometry: Geometry) -> None:
    affine = _RAS_TO_LPS @ geometry.affine
    image = Nifti1Image(data.astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.to_filename(path)


def write_picai_files(study: Study, patient: int, folder: Path) -> float:
    """Write T2w, ADC and the highest b-value as the PI-CAI challenge ships them; the b-value stands nowhere.

    Returns:
        The b-value in s/mm².
    """
    folder.mkdir(parents=True)
    name, highest = f"{10000 + patient}_{1000000 + patient}", max(study.dwi)
    for suffix, volume in (("t2w", study.t2), ("adc", study.adc), ("hbv", study.dwi[highest])):
        _write_mha(folder / f"{name}_{suffix}.mha", volume.data, volume.geometry)
    return highest


def _write_mha(path: Path, data: FloatArray, geometry: Geometry) -> None:
    """MetaImage: LPS, direction cosines of the axes after each other, the first axis fastest."""
    numbers = {
        "TransformMatrix": geometry.direction.T.ravel(),
        "Offset": geometry.origin,
        "ElementSpacing": geometry.spacing,
    }
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += ["CompressedData = False", "CenterOfRotation = 0 0 0", "AnatomicalOrientation = RAI"]
    lines += [f"{name} = {' '.join(f'{value:.12g}' for value in values)}" for name, values in numbers.items()]
    lines += [f"DimSize = {' '.join(map(str, geometry.shape))}", "ElementType = MET_SHORT", "ElementDataFile = LOCAL"]
    header = "\n".join(lines) + "\n"
    path.write_bytes(header.encode("ascii") + data.astype("<i2").tobytes(order="F"))
