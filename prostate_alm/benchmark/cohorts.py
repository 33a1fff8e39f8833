"""A prostate cohort as the data of a table: its datalist, and the test patients that a table is about."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prostate_alm.benchmark.records import Numbers, RunRecord, Scores
from prostate_alm.benchmark.run_figures import figures
from prostate_alm.benchmark.studies import Outcome
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError

BUNDLE = "prostate_dce"


def trains_on_cohort(bundle: str) -> bool:
    """Whether a bundle trains on a cohort of patients."""
    return bundle == BUNDLE


def datalist_path(data: Path) -> Path:
    """The datalist that `data` is, or that lies in the folder `data`."""
    return data if data.suffix == ".json" else data / "datalist.json"


def chosen_patients(data: Path, where: str) -> NDArray[np.bool_]:
    """Which test patients have a value in a column of the datalist: ``[N]``, in its order.

    Args:
        data: as `datalist_path`.
        where: COLUMN=VALUE, such as ``vendor=ge``.

    Raises:
        ArgumentError: `where` is no such text, no test patient has the column or the value, or those who have it are
            of one class.
        CohortError: as `read_datalist`.
    """
    column, separator, value = where.partition("=")
    entries = read_datalist(datalist_path(data)).entries("test")
    if not separator or not any(column in entry for entry in entries):
        columns = sorted({name for entry in entries for name in entry})
        raise ArgumentError(f"`where` is {where!r}. Expected COLUMN=VALUE with a column of {', '.join(columns)}.")
    kept = np.array([str(entry.get(column)) == value for entry in entries], dtype=np.bool_)
    if {entry["label"] for entry, keep in zip(entries, kept, strict=True) if keep} != {0, 1}:
        raise ArgumentError(
            f"`where` is {where!r}, which {int(kept.sum())} of {len(kept)} test patients have; they must be of both "
            "labels."
        )
    return kept


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
