"""What would spoil a training or its evidence is refused before the first epoch."""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.splits import member_folds
from prostate_alm.errors import CohortError
from prostate_alm.training.ensemble import EnsembleRun

Entry = Mapping[str, Any]
CHUNK = 2**20


def check_cohort(run: EnsembleRun) -> None:
    """Refuse a cohort that can't be trained on, or whose scores would be no evidence.

    Args:
        run: what will be trained.

    Raises:
        CohortError: the datalist can't be used (see `read_datalist`), one label is missing, a label has fewer patients
            than folds, some entries lack an image that others have, or two patients have the same images.
    """
    datalist = read_datalist(run.datalist)
    training = datalist.entries("training")
    _check_labels(training, folds=run.folds)
    member_folds(training, repeats=run.repeats, folds=run.folds, seed=run.seed)
    everyone = [*training, *datalist.entries("test")]
    _check_channels(everyone)
    _check_copies(everyone, {entry["patient"] for entry in training})


def _check_labels(training: Sequence[Entry], *, folds: int) -> None:
    """Both labels, and of each as many patients as folds."""
    patients = {label: {e["patient"] for e in training if e["label"] == label} for label in (0, 1)}
    for label, found in patients.items():
        if not found:
            raise CohortError(
                f"the training section has no patient with label {label}; a network learns only from both. Is the "
                "label column the right one?"
            )
        if len(found) < folds:
            raise CohortError(
                f"{folds} folds need as many patients with label {label}, the training section has {len(found)}; "
                "train with fewer `--folds`, or add studies."
            )


def _check_channels(entries: Sequence[Entry]) -> None:
    """All name an ADC map or none does: a fitted one differs, and where it follows the label it is learned."""
    without = sum("adc" not in entry for entry in entries)
    if 0 < without < len(entries):
        raise CohortError(
            f"{without} of {len(entries)} entries name no `adc` and the others do; `prostate-alm cohort import` gives "
            "each study one, or leave `adc` out of all and it is fitted for all."
        )


def _check_copies(entries: Sequence[Entry], training: set[str]) -> None:
    """Two patients whose T2 files hold the same bytes are one patient under two names."""
    for group in _same_files([Path(entry["t2"]) for entry in entries]):
        patients = sorted({entries[position]["patient"] for position in group})
        if len(patients) < 2 or not training & set(patients):
            continue
        where = "training and test" if set(patients) - training else "the training section"
        studies = ", ".join(f"'{entries[position]['study']}'" for position in group)
        raise CohortError(
            f"the T2 images of the studies {studies} are the same file under {len(patients)} patients in {where}; a "
            "model would be tested on what it learned. Give them one `patient`, or leave all but one out."
        )


def _same_files(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Positions of files with the same content; only those of the same size are read whole."""
    sizes = [_size_key(path) for path in paths]
    repeated = {key for key, count in Counter(sizes).items() if count > 1}
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(sizes):
        if key in repeated:
            groups.setdefault(_content_sha256(paths[position]), []).append(position)
    yield from (group for group in groups.values() if len(group) > 1)


def _size_key(path: Path) -> bytes:
    """What files of the same content share: of gzip files its CRC-32 and length, which stand at their end."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return b"plain" + path.stat().st_size.to_bytes(8, "big")
        file.seek(-8, 2)
        return file.read(8)


def _content_sha256(path: Path) -> str:
    """Of the content: a gzip header holds a time, so that copies differ in it."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    digest = hashlib.sha256()
    with gzip.open(path) if packed else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
