"""Deal patients to a test side and to folds so that each gets its share of the few.

scikit-learn's StratifiedGroupKFold aims at equal shares of studies and promises none: with 13 % positives a fold can
miss them. Here patients are dealt by their label, so the folds' counts of positive patients differ by at most 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prostate_alm.datasets.datalist import Datalist, make_datalist, people_of
from prostate_alm.errors import ArgumentError, CohortError

Entry = Mapping[str, Any]


def split_datalist(datalist: Datalist, *, folds: int, test_share: float | None, seed: int) -> Datalist:
    """The datalist with a fold for each training patient, and with `test_share` a test side drawn anew.

    Args:
        datalist: whose entries keep all else.
        folds: F of the training side.
        test_share: share of all patients, of each label alike; None keeps the test side as it is.
        seed: of both draws.

    Raises:
        ArgumentError: as `deal_folds` and `draw_test_patients`.
        CohortError: likewise.
    """
    training, test = ([entry.model_dump(exclude_none=True) for entry in e] for e in (datalist.training, datalist.test))
    if test_share is not None:
        everyone = sorted([*training, *test], key=lambda entry: entry["index"])
        drawn = draw_test_patients(everyone, share=test_share, seed=seed)
        training = [entry for entry in everyone if entry["patient"] not in drawn]
        test = [{name: v for name, v in e.items() if name != "fold"} for e in everyone if e["patient"] in drawn]
    fold_of = deal_folds(training, folds=folds, seed=seed)
    dealt = [{**entry, "fold": fold_of[entry["patient"]]} for entry in training]
    return make_datalist(datalist.name, training=dealt, test=test)


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
    people = people_of(entries)
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
    return {patient: fold_of[person] for patient, person in people.items()}


def draw_test_patients(entries: Sequence[Entry], *, share: float, seed: int) -> set[str]:
    """Patients for the test side: the same share of the positive and of the negative ones, rounded, at least one each.

    Raises:
        ArgumentError: `share` is not between 0 and 1.
        CohortError: a label would be left without a patient on one side.
    """
    if not 0.0 < share < 1.0:
        raise ArgumentError(f"`share` must lie between 0 and 1, got {share}.")
    rng = np.random.default_rng([seed, 1])
    people, drawn = people_of(entries), set[str]()
    for label, patients in _by_label(entries).items():
        count = max(1, round(share * len(patients)))
        if count >= len(patients):
            raise CohortError(
                f"a test share of {share:g} leaves no patient with label {label} to train on, of {len(patients)};"
                " lower it or add studies."
            )
        drawn.update(patients[chosen] for chosen in rng.permutation(len(patients))[:count])
    return {patient for patient, person in people.items() if person in drawn}


def _by_label(entries: Sequence[Entry]) -> dict[int, list[str]]:
    """Persons by label, the few first, each in the order of their keys."""
    people, label_of = people_of(entries), dict[str, int]()
    for entry in entries:
        person = people[entry["patient"]]
        label_of[person] = max(label_of.get(person, 0), int(entry["label"]))
    by_label = {label: sorted(p for p, of in label_of.items() if of == label) for label in (1, 0)}
    return dict(sorted(by_label.items(), key=lambda item: len(item[1])))
