"""Find the studies in a tree where several patients and examinations lie mixed, from headers alone."""

import hashlib
import os
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NoReturn

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import Limits, SourceFile, one_by_one, open_input, unpack_again
from prostate_alm.readers.boundary import refusing
from prostate_alm.readers.dicom import Scan, read_files, scan_of
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.scrubbing import pseudonym

_TREE = Limits(files=1_000_000, total_bytes=1 << 42)


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
        source: the zip it lies in; None for plain files.
        patient_id: hash of its PatientID, which can be guessed: keep it out of outputs.
        person: as of its images (`Instance`); of this process alone.
    """

    key: str
    patient: str
    images: int
    series: int
    folders: tuple[str, ...] = field(default=(), repr=False)
    refusal: StudyRefusedError | None = None
    source: Path | None = field(default=None, repr=False)
    patient_id: str = field(default="", repr=False)
    person: str = field(default="", repr=False)
    _study: str = field(default="", repr=False)
    _instances: tuple[Instance, ...] = field(default=(), repr=False)
    _names: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    _state: tuple[int, int] | None = field(default=None, repr=False)

    def elements_called(self, name: str) -> frozenset[str]:
        """Which of StudyInstanceUID, AccessionNumber and PatientID hold `name` in one of its images."""
        sought = pseudonym(name)
        return frozenset(element for element, names in self._names.items() if sought in names)

    @property
    def study(self) -> str:
        """As `studies_in` calls it; another UID could be tried against it, so keep it out of outputs."""
        return self._study

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from: its zip, or its plain files; keep their names out of outputs."""
        return (self.source,) if self.source else tuple(sorted({one.path for one in self._instances}))

    @contextmanager
    def scan(self, limits: Limits) -> Iterator[Scan]:
        """Its series; the files of one in a zip live as long as the context.

        Raises:
            StudyRefusedError: what `find_studies` found wrong with it, a zip that has changed since, or more than
                `limits`.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.source is None:
            if len(self.files) > limits.files:
                raise StudyRefusedError(Reason.INPUT_TOO_LARGE, f"the study has more than {limits.files} files.")
            yield scan_of(self._instances)
            return
        if _state_of(self.source) != self._state:
            raise StudyRefusedError(
                Reason.INPUT_UNREADABLE,
                "the zip has changed since its headers were read; begin again when it is whole.",
            )
        with unpack_again(self.source, {one.path.name for one in self._instances}, limits) as files:
            paths = {file.path.name: file.path for file in files}
            yield scan_of([replace(one, path=paths[one.path.name]) for one in self._instances])


def find_studies(root: Path | str, *, salt: str, limits: Limits | None = None) -> list[FoundStudy]:
    """Group every DICOM file below `root`, in zips too, by patient and study; headers only.

    A file that claims to be DICOM and can't be read could be a slice of any study near it: it refuses those that have
    a file in its folder, or else below the nearest folder above it.

    Args:
        root: a folder, or one zip.
        salt: makes the keys unguessable; the same salt, kept with the cohort, gives the same keys again.
        limits: files and bytes of the whole tree, and of each zip expanded; None allows a million files.

    Returns:
        The studies in the order of their keys.

    Raises:
        StudyRefusedError: `root` is not there, holds nothing, or no DICOM.
    """
    root = Path(root)
    with refusing():
        if root.is_file():
            found = _in_zips([root], limits or _TREE, salt)
        else:
            with open_input(root, limits or _TREE) as files:
                found = _in_files(files, limits or _TREE, salt)
    if not found:
        raise StudyRefusedError(Reason.INPUT_UNREADABLE, "no file of the tree is DICOM; give the folder of the export.")
    return found


def find_studies_beside(root: Path, claimed: Collection[Path], *, salt: str) -> list[FoundStudy]:
    """What `find_studies` finds below a folder where `claimed` files and folders, and hidden ones, are left aside.

    Returns:
        The studies; none where nothing else is DICOM.

    Raises:
        StudyRefusedError: a zip is broken, or a folder is a link: studies may be lost there.
    """
    with refusing():
        return _in_files(files_beside(root, claimed), _TREE, salt)


def studies_in(path: Path) -> dict[str, tuple[str, str]]:
    """The studies in a folder or zip, by the first image of each of its folders, and the first of a zip.

    Each comes with the hash of its PatientID, and its `person`.

    So a cohort is looked through for studies in several places at the cost of a few headers a study. An input that
    can't be read has none here: reading it says why.
    """
    try:
        with refusing():
            if not path.is_dir():
                with closing(one_by_one(path, Limits())) as members:
                    return dict(_first_study(members))
            folders: defaultdict[PurePosixPath, list[SourceFile]] = defaultdict(list)
            for file in files_beside(path, ()):
                folders[PurePosixPath(file.name).parent].append(file)
            return dict(one for files in folders.values() for one in _first_study(files))
    except StudyRefusedError:
        return {}


def _first_study(files: Iterable[SourceFile]) -> list[tuple[str, tuple[str, str]]]:
    """Study, PatientID and person of the first image that can be read; nothing where none is DICOM."""
    for file in files:
        for _, images in read_files([file]):
            if isinstance(images, list) and images:
                first = images[0]
                return [(first.study, (first.patient_id, first.person))] if first.study else []
    return []


def files_beside(root: Path, claimed: Collection[Path]) -> list[SourceFile]:
    """The files below a folder but those in `claimed` or hidden files and folders, in the order of their names.

    Raises:
        StudyRefusedError: a folder is a symbolic link.
        OSError: a folder is closed to us.
    """
    files: list[SourceFile] = []
    for parent, folders, names in os.walk(root, onerror=_raise):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name not in claimed)
        if any((here / name).is_symlink() for name in folders):
            raise StudyRefusedError(
                Reason.INPUT_UNREADABLE, "a subfolder that no row names is a symbolic link; copy the files themselves."
            )
        paths = [here / name for name in names if not name.startswith(".")]
        files += [SourceFile(p.relative_to(root).as_posix(), p) for p in paths if p not in claimed and p.is_file()]
    return sorted(files, key=lambda file: file.name)


def _raise(error: OSError) -> NoReturn:
    """A folder that can't be listed may hold studies: not to be passed over, as `os.walk` does by default."""
    raise error


