"""`datalist.json`: the cohort as training and evaluation read it, in MONAI's layout."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prostate_alm.errors import CohortError

Section = Literal["training", "test"]
IMAGES = ("t2", "dwi", "adc")


class DatalistEntry(BaseModel):
    """One study. Further columns (vendor, reason, clinical facts) are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    index: int = Field(ge=0, description="stable over folds and repeats; keys the multipliers")
    study: str = Field(min_length=1)
    patient: str = Field(min_length=1)
    label: Literal[0, 1] = Field(description="1: needs DCE")
    t2: str = Field(description="path relative to the datalist's folder")
    dwi: str
    adc: str | None = None
    b_values: list[float] = Field(min_length=1, description="of the volumes of `dwi`, s/mm²")
    fold: int | None = Field(default=None, ge=0)


class DatalistContent(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = 1
    name: str = ""
    training: list[DatalistEntry]
    test: list[DatalistEntry] = []


class Datalist:
    """A datalist that was read and checked.

    Attributes:
        content: what the file says.
        folder: what its paths are relative to.
        sha256: of the file.
    """

    def __init__(self, content: DatalistContent, *, folder: Path, sha256: str) -> None:
        self.content = content
        self.folder = folder
        self.sha256 = sha256

    def entries(self, section: Section) -> list[dict[str, Any]]:
        """Entries as plain mappings with absolute image paths, ready for `LoadStudy`."""
        entries = [entry.model_dump(exclude_none=True) for entry in getattr(self.content, section)]
        for entry in entries:
            entry |= {name: str(self.folder / entry[name]) for name in IMAGES if name in entry}
        return entries


def read_datalist(path: Path) -> Datalist:
    """Read and check a datalist.

    Raises:
        CohortError: it is missing or malformed, an index or study is there twice, a patient is in both
            sections, or an image file is missing.
    """
    if not path.is_file():
        raise CohortError(
            f"expected a datalist at `{path.name}`; write one with `prostate-alm cohort import` or `synthesize`."
        )
    raw = path.read_bytes()
    try:
        content = DatalistContent.model_validate_json(raw)
    except ValidationError as error:
        raise CohortError(f"{path.name} is malformed: {error}") from None
    _check(content, path.parent)
    return Datalist(content, folder=path.parent.absolute(), sha256=hashlib.sha256(raw).hexdigest())


def _check(content: DatalistContent, folder: Path) -> None:
    entries = [*content.training, *content.test]
    for name in ("index", "study"):
        repeated = [value for value, count in Counter(getattr(entry, name) for entry in entries).items() if count > 1]
        if repeated:
            raise CohortError(f"`{name}` must be unique over both sections; repeated: {repeated[:5]}.")
    shared = {entry.patient for entry in content.training} & {entry.patient for entry in content.test}
    if shared:
        raise CohortError(
            f"{len(shared)} patients are in both `training` and `test`; keep each on one side, or the test leaks."
        )
    paths = [path for entry in entries for path in (entry.t2, entry.dwi, entry.adc) if path is not None]
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:
        raise CohortError(
            f"{len(missing)} image files are missing, the first is `{missing[0]}`; import the cohort again."
        )
