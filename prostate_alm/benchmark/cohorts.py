"""A prostate cohort as the data of a table: its datalist, and the test patients that a table is about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prostate_alm.benchmark.records import Numbers, RunRecord, Scores
from prostate_alm.benchmark.run_figures import figures
from prostate_alm.benchmark.studies import Outcome
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError

BUNDLE = "prostate_dce"
FEWEST = 2


def trains_on_cohort(bundle: str) -> bool:
    """Whether a bundle trains on a cohort of patients."""
    return bundle == BUNDLE


def datalist_path(data: Path) -> Path:
    """The datalist that `data` is, or that lies in the folder `data`."""
    return data if data.suffix == ".json" else data / "datalist.json"


def chosen_patients(data: Path, where: str | None) -> NDArray[np.bool_]:
    """Which test patients a table is about: ``[N]``, in the order of the datalist.

    Args:
        data: as `datalist_path`.
        where: COLUMN=VALUE, such as ``vendor=ge``; None for all.

    Raises:
        ArgumentError: `where` is no such text or no column, or fewer than two patients of a label are left, of whom no
            interval can be had.
        CohortError: as `read_datalist`.
    """
    entries = read_datalist(datalist_path(data)).entries("test")
    kept = np.array([where is None or _has(entry, where, entries) for entry in entries], dtype=np.bool_)
    labels = np.array([entry["label"] for entry in entries], dtype=np.int64)[kept]
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if min(positives, negatives) < FEWEST:
        raise ArgumentError(
            f"a table needs {FEWEST} test patients of each label or more; {where or 'the test section'} has "
            f"{positives} positives and {negatives} negatives."
        )
    return kept


def _has(entry: Mapping[str, Any], where: str, entries: Sequence[Mapping[str, Any]]) -> bool:
    column, separator, value = where.partition("=")
    columns = {name for one in entries for name in one}
    if not separator or column not in columns:
        raise ArgumentError(
            f"`where` is {where!r}. Expected COLUMN=VALUE with a column of {', '.join(sorted(columns))}."
        )
    return str(entry.get(column)) == value


def restricted(outcome: Outcome, kept: NDArray[np.bool_]) -> Outcome:
    """The same runs, scored on some of the test patients alone; what was chosen was chosen without any of them."""
    return replace(outcome, runs=[_restricted(run, kept) for run in outcome.runs])


def of_patients(
    outcomes: Mapping[tuple[int | None, str], Outcome], data: Path, where: str | None
) -> Mapping[tuple[int | None, str], Outcome]:
    """All outcomes on the test patients of `where`; on all of them without it."""
    if where is None:
        return outcomes
    kept = chosen_patients(data, where)
    return {key: restricted(outcome, kept) for key, outcome in outcomes.items()}


def _restricted(run: RunRecord, kept: NDArray[np.bool_]) -> RunRecord:
    test = Scores(
        labels=Numbers.of(run.test.labels.array()[kept], "<u1"),
        critical=Numbers.of(run.test.critical.array()[kept], "<f4"),
    )
    return run.model_copy(update={"test": test, "metrics": figures(test, (1,))})
