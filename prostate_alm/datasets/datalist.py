"""`datalist.json`: which studies a cohort has, in MONAI's layout, and where their files lie."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from prostate_alm.errors import CohortError
from prostate_alm.parcel import write_json

Split = Literal["training", "test"]
FILE_FIELDS = ("t2", "dwi", "adc")


class DatalistEntry(BaseModel):
    """One labelled study. Columns beyond these are kept: vendor, reason, clinical data."""

    model_config = ConfigDict(extra="allow", frozen=True)

    index: int = Field(ge=0, description="unique over the whole datalist and independent of folds")
    study: str = Field(min_length=1, description="pseudonymous key")
    patient: str = Field(min_length=1, description="pseudonymous key; never in both training and test")
    person: str | None = Field(
        default=None, description="pseudonymous key that patients share who may be one person; drawn splits follow it"
    )
    label: Literal[0, 1] = Field(description="1 when DCE is needed")
    t2: str = Field(description="path relative to the datalist's folder")
    dwi: str = Field(description="four-dimensional, one volume for each of `b_values`")
    adc: str | None = None
    b_values: list[float] = Field(min_length=1, description="in s/mm²")
    fold: int | None = Field(default=None, ge=0)


class Datalist(BaseModel):
    """A cohort: studies to train on, and unseen ones."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = 1
    name: str
    training: list[DatalistEntry]
    test: list[DatalistEntry] = []

    _folder: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _is_one_cohort(self) -> "Datalist":
        everyone = [*self.training, *self.test]
        for field in ("index", "study"):
            value, count = (
                Counter(getattr(entry, field) for entry in everyone).most_common(1)[0] if everyone else ("", 0)
            )
            if count > 1:
                raise ValueError(f"`{field}` {value} stands in {count} entries; give each entry its own.")
        shared = {entry.patient for entry in self.training} & {entry.patient for entry in self.test}
        if shared:
            raise ValueError(
                f"`patient`: {len(shared)} stand in training and in test, the first is '{min(shared)}'; "
                "move all studies of a patient to one side."
            )
        return self

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes; empty for a datalist that was not read from a file."""
        return self._sha256

    def entries(self, split: Split) -> list[dict[str, Any]]:
        """The entries of a split with absolute paths, ready for `LoadStudy`."""
        chosen: list[DatalistEntry] = getattr(self, split)
        return [self._absolute(entry.model_dump(exclude_none=True)) for entry in chosen]

    def _absolute(self, entry: dict[str, Any]) -> dict[str, Any]:
        paths = {field: str(self._folder / entry[field]) for field in FILE_FIELDS if field in entry}
        return {**entry, **paths}

    def _placed(self, folder: Path, sha256: str) -> "Datalist":
        """The same datalist, knowing where it lies."""
        self._folder, self._sha256 = folder, sha256
        return self


def people_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Whom each patient has to stay together with: those of the same `person`, or nobody else."""
    people: dict[str, str] = {}
    for entry in entries:
        patient = str(entry["patient"])
        people[patient] = str(entry.get("person") or people.get(patient, patient))
    return people


def read_datalist(path: Path, *, only: Split | None = None) -> Datalist:
    """Read and check a datalist.

    Args:
        path: of the file.
        only: the one side that is wanted; the other side is left out, and its images are not looked for.

    Raises:
        CohortError: it is not there, a field is wrong, an index or study stands twice, a patient is in
            training and in test, or a file is missing.
    """
    if not path.is_file():
        raise CohortError(f"there is no datalist at `{path}`; make one with `prostate-alm cohort import`.")
    content = path.read_bytes()
    try:
        datalist = Datalist.model_validate_json(content)
    except ValidationError as error:
        raise CohortError(f"`{path.name}` is no datalist that can be used: {_first_problem(error)}") from None
    if only is not None:
        datalist = datalist.model_copy(update={"test" if only == "training" else "training": []})
    placed = datalist._placed(path.parent.resolve(), hashlib.sha256(content).hexdigest())
    _check_files(placed)
    return placed


def make_datalist(name: str, *, training: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]]) -> Datalist:
    """A datalist from plain entries.

    Raises:
        CohortError: as `read_datalist`, but files are not looked for.
    """
    try:
        return Datalist.model_validate({"name": name, "training": list(training), "test": list(test)})
    except ValidationError as error:
        raise CohortError(f"these studies make no cohort: {_first_problem(error)}") from None


def write_datalist(datalist: Datalist, path: Path) -> None:
    """Write a datalist so that `path` holds either the old one or the whole new one."""
    write_json(path, datalist.model_dump(exclude_none=True))


def _first_problem(error: ValidationError) -> str:
    """Field and message of the first problem, without the value that came."""
    problems = error.errors(include_url=False, include_input=False)
    where = ".".join(str(part) for part in problems[0]["loc"])
    message = problems[0]["msg"].removeprefix("Value error, ")
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"`{where}`: {message}{more}" if where else f"{message}{more}"


def _check_files(datalist: Datalist) -> None:
    for split in ("training", "test"):
        for position, entry in enumerate(datalist.entries(split)):
            missing = [field for field in FILE_FIELDS if field in entry and not Path(entry[field]).is_file()]
            if missing:
                raise CohortError(
                    f"`{split}.{position}.{missing[0]}` names a file that is not there; paths are relative to the "
                    "datalist's folder: move both together, or import the cohort again."
                )
