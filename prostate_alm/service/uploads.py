"""From the parts of a request to files on disk under names of our own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from fastapi import UploadFile

GZIP_START = b"\x1f\x8b"


@dataclass(frozen=True)
class Upload:
    """The parts of a request; a client's file names are never used.

    Attributes:
        file: a zip of DICOM or NIfTI files.
        t2: NIfTI.
        dwi: four-dimensional NIfTI.
        adc: NIfTI.
        b_values: of the volumes of `dwi`, in s/mm², separated by commas or blanks.
    """

    file: UploadFile | None = None
    t2: UploadFile | None = None
    dwi: UploadFile | None = None
    adc: UploadFile | None = None
    b_values: str | None = None

    @property
    def nifti(self) -> dict[str, UploadFile]:
        """The NIfTI parts that came, by role."""
        parts = {"t2": self.t2, "dwi": self.dwi, "adc": self.adc}
        return {role: part for role, part in parts.items() if part is not None}


def save_upload(upload: Upload, folder: Path) -> Path:
    """Write the parts into the new `folder`, readable for this user alone.

    Returns:
        What `prostate_alm.readers.read_study` takes: the file, or the folder of NIfTI files.

    Raises:
        OSError: the disk is full or not writable.
    """
    folder.mkdir(mode=0o700)
    if upload.file is not None:
        return _save(upload.file, folder / "study")
    for role, part in upload.nifti.items():
        compressed = part.file.read(2) == GZIP_START
        part.file.seek(0)
        _save(part, folder / f"{role}.nii{'.gz' if compressed else ''}")
    if upload.b_values is not None:
        (folder / "dwi.bval").write_text(upload.b_values.replace(",", " "), encoding="utf-8")
    return folder


def _save(part: UploadFile, path: Path) -> Path:
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file, length=2**20)
    return path
