"""The NIfTI files of an input with what dcm2niix wrote beside them: sidecars and b-values."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.instance import clean_text
from prostate_alm.readers.nifti import read_b_value_file, read_nifti_grid
from prostate_alm.readers.scrubbing import scrubbed, word_hashes
from prostate_alm.readers.series_roles import SeriesRole
from prostate_alm.readers.t2_rivals import T2Kind
from prostate_alm.study import Geometry

_NUMBER = re.compile(r"(?:^|_)(?P<number>\d{1,6})[a-z]?(?:_[A-Za-z]\w*)?$")
_NUMBER_AFTER_TIME = re.compile(r"_\d{8}(?:\d{6})?" + _NUMBER.pattern.replace("(?:^|_)", "_"))  # dcm2niix %t_%s
_SIDECAR_BYTES = 2**20
_PATIENT_FIELDS = (  # of a sidecar that was not anonymised (dcm2niix -ba n)
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
    *("InstitutionName", "InstitutionAddress", "OperatorsName", "PerformingPhysicianName", "RequestingPhysician"),
    *("OtherPatientIDs", "OtherPatientNames", "PatientBirthName"),
)


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """One NIfTI file and what stands beside it."""

    path: Path = field(repr=False)
    stem: str = field(repr=False)
    sidecar: Mapping[str, Any] = field(repr=False)
    b_values: tuple[float, ...]
    geometry: Geometry
    volumes: int
    b_vectors: Path | None = field(default=None, repr=False)
    role: SeriesRole = SeriesRole.OTHER
    why: str = ""
    patient_words: frozenset[str] = frozenset()

    @property
    def number(self) -> int | None:
        """The series number, of the sidecar or after the time in the name: another there may be the patient's."""
        return self._number(_NUMBER_AFTER_TIME)

    def is_called(self, name: int | str) -> bool:
        """Whether a person means it: by its series number, by any number at the end of its name, or by a text."""
        texts = (self.description.casefold(), self.stem.casefold())
        return name == self._number(_NUMBER) or str(name).casefold() in texts

    def _number(self, of_name: re.Pattern[str]) -> int | None:
        stated = self.sidecar.get("SeriesNumber")
        named = of_name.search(self.stem)
        return stated if isinstance(stated, int) else int(named["number"]) if named else None

    @property
    def description(self) -> str:
        """The sidecar's description; empty without one, for the name may hold a patient's."""
        return clean_text(str(self.sidecar.get("SeriesDescription", "")))

    @property
    def shown(self) -> str:
        """The description without words of the patient, whom a sidecar may name."""
        return self.scrubbed("SeriesDescription")

    def scrubbed(self, name: str) -> str:
        """A text of the sidecar for a person to read: without words of the patient, dates and IDs."""
        return scrubbed(clean_text(str(self.sidecar.get(name, ""))), self.patient_words)

    def milliseconds(self, name: str) -> float | None:
        """A time that the sidecar states in seconds; None when it states none."""
        stated = self.sidecar.get(name)
        return float(stated) * 1000 if isinstance(stated, (int, float)) else None

    def parts(self, name: str) -> tuple[str, ...]:
        """What the sidecar lists under a name, as a list or between underscores or backslashes, upper case."""
        stated = self.sidecar.get(name, "")
        parts = stated if isinstance(stated, list) else re.split(r"[_\\]", str(stated))
        return tuple(str(part).upper() for part in parts if part)

    @property
    def kind(self) -> T2Kind:
        """What it was made with, as a T2."""
        return T2Kind(
            self.label,
            self.image_type,
            self.parts("ScanOptions"),
            self.text,
            bool(self.sidecar.get("ContrastBolusIngredient") or self.sidecar.get("ContrastBolusAgent")),
            self.milliseconds("EchoTime"),
            self.milliseconds("RepetitionTime"),
            max(self.geometry.spacing[:2]),
        )

    @property
    def label(self) -> str:
        """How messages speak of it."""
        return "a file without series number" if self.number is None else f"series {self.number}"

    @property
    def text(self) -> str:
        """What the rules look for words in, upper case."""
        return f"{self.description} {self.stem}".upper()

    @property
    def image_type(self) -> tuple[str, ...]:
        """ImageType of the sidecar, upper case."""
        stated = self.sidecar.get("ImageType")
        return tuple(str(part).upper() for part in stated) if isinstance(stated, list) else ()


def described_files(files: Sequence[SourceFile]) -> list[NiftiFile]:
    """Every NIfTI file with its sidecars, by series number and name."""
    beside = {_stem(file): file.path for file in files if file.base_name.endswith((".bval", ".bvec", ".json"))}
    described: list[NiftiFile] = []
    for file in files:
        if not file.base_name.endswith((".nii", ".nii.gz")) or file.base_name.startswith("."):
            continue
        stem, _ = _stem(file)
        geometry, volumes = read_nifti_grid(file.path, "a NIfTI file")
        b_value_file = beside.get((stem, ".bval"))
        described.append(
            NiftiFile(
                file.path,
                PurePosixPath(stem).name,
                _sidecar(beside.get((stem, ".json"))),
                tuple(read_b_value_file(b_value_file)) if b_value_file else (),
                geometry,
                volumes,
                beside.get((stem, ".bvec")),
            )
        )
    # a sidecar that names the patient speaks for those that don't
    told = (str(one.sidecar[name]) for one in described for name in _PATIENT_FIELDS if name in one.sidecar)
    words = word_hashes(told)
    named = [replace(one, patient_words=words) for one in described]
    return sorted(named, key=lambda one: (math.inf if one.number is None else one.number, one.stem))


def refuse_mixtures(described: Sequence[NiftiFile]) -> None:
    """Raise when the sidecars speak of several patients or studies; those that don't say agree with each other.

    Raises:
        StudyRefusedError: two values of one of their elements.
    """
    for names, reason, several in (
        (("PatientID", "PatientName", "PatientBirthDate"), Reason.MULTIPLE_PATIENTS, "patients"),
        (("StudyInstanceUID",), Reason.MULTIPLE_STUDIES, "studies"),
    ):
        values = [{str(one.sidecar[name]).strip() for one in described if name in one.sidecar} - {""} for name in names]
        count = max(len(of_one) for of_one in values)
        if count > 1:
            raise StudyRefusedError(reason, f"the sidecars are of {count} {several}; send each patient's study alone.")


def _stem(file: SourceFile) -> tuple[str, str]:
    """The name without its ending, and the ending of a sidecar."""
    name = file.name
    for ending in (".nii.gz", ".nii", ".bval", ".bvec", ".json"):
        if name.lower().endswith(ending):
            return name[: -len(ending)], ending
    return name, ""


def _sidecar(path: Path | None) -> dict[str, Any]:
    if path is None or path.stat().st_size > _SIDECAR_BYTES:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
