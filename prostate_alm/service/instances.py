"""Parts of a DICOMweb body become files, each known by its UIDs: what STOW-RS and WADO-RS bring."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from pydicom.datadict import tag_for_keyword

from prostate_alm.readers.boundary import raise_if_unavailable
from prostate_alm.readers.dicom import quiet_pydicom
from prostate_alm.readers.header import DEFLATED, MALFORMED, HeaderReader, data_set_offset
from prostate_alm.readers.instance import MR_IMAGE, MULTI_FRAME_MR
from prostate_alm.service.problems import ProblemCode, ProblemError

PREAMBLE_BYTES = 128
PART_TYPE = "application/dicom"
UID = re.compile(r"[0-9]+(\.[0-9]+)+")
LONGEST_UID = 64

_CLASS, _SOP, _STUDY = (
    int(tag_for_keyword(name) or 0) for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
)


class Failure(IntEnum):
    """Why an instance was not taken (PS3.18 table I.2-2); the values go into FailureReason."""

    DUPLICATE = 0x0111
    OTHER_STUDY = 0xA900
    NOT_UNDERSTOOD = 0xC000
    TRANSFER_SYNTAX = 0xC122


@dataclass(frozen=True)
class Instance:
    """One DICOM object in a file.

    Attributes:
        sop_class: what kind of object it is.
        sop: its SOPInstanceUID.
        study: its StudyInstanceUID.
    """

    sop_class: str
    sop: str = field(repr=False)
    study: str = field(repr=False)

    @property
    def is_image(self) -> bool:
        """Whether it is an MR image; everything else is taken and not kept."""
        return self.sop_class == MR_IMAGE or self.sop_class in MULTI_FRAME_MR

    @property
    def file_name(self) -> str:
        """A name that follows from its UID and does not tell it."""
        return f"{hashlib.sha256(self.sop.encode()).hexdigest()[:40]}.dcm"


@dataclass(frozen=True)
class Result:
    """What became of a part: `instance` is None where it is not known, `failure` where it was taken."""

    instance: Instance | None
    failure: Failure | None


class UnusableInstanceError(Exception):
    """A part is no instance that can be taken."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def is_uid(text: str) -> bool:
    """Whether a text can be a UID; components with leading zeros occur and are let pass."""
    return len(text) <= LONGEST_UID and UID.fullmatch(text) is not None


def read_instance_file(path: Path) -> Instance:
    """The UIDs of a DICOM file, from its header; its pixels must be there whole.

    Raises:
        UnusableInstanceError: it is no DICOM file, damaged, deflated or without its UIDs.
        StudyUnavailableError: this machine could not read it.
    """
    with path.open("rb") as file:
        if file.read(PREAMBLE_BYTES + 4)[PREAMBLE_BYTES:] != b"DICM":
            raise UnusableInstanceError(Failure.NOT_UNDERSTOOD)
    try:
        with quiet_pydicom():
            header = HeaderReader(frozenset({_CLASS, _SOP, _STUDY})).read(path)
    except Exception as error:  # whatever a corrupt header makes pydicom raise
        raise_if_unavailable(error)
        raise UnusableInstanceError(Failure.NOT_UNDERSTOOD) from None
    if header.syntax == DEFLATED:
        raise UnusableInstanceError(Failure.TRANSFER_SYNTAX)
    uids = [str(header.values.get(tag, MALFORMED)).strip(" \0") for tag in (_CLASS, _SOP, _STUDY)]
    if not all(map(is_uid, uids)):
        raise UnusableInstanceError(Failure.NOT_UNDERSTOOD)
    instance = Instance(*uids)
    if instance.is_image and header.pixels is None:
        raise UnusableInstanceError(Failure.NOT_UNDERSTOOD)
    return instance


def data_set_sha256(path: Path) -> str:
    """Hash of what a file says, whatever wrote it: of its data set, without the file meta information."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(data_set_offset(path))
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_sha256(folder: Path, *, label: str = "dicom") -> str:
    """Hash of all instances in a folder, whatever the order they came in and whatever wrote their files."""
    hashes = sorted(data_set_sha256(path) for path in folder.iterdir())
    return hashlib.sha256("\n".join([label, *hashes]).encode()).hexdigest()


class InstanceParts:
    """Writes each part of a `multipart/related` body to disk and hands it on as soon as it is whole.

    Preambles are written as zeros: what stands there is no DICOM, and may be a program (CVE-2019-11687).

    Args:
        folder: where a part lies while it arrives.
        keep: takes a file and its instance, and says why it does not.
        study: the only StudyInstanceUID to take; None takes all.
    """

    def __init__(
        self, folder: Path, keep: Callable[[Instance, Path], Failure | None], *, study: str | None = None
    ) -> None:
        self.results: list[Result] = []
        self._path = folder / "part"
        self._keep = keep
        self._study = study
        self._file: BinaryIO | None = None

    def begin(self, headers: dict[str, str]) -> None:
        """Open the file of a part."""
        if headers.get("content-type", PART_TYPE).partition(";")[0].strip().lower() != PART_TYPE:
            raise ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                ProblemCode.MEDIA_TYPE_UNSUPPORTED,
                detail="a part is no application/dicom; send each instance as a DICOM file",
            )
        self._file = self._path.open("wb")

    def data(self, content: bytes) -> None:
        """Write the next bytes of the part."""
        assert self._file is not None
        preamble = max(0, min(PREAMBLE_BYTES - self._file.tell(), len(content)))
        self._file.write(bytes(preamble) + content[preamble:])

    def end(self) -> None:
        """Hand the part on."""
        self.close()
        try:
            instance = read_instance_file(self._path)
        except UnusableInstanceError as error:
            self.results.append(Result(None, error.failure))
        else:
            other = self._study is not None and instance.study != self._study
            self.results.append(Result(instance, Failure.OTHER_STUDY if other else self._keep(instance, self._path)))
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file of a part that did not become whole."""
        if self._file is not None:
            self._file.close()
            self._file = None
