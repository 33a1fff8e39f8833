"""Which input is a row's study: a folder or zip of its name, or else what the headers of a mixed tree say.

Nothing is guessed: a row that several studies match has none, nor has one whose study lies in several places.
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from prostate_alm.datasets.label_table import LabelRow
from prostate_alm.errors import CohortError, StudyRefusedError
from prostate_alm.readers import FoundStudy, Inspection, SeriesChoice, examine_study
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.boundary import refusing
from prostate_alm.readers.image_files import examine_image_files
from prostate_alm.readers.mha import group_mha
from prostate_alm.readers.studies import files_beside, find_studies_beside, studies_in
from prostate_alm.study import Study

_SEVERAL = "several studies match the row; name one by its StudyInstanceUID in the column `study`."
_NUMBERS_MIXED = (
    "some rows match by AccessionNumber and others by PatientID, and one number can be both; name each study by its "
    "StudyInstanceUID, or all by one of the two."
)
_SCATTERED = (
    "images of this study lie in several folders or zips; put the parts of one study into one, or remove the copies."
)


@dataclass(frozen=True, eq=False)
class StudySource:
    """What one study is read from: a folder or zip, a study of a mixed tree, or a group of MHA files.

    Attributes:
        root: folder of the whole cohort.
        input: a path, a study that was found, or files.
    """

    root: Path = field(repr=False)
    input: Path | FoundStudy | tuple[SourceFile, ...] = field(repr=False)

    def examine(self, series: SeriesChoice | None, high_b: float | None) -> tuple[Inspection, Study | None]:
        """As `examine_study`: what is in it and the study, a refusal standing in the former."""
        if not isinstance(self.input, tuple):
            return examine_study(self.input, series=series, high_b=high_b)
        try:
            with refusing():
                examined = examine_image_files(self.input, series=series, high_b=high_b)
                assert examined is not None  # the files are images by their names
                return examined
        except StudyRefusedError as error:
            return Inspection(refusal=error), None

    def fingerprint(self) -> str:
        """Hash of the names, sizes and times of its files, and of what was found wrong with it before.

        Raises:
            OSError: a file is gone.
        """
        found = self.input.refusal if isinstance(self.input, FoundStudy) else None
        digest = hashlib.sha256(str(found).encode())
        for path in self._files():
            status, name = path.stat(), path.relative_to(self.root).as_posix()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="replace"))
        return digest.hexdigest()

    def _files(self) -> Sequence[Path]:
        if isinstance(self.input, FoundStudy):
            return self.input.files
        if isinstance(self.input, tuple):
            return sorted(file.path for file in self.input)
        if self.input.is_dir():
            return sorted(path for path in self.input.rglob("*") if path.is_file())
        return [self.input]


@dataclass(frozen=True)
class Resolution:
    """What became of the rows.

    Attributes:
        sources: of each row that has one, by its line.
        ambiguous: lines of rows that have no one study, each with the reason in a sentence.
        missing: lines of rows that nothing matches.
        studies_without_row: how many inputs no row matches.
        patient_ids: hash of the PatientID of each row whose headers state one, by its line. Never to be written.
        persons: hash of name and birth date, likewise (`person_of`).
    """

    sources: Mapping[int, StudySource]
    ambiguous: Mapping[int, str]
    missing: tuple[int, ...]
    studies_without_row: int
    patient_ids: Mapping[int, str] = field(default_factory=dict, repr=False)
    persons: Mapping[int, str] = field(default_factory=dict, repr=False)


def resolve_sources(root: Path, rows: Sequence[LabelRow]) -> Resolution:
    """Find each row's study below a folder.

    By name: a folder or zip at ``root / study``. Among the files that no row names: DICOM whose StudyInstanceUID,
    AccessionNumber or PatientID is the cell `study`, and MHA files called ``<study>_t2w.mha`` and so on.

    Raises:
        CohortError: two rows match one study, a study lies there as a folder and as a zip, or the files that no row
            names can't be searched.
    """
    named = {row.line: path for row in rows if (path := _named(root, row)) is not None}
    _check_apart(named)
    claimed = frozenset(named.values())
    try:
        dicom = find_studies_beside(root, claimed, salt=secrets.token_hex())
        mha = _mha_groups(files_beside(root, claimed))
    except StudyRefusedError as error:
        raise CohortError(f"the files that no row names can't be searched for studies: {error.args[0]}") from None
    sources = {line: StudySource(root, path) for line, path in named.items()}
    taken: dict[int, FoundStudy | tuple[SourceFile, ...]] = {}
    ambiguous: dict[int, str] = {}
    for row in rows:
        if row.line in named:
            continue
        matches: list[FoundStudy | tuple[SourceFile, ...]] = [one for one in dicom if one.elements_called(row.study)]
        matches += [*mha.get(row.study, ()), *mha.get(f"{row.patient}_{row.study}", ())]
        if len(matches) == 1:
            taken[row.line] = matches[0]
        elif matches:
            ambiguous[row.line] = _SEVERAL
    mixed = _of_mixed_numbers(rows, taken)
    ambiguous |= dict.fromkeys(sorted(mixed), _NUMBERS_MIXED)
    taken = {line: one for line, one in taken.items() if line not in mixed}
    _check_once(taken)
    missing = [row.line for row in rows if row.line not in (*named, *taken, *ambiguous)]
    found = len(dicom) + sum(len(groups) for groups in mha.values())
    others = _folders_of_nothing(root, claimed, dicom, mha)
    sources |= {line: StudySource(root, one) for line, one in taken.items()}
    studies = {line: studies_in(path) for line, path in named.items()}
    scattered = _scattered(studies, taken, dicom)
    whose = {line: next(iter(inside.values())) for line, inside in studies.items() if len(inside) == 1}
    whose |= {line: (one.patient_id, one.person) for line, one in taken.items() if isinstance(one, FoundStudy)}
    return Resolution(
        {line: source for line, source in sources.items() if line not in scattered},
        ambiguous | dict.fromkeys(sorted(scattered), _SCATTERED),
        tuple(missing),
        found - len(taken) + others,
        {line: patient_id for line, (patient_id, _) in whose.items() if patient_id},
        {line: person for line, (_, person) in whose.items() if person},
    )


def _of_mixed_numbers(
    rows: Sequence[LabelRow], taken: Mapping[int, FoundStudy | tuple[SourceFile, ...]]
) -> frozenset[int]:
    """Lines whose number was found as an AccessionNumber or a PatientID where the other may be meant.

    Those of a table whose rows match by either, and an AccessionNumber where the row calls its patient so.
    """
    by: dict[int, frozenset[str]] = {}
    for row in rows:
        study = taken.get(row.line)
        elements = study.elements_called(row.study) if isinstance(study, FoundStudy) else frozenset[str]()
        if elements and "StudyInstanceUID" not in elements:
            by[row.line] = elements
    patients = frozenset(row.line for row in rows if row.study == row.patient)
    if by and not frozenset.intersection(*by.values()):
        return frozenset(by)
    return frozenset(line for line, elements in by.items() if line in patients and "PatientID" not in elements)


def _scattered(
    named: Mapping[int, Collection[str]],
    taken: Mapping[int, FoundStudy | tuple[SourceFile, ...]],
    dicom: Sequence[FoundStudy],
) -> frozenset[int]:
    """Lines of rows whose study lies in several of the inputs: each of these may be half of it, or all are copies."""
    holders: defaultdict[str, list[int | None]] = defaultdict(list)
    for line, studies in named.items():
        for study in studies:
            holders[study].append(line)
    lines = {id(one): line for line, one in taken.items()}
    for one in dicom:
        holders[one.study].append(lines.get(id(one)))
    return frozenset(line for held in holders.values() if len(held) > 1 for line in held if line is not None)


def _named(root: Path, row: LabelRow) -> Path | None:
    """The folder or zip of a row's name; macOS may have taken its umlauts apart."""
    if any(part.startswith(".") for part in PurePosixPath(row.study).parts):
        return None
    return _lies_at(root / row.study, row.line) or _lies_at(root / normalize("NFD", row.study), row.line)