def _in_files(files: Sequence[SourceFile], limits: Limits, salt: str) -> list[FoundStudy]:
    zips = {file.path for file in files if _is_zip(file)}
    plain = _studies_of([file for file in files if file.path not in zips], salt)
    return _ordered([*plain, *_in_zips(sorted(zips), limits, salt)])


def _in_zips(paths: Sequence[Path], limits: Limits, salt: str) -> list[FoundStudy]:
    found: list[FoundStudy] = []
    for path in paths:
        state = _state_of(path)
        with open_input(path, limits) as files:
            found += [replace(one, source=path, folders=(), _state=state) for one in _studies_of(files, salt)]
    return _ordered(found)


def _ordered(found: Sequence[FoundStudy]) -> list[FoundStudy]:
    return sorted(_refuse_scattered(found), key=lambda one: one.key)


def _is_zip(file: SourceFile) -> bool:
    return file.base_name.endswith(".zip") and zipfile.is_zipfile(file.path)


def _state_of(path: Path) -> tuple[int, int]:
    """By what a change of a file is noticed: its size and time."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _studies_of(files: Sequence[SourceFile], salt: str) -> list[FoundStudy]:
    groups: defaultdict[str, list[Instance]] = defaultdict(list)
    folders: defaultdict[str, set[PurePosixPath]] = defaultdict(set)
    broken: list[tuple[PurePosixPath, StudyRefusedError]] = []
    for file, images in read_files(files):
        folder = PurePosixPath(file.name).parent
        if isinstance(images, StudyRefusedError):
            broken.append((folder, images))
            continue
        for image in images:
            groups[image.study].append(image)
            folders[image.study].add(folder)
    refused = _refused_by_neighbours(folders, broken)
    return [_found(images, folders[study], refused.get(study), salt) for study, images in groups.items()]


def _found(
    images: Sequence[Instance], folders: set[PurePosixPath], refusal: StudyRefusedError | None, salt: str
) -> FoundStudy:
    first = images[0]
    return FoundStudy(
        key=_salted(salt, "study", first.study),
        patient=_salted(salt, "patient", first.patient_id or first.patient_name or first.study),
        images=len(images),
        series=len({image.series for image in images}),
        folders=tuple(sorted(str(folder) for folder in folders)),
        refusal=refusal,
        patient_id=first.patient_id,
        person=first.person,
        _study=first.study,
        _instances=tuple(images),
        _names={
            "StudyInstanceUID": frozenset({first.study}) - {""},
            "AccessionNumber": frozenset(one.accession for one in images) - {""},
            "PatientID": frozenset(one.patient_id for one in images) - {""},
        },
    )


def _salted(salt: str, kind: str, name: str) -> str:
    return hashlib.sha256(f"{salt}\0{kind}\0{name}".encode()).hexdigest()[:12]


def _refused_by_neighbours(
    folders: dict[str, set[PurePosixPath]], broken: Sequence[tuple[PurePosixPath, StudyRefusedError]]
) -> dict[str, StudyRefusedError]:
    """The studies that an unreadable file could belong to."""
    refused: dict[str, StudyRefusedError] = {}
    for folder, error in broken:
        near = [study for study, theirs in folders.items() if folder in theirs]
        for above in (folder, *folder.parents):
            if near:
                break
            near = [study for study, theirs in folders.items() if any(one.is_relative_to(above) for one in theirs)]
        refused.update(dict.fromkeys(near, error))
    return refused


def _refuse_scattered(found: Sequence[FoundStudy]) -> list[FoundStudy]:
    """A study of which parts lie in several zips, or in a zip and beside it, is refused: none of them may be whole."""
    counts: defaultdict[str, int] = defaultdict(int)
    for one in found:
        counts[one.key] += 1
    error = StudyRefusedError(
        Reason.SERIES_AMBIGUOUS, "the study lies in several places of the tree, zips or folders; put it into one."
    )
    unique: dict[str, FoundStudy] = {}
    for one in found:
        unique.setdefault(one.key, replace(one, refusal=error) if counts[one.key] > 1 else one)
    return list(unique.values())
