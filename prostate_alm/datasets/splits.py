"""Which member trains on which studies: repeats of a stratified fold split that keeps patients together."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from prostate_alm.datasets.datalist import people_of
from prostate_alm.errors import ArgumentError, CohortError

Entry = Mapping[str, Any]


def member_folds(entries: Sequence[Entry], *, repeats: int, folds: int, seed: int) -> list[dict[str, int]]:
    """The fold of each patient, one mapping a repeat.

    Entries that carry a `fold` are taken at their word when there is one repeat.

    Raises:
        ArgumentError: fewer than one repeat or two folds.
        CohortError: a fold lacks a class, or the entries' own folds are not `folds` or split a patient.
    """
    if repeats < 1 or folds < 2:
        raise ArgumentError(f"`repeats` must be at least 1 and `folds` at least 2, got {repeats} and {folds}.")
    if repeats == 1 and any(entry.get("fold") is not None for entry in entries):
        assigned = [_given_folds(entries, folds)]
    else:
        assigned = [_drawn_folds(entries, folds, _repeat_seed(seed, repeat)) for repeat in range(repeats)]
    for folds_of_patients in assigned:
        _check_classes(entries, folds_of_patients, folds)
    return assigned


def member_split(
    entries: Sequence[Entry], *, member: int, repeats: int, folds: int, seed: int
) -> tuple[list[Entry], list[Entry]]:
    """What one member trains on and what it validates on.

    Member m belongs to repeat ``m // folds`` and validates on fold ``m % folds``, so that the
    ``repeats * folds`` members validate each study exactly `repeats` times.

    Raises:
        ArgumentError: `member` is outside 0 to ``repeats * folds - 1``, or as `member_folds`.
        CohortError: as `member_folds`.
    """
    if not 0 <= member < repeats * folds:
        raise ArgumentError(f"`member` must be 0 to {repeats * folds - 1} (repeats * folds - 1), got {member}.")
    fold_of = member_folds(entries, repeats=repeats, folds=folds, seed=seed)[member // folds]
    validation = [entry for entry in entries if fold_of[entry["patient"]] == member % folds]
    training = [entry for entry in entries if fold_of[entry["patient"]] != member % folds]
    return training, validation


def _given_folds(entries: Sequence[Entry], folds: int) -> dict[str, int]:
    found = {entry.get("fold") for entry in entries}
    if found != set(range(folds)):
        named = sorted(fold for fold in found if fold is not None)
        raise CohortError(
            f"the `fold` column must name folds 0 to {folds - 1} in every entry, it names {named}; "
            "change `folds`, or remove the column to have folds drawn."
        )
    fold_of: dict[str, int] = {}
    for entry in entries:
        if fold_of.setdefault(entry["patient"], entry["fold"]) != entry["fold"]:
            raise CohortError(
                f"patient '{entry['patient']}' stands in more than one fold; "
                "give all studies of a patient the same `fold`."
            )
    return fold_of


def _drawn_folds(entries: Sequence[Entry], folds: int, seed: int) -> dict[str, int]:
    labels = np.array([entry["label"] for entry in entries])
    patients, people = [entry["patient"] for entry in entries], people_of(entries)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    groups = [people[patient] for patient in patients]
    fold_of: dict[str, int] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # too few of a class: `_check_classes` says what to do
            for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
                fold_of.update((patients[position], fold) for position in validation)
    except ValueError:
        raise _too_few(folds) from None
    return fold_of


def _repeat_seed(seed: int, repeat: int) -> int:
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def _check_classes(entries: Sequence[Entry], fold_of: Mapping[str, int], folds: int) -> None:
    found = {(fold_of[entry["patient"]], entry["label"]) for entry in entries}
    if found != {(fold, label) for fold in range(folds) for label in (0, 1)}:
        raise _too_few(folds)


def _too_few(folds: int) -> CohortError:
    return CohortError(
        f"each of the {folds} folds needs patients with label 0 and with label 1, and this cohort has too few of one; "
        "use fewer `folds` or add studies."
    )