def _lies_at(path: Path, line: int) -> Path | None:
    beside = [path] if path.is_dir() or _is_zip(path) else []
    zips = [path.with_name(f"{path.name}{ending}") for ending in (".zip", ".ZIP")]
    found = beside + [one for one in zips if _is_zip(one)]
    if len(found) > 1:
        raise CohortError(
            f"the study of line {line} of the label table lies there both as a folder and as a zip; remove one."
        )
    return found[0] if found else None


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _check_apart(named: Mapping[int, Path]) -> None:
    """Refuse rows that name one input, or an input inside that of another."""
    lines = {path: line for line, path in named.items()}
    for line, path in named.items():
        for above in (path, *path.parents):
            other = lines.get(above, line)
            if other != line:
                raise _one_study(other, line)


def _check_once(taken: Mapping[int, FoundStudy | tuple[SourceFile, ...]]) -> None:
    lines: dict[int, int] = {}
    for line, one in taken.items():
        if lines.setdefault(id(one), line) != line:
            raise _one_study(lines[id(one)], line)


def _one_study(first: int, second: int) -> CohortError:
    return CohortError(
        f"lines {min(first, second)} and {max(first, second)} of the label table lead to one study; keep one of them, "
        "or name each study by its UID."
    )


def _mha_groups(files: Sequence[SourceFile]) -> dict[str, list[tuple[SourceFile, ...]]]:
    """MHA files of each study by its name ``<patient>_<study>``; a name in two folders has two groups."""
    folders: defaultdict[PurePosixPath, list[SourceFile]] = defaultdict(list)
    for file in files:
        if file.base_name.endswith(".mha"):
            folders[PurePosixPath(file.name).parent].append(file)
    groups: defaultdict[str, list[tuple[SourceFile, ...]]] = defaultdict(list)
    for inside in folders.values():
        for name, roles in group_mha(inside).items():
            paths = set(roles.values())
            groups[name].append(tuple(file for file in inside if file.path in paths))
    return dict(groups)


def _folders_of_nothing(
    root: Path,
    claimed: frozenset[Path],
    dicom: Sequence[FoundStudy],
    mha: Mapping[str, Sequence[tuple[SourceFile, ...]]],
) -> int:
    """Folders and zips in `root` that no row names and no study was found in: NIfTI, or nothing of use."""
    seen = {root / PurePosixPath(folder).parts[0] for one in dicom for folder in one.folders if folder != "."}
    seen |= {_top(root, one.source) for one in dicom if one.source is not None}
    seen |= {_top(root, file.path) for groups in mha.values() for group in groups for file in group}
    seen |= {_top(root, path) for path in claimed}
    entries = [path for path in root.iterdir() if not path.name.startswith(".")]
    return sum(path not in seen and (path.is_dir() or _is_zip(path)) for path in entries)


def _top(root: Path, path: Path) -> Path:
    """The entry of `root` that a path lies in."""
    return root / path.relative_to(root).parts[0]
