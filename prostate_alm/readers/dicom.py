"""Scan DICOM headers and group them into one patient's series; no pixel is decoded here.

A file that claims to be DICOM and can't be read refuses the whole input: were it skipped, a slice lost at the edge
of a stack would go unseen. So does a zip beside the images, which may hold more of them. Files that claim nothing
(``.DS_Store``, a text) are skipped and counted.
"""

import hashlib
import logging
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.boundary import raise_if_unavailable
from prostate_alm.readers.header import DEFLATED, Header, HeaderReader, data_set_offset
from prostate_alm.readers.instance import (
    HEADER_TAGS,
    MR_IMAGE,
    MULTI_FRAME_MR,
    Instance,
    read_instance,
    with_words_of_all,
)
from prostate_alm.readers.multi_frame import read_frames
from prostate_alm.readers.rules import ROLES

_DIRECTORY = "1.2.840.10008.1.3.10"
_SUFFIXES = (".dcm", ".dicom", ".ima")
# Group 0002 or 0008 in little endian with a low element number: a data set without the preamble of a file.
_BARE_STARTS = tuple(bytes([group, 0, element, 0]) for group in (2, 8) for element in (0, 1, 2, 5, 8, 0x12, 0x16))

_quiet_lock = threading.RLock()
_pydicom_log = logging.getLogger("pydicom")


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """The instances of one series, in an order that no file name decides."""

    instances: tuple[Instance, ...]

    @property
    def first(self) -> Instance:
        """The instance that speaks for what all share."""
        return self.instances[0]

    @property
    def number(self) -> int | None:
        """The series number; None when absent."""
        return self.first.number

    @property
    def description(self) -> str:
        """What the scanner calls the series."""
        return self.first.description

    @property
    def name(self) -> str:
        """How messages speak of the series."""
        return "a series without number" if self.number is None else f"series {self.number}"


@dataclass(frozen=True, eq=False)
class Scan:
    """All series of one study, by number, and how many files were no DICOM."""

    series: tuple[DicomSeries, ...]
    skipped_files: int


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings and log lines, which quote values from headers, out of the output.

    Filters and loggers belong to the process, so one thread at a time parses.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disabled, _pydicom_log.disabled = _pydicom_log.disabled, True
        try:
            yield
        finally:
            _pydicom_log.disabled = disabled


def claims_dicom(file: SourceFile) -> bool:
    """Whether a file says it is DICOM: by its magic word, its name, or by being empty where an image would be."""
    with file.path.open("rb", buffering=0) as stream:
        head = stream.read(136)
    magic = head[128:132] == b"DICM"
    if magic or file.base_name.startswith("."):
        return magic
    if head[132:134] == b"\2\0" and sum(a == b for a, b in zip(head[128:132], b"DICM", strict=True)) == 3:
        return True  # one damaged byte must not make a slice vanish
    head = head[:132]
    return head.startswith(_BARE_STARTS) or not head.strip(b"\0") or file.base_name.endswith(_SUFFIXES)


def scan_files(files: Sequence[SourceFile]) -> Scan:
    """Read every header and group the images by series.

    Raises:
        StudyRefusedError: a file that claims to be DICOM can't be read or is deflated; a file is a zip; none is DICOM;
            two patients or two studies.
    """
    instances: list[Instance] = []
    skipped = 0
    for _, images in read_files(files):
        if isinstance(images, StudyRefusedError):
            raise images
        instances += images
        skipped += not images
    if not instances:
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE,
            f"of {len(files)} files none is DICOM and none a `t2.nii.gz`; give the folder or zip of one study.",
        )
    return scan_of(instances, skipped)


def scan_of(instances: Sequence[Instance], skipped_files: int = 0) -> Scan:
    """The series of images that were read before.

    Raises:
        StudyRefusedError: two patients or studies; two images with one UID that differ.
    """
    _refuse_mixtures(instances)
    return Scan(_group(with_words_of_all(drop_copies(instances))), skipped_files)


def read_files(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, list[Instance] | StudyRefusedError]]:
    """The images of each file, none where it is no DICOM, or why it can't be read."""
    reader = HeaderReader(HEADER_TAGS)
    for number, file in enumerate(files, start=1):
        try:
            with quiet_pydicom():
                found = _read_file(file, reader, f"file {number} of {len(files)} in the order of names")
        except StudyRefusedError as error:
            yield file, error
        else:
            yield file, found


