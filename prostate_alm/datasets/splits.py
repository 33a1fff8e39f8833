"""Stratified, patient-grouped folds: who trains, who validates, for each member."""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.model_selection import StratifiedGroupKFold

from prostate_alm.errors import ArgumentError, CohortError

Entry = Mapping[str, Any]


def assign_folds(entries: Sequence[Entry], *, folds: int, seed: int) -> list[int]:
    """Give each entry one of `folds` folds; a patient lies in one, each class is spread evenly.

    Raises:
        CohortError: a fold would lack a class, so that it has no AUC.
    """
    labels = [int(entry["label"]) for entry in entries]
    fewest = min(labels.count(0), labels.count(1))
    if fewest < folds:
        raise CohortError(
            f"{folds} folds need at least {folds} studies of each class, the rarer one has {fewest}; use fewer folds."
        )
    groups = [str(entry["patient"]) for entry in entries]
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    assigned = [0] * len(entries)
    for fold, (_, validation) in enumerate(splitter.split(labels, labels, groups)):
        for position in validation:
            assigned[int(position)] = fold
    _check_classes(assigned, labels, folds)
    return assigned


def member_split(
    entries: Sequence[Entry], *, member: int, repeats: int, folds: int, seed: int
) -> tuple[list[Entry], list[Entry]]:
    """Training and validation entries of a member: fold ``member % folds`` of repeat ``member // folds``.

    A `fold` column in every entry is used as it stands when there is one repeat.

    Raises:
        ArgumentError: `member` is outside the plan.
        CohortError: the folds can't be made, or the column does not name `folds` folds.
    """
    if not 0 <= member < repeats * folds:
        raise ArgumentError(f"`member` must be 0 to {repeats * folds - 1} for {repeats} x {folds} folds, got {member}.")
    repeat, validation_fold = divmod(member, folds)
    if repeats == 1 and all(entry.get("fold") is not None for entry in entries):
        assigned = [int(entry["fold"]) for entry in entries]
        _check_classes(assigned, [int(entry["label"]) for entry in entries], folds)
        _check_groups(assigned, entries)
    else:
        assigned = assign_folds(entries, folds=folds, seed=seed * 1009 + repeat)
    pairs = list(zip(entries, assigned, strict=True))
    return [entry for entry, fold in pairs if fold != validation_fold], [
        e for e, fold in pairs if fold == validation_fold
    ]


def _check_classes(assigned: Sequence[int], labels: Sequence[int], folds: int) -> None:
    present = {(fold, label) for fold, label in zip(assigned, labels, strict=True)}
    expected = {(fold, label) for fold in range(folds) for label in (0, 1)}
    if present != expected:
        raise CohortError(
            f"each of folds 0 to {folds - 1} needs studies of both classes; found (fold, label) {sorted(present)}."
        )


def _check_groups(assigned: Sequence[int], entries: Sequence[Entry]) -> None:
    folds_of: dict[str, set[int]] = {}
    for entry, fold in zip(entries, assigned, strict=True):
        folds_of.setdefault(str(entry["patient"]), set()).add(fold)
    split = sum(len(folds) > 1 for folds in folds_of.values())
    if split:
        raise CohortError(f"the `fold` column puts {split} patients into more than one fold; keep each patient in one.")
