"""Find the studies in a tree where several patients and examinations lie mixed, from headers alone."""

from dataclasses import dataclass, field
from pathlib import Path

from prostate_alm.errors import StudyRefusedError
from prostate_alm.readers.archive import Limits


@dataclass(frozen=True, eq=False)
class FoundStudy:
    """One patient's examination in a mixed tree; `read_study` and `examine_study` take it in place of a path.

    Attributes:
        key: pseudonym of the study: the same salt gives the same key, whatever the files are called.
        patient: pseudonym of the patient, for grouping.
        images: number of images.
        series: number of series.
        folders: relative folders its files lie in; they may hold a patient's name, so keep them out of outputs.
        refusal: why it can't be read, where that shows already.
    """

    key: str
    patient: str
    images: int
    series: int
    folders: tuple[str, ...] = field(default=(), repr=False)
    refusal: StudyRefusedError | None = None


def find_studies(root: Path | str, *, salt: str, limits: Limits | None = None) -> list[FoundStudy]:
    """Group every DICOM file below `root`, in zips too, by patient and study; headers only.

    Args:
        root: a folder.
        salt: makes the keys unguessable; the same salt, kept with the cohort, gives the same keys again.
        limits: files and bytes of the whole tree; None allows a million files.

    Raises:
        StudyRefusedError: `root` is no folder, holds nothing, or no DICOM.
    """
    raise NotImplementedError
