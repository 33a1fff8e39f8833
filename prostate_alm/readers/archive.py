"""What the user hands over, a folder, a zip or one file, becomes a list of plain files.

Zip members are written under numbers of our own into a temporary folder, so a member's name never becomes a path.
"""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.boundary import raise_if_unavailable

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a member, or the end record of an empty zip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # bzip2 and LZMA let a small member claim gigabytes of memory
_END_RECORD = 22 + 65_535  # bytes: the end record and its longest comment (APPNOTE.TXT 4.3.16)
_FREE_BYTES = 1 << 25  # a zip may grow so far by any factor
_DIRECTORY_BYTES_PER_FILE = 1024  # of the zip's directory; an entry with a long name has about 300


@dataclass(frozen=True)
class Limits:
    """How much one study may bring.

    Attributes:
        files: the largest number of files.
        total_bytes: the largest sum of their expanded sizes.
        expansion: by how much a zip may grow, beyond its first 32 MiB; a scanner's images grow 2 to 4 times.
    """

    files: int = 20_000
    total_bytes: int = 4 * 2**30
    expansion: int = 50


@dataclass(frozen=True)
class SourceFile:
    """One file of the input; its name may hold a patient's name and stays out of messages.

    Attributes:
        name: relative POSIX name in the folder or zip.
        path: where its bytes lie.
    """

    name: str = field(repr=False)
    path: Path = field(repr=False)

    @property
    def base_name(self) -> str:
        """The last part of the name, in lower case."""
        return PurePosixPath(self.name).name.lower()


@contextmanager
def open_input(path: Path, limits: Limits) -> Iterator[list[SourceFile]]:
    """The files of a folder, zip or single file, in the order of their names; a zip's live as long as the context.

    Raises:
        StudyRefusedError: nothing there, no zip, a broken or hostile zip, or more than `limits`.
    """
    if path.is_dir():
        yield _folder_files(path, limits)
    elif not path.is_file():
        raise StudyRefusedError(Reason.INPUT_UNREADABLE, "there is no file or folder at the given path; check it.")
    elif path.stat().st_size == 0:
        raise StudyRefusedError(Reason.INPUT_EMPTY, "the file is empty; send the study again.")
    elif _starts_as_zip(path):
        with tempfile.TemporaryDirectory(prefix="prostate-alm-") as folder:
            yield _extract(path, Path(folder), limits)
    else:
        yield [SourceFile(path.name, path)]


@contextmanager
def unpack_again(path: Path, names: Collection[str], limits: Limits) -> Iterator[list[SourceFile]]:
    """Some files of a zip, called as `open_input` called them: so what was learnt of a file then can be used again.

    Args:
        path: a zip that has not changed since.
        names: the last part of each file's path then.
        limits: for these files together.

    Raises:
        StudyRefusedError: a broken or hostile zip, or more than `limits`.
    """
    with tempfile.TemporaryDirectory(prefix="prostate-alm-") as folder:
        yield _extract(path, Path(folder), limits, names)


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _ZIP_STARTS


def _folder_files(folder: Path, limits: Limits) -> list[SourceFile]:
    files: list[SourceFile] = []
    total = 0
    for parent, names, file_names in os.walk(folder):
        if any((Path(parent) / name).is_symlink() for name in names):
            raise StudyRefusedError(
                Reason.INPUT_UNREADABLE, "a subfolder is a symbolic link; copy the files themselves into the folder."
            )
        for name in file_names:
            path = Path(parent) / name
            if not path.is_file():
                raise StudyRefusedError(
                    Reason.INPUT_UNREADABLE, "the folder holds a broken link or a device; leave only plain files in it."
                )
            files.append(SourceFile(path.relative_to(folder).as_posix(), path))
            total += path.stat().st_size
            _check_limits(len(files), total, limits)
    if not files:
        raise StudyRefusedError(Reason.INPUT_EMPTY, "the folder holds no file; give the folder of one study.")
    return sorted(files, key=lambda file: file.name)


