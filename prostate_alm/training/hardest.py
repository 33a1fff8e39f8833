"""Which patients the ensemble finds hardest: likely label errors, and hard cases.

Two lists. The constraint has a multiplier for each patient who needs DCE: the longer others outrank him, the more it
grows. For a patient labelled as not needing DCE there is none; there it is how many of those who do he outranks in
scores of members that did not train on him.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.parcel import write_json
from prostate_alm.training.ensemble import EnsembleRun

MULTIPLIERS, SCORES, HARDEST = "multipliers.jsonl", "out_of_fold.json", "hardest_patients.json"
Entry = Mapping[str, Any]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class CriticalPatient:
    """A patient who needs DCE, as the constraint found him.

    Attributes:
        index: of the datalist's entry.
        study: its key.
        patient: his key.
        members: how many trained on him.
        relative: his multiplier over the mean of the member's, mean over these members: 1 is as hard as the average.
            Members differ in `mu`, so their multipliers are no figures of one scale.
        multiplier: itself, mean over these members.
        violation: mean over epochs and these members.
    """

    index: int
    study: str
    patient: str
    members: int
    relative: float
    multiplier: float
    violation: float


@dataclass(frozen=True)
class OtherPatient:
    """A patient labelled as not needing DCE, as members saw him that did not train on him.

    Attributes:
        index: of the datalist's entry.
        study: its key.
        patient: his key.
        logit: out of fold.
        outranked: share of the patients who need DCE that he outranks, out of fold.
    """

    index: int
    study: str
    patient: str
    logit: float
    outranked: float


@dataclass(frozen=True, eq=False)
class Hardest:
    """Both lists, the hardest first.

    Attributes:
        critical: every patient who needs DCE and was trained on under the constraint.
        others: every patient who does not.
        histories: ``[E]`` relative multiplier after each epoch, by index.
    """

    critical: Sequence[CriticalPatient]
    others: Sequence[OtherPatient]
    histories: Mapping[int, Array]


def hardest_patients(run: EnsembleRun) -> Hardest | None:
    """Read what the members of a finished run wrote; None for a run without the constraint."""
    logs = [run.folder(member) / MULTIPLIERS for member in range(run.members)]
    if not all(log.is_file() for log in logs):
        return None
    members = [_read(log) for log in logs]
    entries = read_datalist(run.datalist).entries("training")
    scores = json.loads((run.out / SCORES).read_text(encoding="utf-8"))
    histories = {int(entry["index"]): _history(members, int(entry["index"])) for entry in entries if entry["label"]}
    critical = [_critical(entry, members) for entry in entries if int(entry["index"]) in histories]
    return Hardest(
        critical=sorted(critical, key=lambda patient: (-patient.relative, patient.index)),
        others=_others(entries, {row["index"]: row["logit"] for row in scores}),
        histories=histories,
    )


def write_hardest(hardest: Hardest, out: Path) -> None:
    """Write `hardest_patients.json` below `out`."""
    lists = {"critical": hardest.critical, "others": hardest.others}
    content = {name: [asdict(patient) for patient in patients] for name, patients in lists.items()}
    write_json(out / HARDEST, {"schema_version": 1, **content})


@dataclass(frozen=True, eq=False)
class _Member:
    """A member's log: the columns of patients, and ``[E, P]`` multipliers and violations (NaN: in no batch)."""

    column: Mapping[int, int]
    multipliers: Array
    violations: Array

    @property
    def relative(self) -> Array:
        """Multipliers over their mean in each epoch; 1 where none has grown yet."""
        mean = self.multipliers.mean(axis=1, keepdims=True)
        return np.where(mean > 0, self.multipliers / np.where(mean > 0, mean, 1.0), 1.0)


def _read(log: Path) -> _Member:
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return _Member(
        {int(index): column for column, index in enumerate(rows[0]["index"])},
        np.array([row["multiplier"] for row in rows], dtype=np.float64),
        np.array([row["violation"] for row in rows], dtype=np.float64),  # null becomes NaN
    )


def _critical(entry: Entry, members: Sequence[_Member]) -> CriticalPatient:
    index = int(entry["index"])
    trained = [(member, member.column[index]) for member in members if index in member.column]
    seen = np.concatenate([member.violations[:, column] for member, column in trained])
    return CriticalPatient(
        index=index,
        study=entry["study"],
        patient=entry["patient"],
        members=len(trained),
        relative=float(np.mean([member.relative[-1, column] for member, column in trained])),
        multiplier=float(np.mean([member.multipliers[-1, column] for member, column in trained])),
        violation=float(np.nanmean(seen)) if np.isfinite(seen).any() else 0.0,
    )


def _history(members: Sequence[_Member], index: int) -> Array:
    """Mean over the members that trained on him, as far as all of them trained."""
    histories = [member.relative[:, member.column[index]] for member in members if index in member.column]
    epochs = min(len(history) for history in histories)
    return np.mean([history[:epochs] for history in histories], axis=0)


def _others(entries: Sequence[Entry], logit_of: Mapping[int, float]) -> list[OtherPatient]:
    critical = np.array([logit_of[int(entry["index"])] for entry in entries if entry["label"]])
    others = [
        OtherPatient(
            index=int(entry["index"]),
            study=entry["study"],
            patient=entry["patient"],
            logit=logit_of[int(entry["index"])],
            outranked=float(np.mean(critical < logit_of[int(entry["index"])])),
        )
        for entry in entries
        if not entry["label"]
    ]
    return sorted(others, key=lambda patient: (-patient.logit, patient.index))
