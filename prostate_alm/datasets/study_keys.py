"""Pseudonymous keys of studies and patients, drawn once and kept in a private file beside the cohort.

The file alone knows which study of the label table a key stands for. It also keeps the `index` of each study, so that
it stays when rows are added, reordered or left out.
"""

import csv
import fcntl
import io
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from prostate_alm.datasets.label_table import LabelRow
from prostate_alm.errors import CohortError

_KEY = re.compile(r"[sp][0-9a-f]{12}")


@dataclass(frozen=True)
class StudyKey:
    """What stands for a study in every output.

    Attributes:
        index: stable number of the study.
        study_key, patient_key: drawn at random.
        study, patient: cells of the label table.
    """

    index: int
    study_key: str
    patient_key: str
    study: str = field(repr=False)
    patient: str = field(repr=False)


_COLUMNS = [one.name for one in fields(StudyKey)]


def default_keys_file(out: Path) -> Path:
    """`OUT.keys.csv` beside the cohort."""
    whole = out.absolute()
    return whole.with_name(f"{whole.name}.keys.csv")


def assign_keys(path: Path, rows: Sequence[LabelRow]) -> list[StudyKey]:
    """The key of each row, those of new studies and patients drawn now and written to `path`.

    The file is readable for its owner alone, and never half written. Studies that have no row any more stay in it.

    Raises:
        CohortError: the file is no keys file.
    """
    with _locked(path):
        known = {one.study: one for one in read_keys(path)}
        patients = {one.patient: one.patient_key for one in known.values()}
        next_index = max((one.index for one in known.values()), default=-1) + 1
        for row in rows:
            patient = patients.setdefault(row.patient, _draw("p"))
            old = known.get(row.study)
            index, key = (next_index, _draw("s")) if old is None else (old.index, old.study_key)
            next_index += old is None
            known[row.study] = StudyKey(index, key, patient, row.study, row.patient)
        _write(path, list(known.values()))
    return [known[row.study] for row in rows]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one import at a time read and write the file: cohorts may share it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_keys(path: Path) -> list[StudyKey]:
    """The keys in a file; none when it is not there.

    Raises:
        CohortError: it is no keys file, a key or index stands twice, or patients and their keys don't go together.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != _COLUMNS:
                raise _no_keys_file(1, f"its header must be `{','.join(_COLUMNS)}`, as no spreadsheet program saves it")
            keys = [_key(reader.line_num, row) for row in reader]
    except OSError as error:
        raise CohortError(f"the keys file can't be read ({error.strerror}); check the disk and your rights.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_keys_file(1, f"it is no CSV in UTF-8 ({type(error).__name__})") from None
    for name in ("index", "study_key", "study"):
        if len({getattr(one, name) for one in keys}) < len(keys):
            raise CohortError(f"the keys file holds a `{name}` twice; restore it as it was written.")
    pairs = {(one.patient, one.patient_key) for one in keys}
    if len({patient for patient, _ in pairs}) < len(pairs) or len({key for _, key in pairs}) < len(pairs):
        raise CohortError(
            "the keys file gives a patient two keys, or two patients one `patient_key`: a patient would come apart in "
            "a split, or two become one; restore it as it was written."
        )
    return keys


def _key(line: int, row: dict[str, str]) -> StudyKey:
    if None in row.values() or None in row:
        raise _no_keys_file(line, f"it must have {len(_COLUMNS)} cells")
    if not row["index"].isdecimal():
        raise _no_keys_file(line, "its `index` is no whole number")
    for name in ("study_key", "patient_key"):
        if not _KEY.fullmatch(row[name]):
            raise _no_keys_file(line, f"its `{name}` is no key")
    return StudyKey(int(row["index"]), row["study_key"], row["patient_key"], row["study"], row["patient"])


def _no_keys_file(line: int, why: str) -> CohortError:
    return CohortError(
        f"line {line} of the file given as keys file is not as `cohort import` writes it: {why}; restore it, or name "
        "the right one with `--keys`."
    )


def _draw(prefix: str) -> str:
    return prefix + secrets.token_hex(6)


def _write(path: Path, keys: Sequence[StudyKey]) -> None:
    """Replace the file where it differs; it is on the disk before any study is."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(astuple(one) for one in sorted(keys, key=lambda one: one.index))
    content = text.getvalue().encode()
    if path.exists() and path.read_bytes() == content:
        path.chmod(0o600)  # a copy brought back may be open to all
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