def _check_limits(files: int, total_bytes: int, limits: Limits) -> None:
    if files > limits.files or total_bytes > limits.total_bytes:
        raise StudyRefusedError(
            Reason.INPUT_TOO_LARGE,
            f"one study may hold {limits.files} files and {limits.total_bytes} bytes; more came. Send one study alone.",
        )


def _check_expansion(expanded_bytes: int, packed_bytes: int, limits: Limits) -> None:
    if expanded_bytes > max(_FREE_BYTES, limits.expansion * packed_bytes):
        raise StudyRefusedError(
            Reason.INPUT_TOO_LARGE,
            f"the zip would grow by more than {limits.expansion} times, as no study does; pack it without compression.",
        )


def _extract(path: Path, folder: Path, limits: Limits, names: Collection[str] | None = None) -> list[SourceFile]:
    """Unpack a zip, or those of its files that get one of `names`."""
    with path.open("rb") as file:
        _check_directory(file, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if not members:
                raise StudyRefusedError(Reason.INPUT_EMPTY, "the zip holds no file; send the study again.")
            numbered = enumerate(sorted(members, key=lambda member: member.filename))
            targets = {folder / f"{number:06d}{_nifti_suffix(one.filename)}": one for number, one in numbered}
            wanted = {target: one for target, one in targets.items() if names is None or target.name in names}
            total = sum(member.file_size for member in wanted.values())
            _check_limits(len(wanted), total, limits)
            _check_expansion(total, path.stat().st_size, limits)
            for member in wanted.values():
                _check_member(member)
            return [_extract_member(archive, member, target) for target, member in wanted.items()]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise_if_unavailable(error)
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, f"the zip is broken ({type(error).__name__}); pack and send it again."
        ) from None


def _check_directory(file: BinaryIO, limits: Limits) -> None:
    """Refuse a zip whose directory alone, which the zip module reads whole, would fill the memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_RECORD))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    directory = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    zip64 = tail.rfind(b"PK\x06\x06", 0, max(end, 0))
    if zip64 >= 0:
        directory = max(int.from_bytes(tail[zip64 + 40 : zip64 + 48], "little"), directory % 0xFFFFFFFF)
    if directory > limits.files * _DIRECTORY_BYTES_PER_FILE:
        _check_limits(limits.files + 1, 0, limits)


def _check_member(member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename)
    windows = PureWindowsPath(member.filename)
    leaves = name.is_absolute() or bool(windows.drive or windows.root) or ".." in (*name.parts, *windows.parts)
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, "the zip holds a link or a name that leads out of it; pack only the study's files."
        )
    if member.flag_bits & 0x1 or member.compress_type not in _METHODS:
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, "zip members must be stored or deflated, without a password; pack it that way."
        )


def _nifti_suffix(name: str) -> str:
    """What NIfTI readers tell compression by."""
    return next((suffix for suffix in (".nii.gz", ".nii") if name.lower().endswith(suffix)), "")


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> SourceFile:
    # ZipExtFile gives no more than the declared size, which has been counted against the limits, and checks the CRC.
    with archive.open(member) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    return SourceFile(member.filename, target)


def one_by_one(path: Path, limits: Limits) -> Generator[SourceFile, None, None]:
    """The files of a zip, each unpacked when it is asked for and gone when the next is.

    Raises:
        StudyRefusedError: a hostile zip, or a file larger than `limits`.
        zipfile.BadZipFile: it is none.
    """
    with tempfile.TemporaryDirectory(prefix="prostate-alm-") as folder, path.open("rb") as file:
        _check_directory(file, limits)
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                if not member.is_dir():
                    _check_member(member)
                    _check_limits(1, member.file_size, limits)
                    unpacked = _extract_member(archive, member, Path(folder) / "member")
                    yield unpacked
                    unpacked.path.unlink()
