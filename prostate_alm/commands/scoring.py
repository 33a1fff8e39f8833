"""Scores of labelled studies by an ensemble: in parallel, kept as they come, never computed twice."""

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prostate_alm.datasets.datalist import FILE_FIELDS
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.errors import Reason, StudyRefusedError, StudyUnavailableError
from prostate_alm.evaluation.known_studies import KnownStudy
from prostate_alm.inference.ensemble import Ensemble, load_ensemble
from prostate_alm.parcel import write_json
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.report.triage import Evidence
from prostate_alm.study import QualityFinding

STUDIES_A_PROCESS = 16
"""Fewer are not worth the seconds in which a process imports torch and verifies the ensemble."""


class Gate(BaseModel):
    """A quality gate of a study; a figure that is not finite is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Reason
    value: float | None
    limit: float | None
    passed: bool

    @classmethod
    def of(cls, finding: QualityFinding) -> "Gate":
        """What is kept of a finding."""
        return cls(
            reason=finding.reason, value=_finite(finding.value), limit=_finite(finding.limit), passed=finding.passed
        )

    def finding(self) -> QualityFinding:
        """The finding again."""
        value, limit = (math.nan if one is None else one for one in (self.value, self.limit))
        return QualityFinding(self.reason, value, limit, passed=self.passed)


class StudyScore(BaseModel):
    """What an ensemble says of a study, and which study it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str | None
    """Hash of the voxels; None for a study that could not be read."""
    member_logits: tuple[float | None, ...] = ()
    quality: tuple[Gate, ...] = ()
    refused: Reason | None = None

    @property
    def logit(self) -> float:
        """The members' mean; NaN where there is none or it is not finite."""
        values = [math.nan if one is None else one for one in self.member_logits]
        return sum(values) / len(values) if values else math.nan

    @property
    def failed_gates(self) -> tuple[Reason, ...]:
        """Gates that did not pass, each once."""
        return tuple(dict.fromkeys(gate.reason for gate in self.quality if not gate.passed))

    def evidence(self, accepted_for: str) -> Evidence:
        """What the decision is made of, as in the service.

        Args:
            accepted_for: SHA-256 of the ensemble.
        """
        return Evidence(
            complete=True,
            failures=() if self.refused is None else (self.refused,),
            accepted_for=accepted_for,
            member_logits=tuple(math.nan if one is None else one for one in self.member_logits),
            quality=tuple(gate.finding() for gate in self.quality),
        )


@dataclass(frozen=True)
class _Task:
    """One study for a process."""

    ensemble: str
    sha256: str
    device: str
    entry: Mapping[str, Any]
    kept: Path


def score_entries(
    ensemble: Path,
    entries: Sequence[Mapping[str, Any]],
    *,
    sha256: str,
    kept: Path,
    device: str = "auto",
    workers: int = 1,
) -> list[StudyScore]:
    """Score studies; each score is kept in a file as it comes, and one that is there is not computed again.

    Args:
        ensemble: folder.
        entries: of a datalist, with absolute paths.
        sha256: of its manifest; another ensemble's scores lie in other files.
        kept: folder of the files.
        device: auto, cpu or cuda.
        workers: processes at most.

    Raises:
        EnsembleError: the ensemble can't be used.
        StudyUnavailableError: the machine could not read a study; it says nothing of it.
        CohortError: a process died.
    """
    kept.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(str(ensemble), sha256, device, dict(e), kept / f"{_name(e, sha256)}.json") for e in entries]
    waiting = [task for task in tasks if _read(task.kept) is None]
    if waiting:
        processes = max(1, min(workers, math.ceil(len(waiting) / STUDIES_A_PROCESS)))
        in_processes(_score, waiting, workers=processes, title=f"scoring {len(waiting)} of {len(tasks)} studies")
    scores = [_read(task.kept) for task in tasks]
    return [score for score in scores if score is not None]


def known_studies(
    entries: Sequence[Mapping[str, Any]], scores: Sequence[StudyScore], *, cohort: str
) -> list[KnownStudy]:
    """The studies that could be read, by their hashes.

    Args:
        entries: of a datalist.
        scores: theirs.
        cohort: name of the datalist.
    """
    return [
        KnownStudy.of(score.content, cohort=cohort, patient=entry["patient"])
        for entry, score in zip(entries, scores, strict=True)
        if score.content is not None
    ]


def _name(entry: Mapping[str, Any], sha256: str) -> str:
    """Of the ensemble and the images: a label that is corrected changes no score."""
    files = [Path(entry[field]) for field in FILE_FIELDS if entry.get(field)]
    images = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return hashlib.sha256(json.dumps([sha256, images, entry["b_values"]]).encode()).hexdigest()[:32]


def _read(path: Path) -> StudyScore | None:
    """A kept score; None where there is none that can be used."""
    try:
        return StudyScore.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _score(task: _Task) -> None:
    try:
        loaded = LoadStudy()(task.entry)
    except StudyUnavailableError:
        raise
    except StudyRefusedError as refusal:
        write_json(task.kept, StudyScore(content=None, refused=refusal.reason))
        return
    try:
        score = _loaded(task.ensemble, task.sha256, task.device).score(loaded["study"])
    except StudyUnavailableError:
        raise
    except StudyRefusedError as refusal:
        write_json(task.kept, StudyScore(content=loaded["content"], refused=refusal.reason))
        return
    members = tuple(_finite(value) for value in score.member_logits)
    gates = tuple(Gate.of(finding) for finding in score.quality)
    write_json(task.kept, StudyScore(content=loaded["content"], member_logits=members, quality=gates))


@functools.lru_cache(maxsize=1)
def _loaded(folder: str, sha256: str, device: str) -> Ensemble:
    """The ensemble, once a process."""
    return load_ensemble(Path(folder), expect_sha256=sha256, device=device)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