def _read_file(file: SourceFile, reader: HeaderReader, where: str) -> list[Instance]:
    """The images in a file; none when it is no DICOM or only a directory of others."""
    if not claims_dicom(file):
        _refuse_zip(file, where)
        return []
    try:
        header = reader.read(file.path)
        if header.stored_class == _DIRECTORY:
            return []
        if header.syntax == DEFLATED:
            raise StudyRefusedError(
                Reason.INPUT_UNREADABLE, f"{where} has the deflated transfer syntax; export it uncompressed."
            )
        first = read_instance(header)
        _check_whole(first, header)
        return read_frames(header) if first.sop_class in MULTI_FRAME_MR else [first]
    except StudyRefusedError:
        raise
    except Exception as error:  # whatever a corrupt header makes pydicom raise
        raise_if_unavailable(error)
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE,
            f"{where} claims to be DICOM and can't be read ({type(error).__name__}); export the study again.",
        ) from None


def _refuse_zip(file: SourceFile, where: str) -> None:
    if file.base_name.endswith(".zip") and not file.base_name.startswith("."):
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE,
            f"{where} is a zip inside the study, which may hold more of its images; unpack it or take it away.",
        )


def _check_whole(instance: Instance, header: Header) -> None:
    """Raise EOFError when an image lacks its pixels; that they are there whole was checked with the header."""
    sop_class = instance.sop_class or header.stored_class
    if not sop_class or not instance.series:
        raise EOFError
    if header.pixels is None and sop_class in {MR_IMAGE, *MULTI_FRAME_MR}:
        raise EOFError


def _refuse_mixtures(instances: Sequence[Instance]) -> None:
    patients = {instance.patient_id for instance in instances} - {""}
    names = {instance.patient_name for instance in instances} - {""}
    if max(len(patients), len(names)) > 1:
        raise StudyRefusedError(
            Reason.MULTIPLE_PATIENTS,
            f"the input mixes {max(len(patients), len(names))} patients; send each patient's study alone.",
        )
    studies = {instance.study for instance in instances}
    if len(studies) > 1:
        raise StudyRefusedError(
            Reason.MULTIPLE_STUDIES, f"the input holds {len(studies)} studies; send one examination alone."
        )


def _group(instances: Sequence[Instance]) -> tuple[DicomSeries, ...]:
    """Series by UID; maps that share the UID of the diffusion they were made from become series of their own."""
    groups: defaultdict[tuple[str, frozenset[str]], list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.series, ROLES.map_kinds & set(instance.image_type)].append(instance)
    series = [DicomSeries(tuple(sorted(group, key=lambda instance: instance.sop))) for group in groups.values()]
    return tuple(sorted(series, key=lambda one: (one.number is None, one.number or 0, one.first.series, one.first.sop)))


def drop_copies(instances: Sequence[Instance]) -> list[Instance]:
    """Each image once, where files are copies of each other.

    Raises:
        StudyRefusedError: two images say they are the same one and differ.
    """
    kept: dict[str, Instance] = {}
    copies: set[tuple[Path, Path]] = set()
    unnamed: list[Instance] = []
    for instance in instances:
        first = kept.setdefault(instance.sop, instance) if instance.sop else instance
        if not instance.sop:
            unnamed.append(instance)
        elif first is not instance and (first.path, instance.path) not in copies:
            if first.path == instance.path or not _same_content(first.path, instance.path):
                raise StudyRefusedError(
                    Reason.SLICE_DUPLICATE,
                    f"{DicomSeries((instance,)).name}: two images have one UID and differ; send each image once.",
                )
            copies.add((first.path, instance.path))
    return [*kept.values(), *unnamed]


def _same_content(first: Path, second: Path) -> bool:
    """Whether two files hold the same data set; what wrote the file and its preamble may differ."""
    return first.stat().st_size - data_set_offset(first) == second.stat().st_size - data_set_offset(second) and _digest(
        first
    ) == _digest(second)


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b()
    with path.open("rb") as stream:
        stream.seek(data_set_offset(path))
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.digest()
