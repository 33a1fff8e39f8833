"""Whose study it is, from the header of its first image."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import Limits, SourceFile, one_by_one, open_input
from prostate_alm.readers.dicom import claims_dicom, quiet_pydicom
from prostate_alm.readers.header import DEFLATED, MALFORMED, HeaderReader
from prostate_alm.readers.instance import MR_IMAGE, MULTI_FRAME_MR
from prostate_alm.service.instances import is_uid
from prostate_alm.service.records import Identity

_KEYWORDS = ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "StudyDate")
_TAGS = tuple(int(tag_for_keyword(keyword) or 0) for keyword in _KEYWORDS)
_CLASS, _STUDY = (int(tag_for_keyword(keyword) or 0) for keyword in ("SOPClassUID", "StudyInstanceUID"))
_CHARACTER_SET = int(tag_for_keyword("SpecificCharacterSet") or 0)
_LONGEST = 64  # a UID's; a component of a name has as many


def identity_of(path: Path) -> Identity | None:
    """Name, numbers and date in the first DICOM file that can be read; None where there is none.

    Args:
        path: what `prostate_alm.readers.read_study` takes. It may be anything: nothing is raised, since an answer must
            not hang on a name.
    """
    try:
        with closing(_files(path)) as files:
            return next((found for found in map(_identity, files) if found is not None), None)
    except Exception:  # what is wrong with the input is said by reading it
        return None


def refuse_nameless(path: Path) -> None:
    """Raise for DICOM whose StudyInstanceUID is none: its answer could be of any study, and STOW-RS refuses it too.

    The first MR image speaks for all: the readers refuse a study of two UIDs.

    Args:
        path: what `prostate_alm.readers.read_study` takes.

    Raises:
        StudyRefusedError: INPUT_UNREADABLE.
    """
    try:
        with closing(_files(path)) as files:
            uid = next((found for found in map(_study_uid, files) if found is not None), None)
    except Exception:  # what else is wrong with the input is said by reading it
        return
    if uid is not None and not is_uid(uid):
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, "the StudyInstanceUID of the images is no UID; export the study again."
        )


def _study_uid(file: SourceFile) -> str | None:
    """The StudyInstanceUID of an MR image, as it stands there; None for another file."""
    if not claims_dicom(file):
        return None
    try:
        with quiet_pydicom():
            header = HeaderReader(frozenset({_CLASS, _STUDY})).read(file.path)
            values = [header.values.get(tag) for tag in (_CLASS, _STUDY)]
    except Exception:
        return None
    sop_class, uid = ("" if value in (None, MALFORMED) else str(value).strip(" \0") for value in values)
    return uid if sop_class == MR_IMAGE or sop_class in MULTI_FRAME_MR else None


def _files(path: Path) -> Generator[SourceFile, None, None]:
    """The files of the input, those of a zip unpacked one by one."""
    if path.is_dir():
        with open_input(path, Limits()) as files:
            yield from files
    else:
        yield from one_by_one(path, Limits())


def _identity(file: SourceFile) -> Identity | None:
    if not claims_dicom(file):
        return None
    try:
        with quiet_pydicom():
            header = HeaderReader(frozenset({*_TAGS, _CHARACTER_SET})).read(file.path)
            values = [header.values.get(tag) for tag in _TAGS]
            texts = ["" if value in (None, MALFORMED) else str(value).strip(" \0")[:_LONGEST] for value in values]
    except Exception:
        return None
    if not is_uid(texts[3]):
        texts[3] = ""  # it becomes part of addresses
    return Identity(*texts) if header.syntax != DEFLATED and any(texts) else None
