"""Deal patients to a test side and to folds so that each gets its share of the few.

scikit-learn's StratifiedGroupKFold aims at equal shares of studies and promises none: with 13 % positives a fold can
miss them. Here patients are dealt by their label, so the folds' counts of positive patients differ by at most 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prostate_alm.errors import ArgumentError, CohortError

Entry = Mapping[str, Any]


def deal_folds(entries: Sequence[Entry], *, folds: int, seed: int) -> dict[str, int]:
    """The fold of each patient; a patient is positive when any of its studies is.

    Returns:
        Folds 0 to ``folds - 1`` whose numbers of positive and of negative patients each differ by at most 1.

    Raises:
        ArgumentError: fewer than 2 folds.
        CohortError: fewer positive or negative patients than folds.
    """
    if folds < 2:
        raise ArgumentError(f"`folds` must be at least 2, got {folds}.")
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    start = 0
    for label, patients in _by_label(entries).items():
        if len(patients) < folds:
            raise CohortError(
                f"{folds} folds need as many patients with label {label}, there are {len(patients)};"
                " use fewer `folds` or add studies."
            )
        for position, chosen in enumerate(rng.permutation(len(patients))):
            fold_of[patients[chosen]] = (start + position) % folds
        start += len(patients)  # the next label goes on where this one ended, so that the folds' sizes stay alike
    return fold_of


def draw_test_patients(entries: Sequence[Entry], *, share: float, seed: int) -> set[str]:
    """Patients for the test side: the same share of the positive and of the negative ones, rounded, at least one each.

    Raises:
        ArgumentError: `share` is not between 0 and 1.
        CohortError: a label would be left without a patient on one side.
    """
    if not 0.0 < share < 1.0:
        raise ArgumentError(f"`share` must lie between 0 and 1, got {share}.")
    rng = np.random.default_rng([seed, 1])
    drawn: set[str] = set()
    for label, patients in _by_label(entries).items():
        count = max(1, round(share * len(patients)))
        if count >= len(patients):
            raise CohortError(
                f"a test share of {share:g} leaves no patient with label {label} to train on, of {len(patients)};"
                " lower it or add studies."
            )
        drawn.update(patients[chosen] for chosen in rng.permutation(len(patients))[:count])
    return drawn


def _by_label(entries: Sequence[Entry]) -> dict[int, list[str]]:
    """Patients by label, the few first, each in the order of their names."""
    label_of: dict[str, int] = {}
    for entry in entries:
        label_of[entry["patient"]] = max(label_of.get(entry["patient"], 0), int(entry["label"]))
    by_label = {label: sorted(p for p, of in label_of.items() if of == label) for label in (1, 0)}
    return dict(sorted(by_label.items(), key=lambda item: len(item[1])))
