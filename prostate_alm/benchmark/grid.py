"""Carry out many studies at once: each run once, in parallel, kept in a file of its own, resumed where it was."""

import concurrent.futures
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from prostate_alm.benchmark.records import Failure, RunRecord, RunSpec
from prostate_alm.benchmark.studies import Outcome, Result, Study
from prostate_alm.errors import BenchmarkError
from prostate_alm.parcel import write_json


class Backend(Protocol):
    """Where runs are carried out."""

    slots: int

    def submit(self, spec: RunSpec) -> "Future[RunRecord]":
        """Begin a run, now or when a slot is free."""
        ...

    def close(self) -> None:
        """Stop what runs."""
        ...


class RunStore:
    """The records of finished runs, a file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a run, or None where it is not finished.

        Raises:
            BenchmarkError: its file can't be read.
        """
        path = self._path(spec)
        if not path.is_file():
            return None
        try:
            return RunRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BenchmarkError(f"`{path.name}` is no record of a run; delete it to run it again. {error}") from None

    def write(self, record: RunRecord) -> None:
        """Keep a record."""
        write_json(self._path(record.spec), record)

    def _path(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.bundle}-{spec.key}.json"


@dataclass(frozen=True)
class Step:
    """A run ended.

    Attributes:
        result: how.
        done: runs ended so far, those of earlier starts included.
        total: runs known or expected.
        seconds_left: estimate, NaN before the first run of this start.
    """

    result: Result
    done: int
    total: int
    seconds_left: float


class Grid:
    """Runs wanted by studies, each carried out once.

    Args:
        store: of the records.
        backend: where runs are carried out.
        on_step: called when a run has ended.
    """

    def __init__(self, store: RunStore, backend: Backend, on_step: Callable[[Step], None]) -> None:
        self.store, self.backend, self.on_step = store, backend, on_step
        self._results: dict[str, Result] = {}
        self._running: dict[Future[RunRecord], RunSpec] = {}
        self._started, self._ended_here = time.monotonic(), 0

    def run(self, studies: Mapping[str, Study], *, expected: int) -> dict[str, Outcome]:
        """Carry out `studies`, which ask for `expected` runs at most, and return what each found.

        A run that fails is a `Failure` in the outcome, and is tried again at the next start.
        """
        waiting: dict[str, list[RunSpec]] = {}
        outcomes: dict[str, Outcome] = {}
        for name, study in studies.items():
            self._advance(name, study, None, waiting, outcomes)
        while waiting:
            self._await_one(expected)
            for name in [n for n, specs in waiting.items() if all(spec.key in self._results for spec in specs)]:
                results = [self._results[spec.key] for spec in waiting.pop(name)]
                self._advance(name, studies[name], results, waiting, outcomes)
        return outcomes

    def _advance(
        self,
        name: str,
        study: Study,
        results: list[Result] | None,
        waiting: dict[str, list[RunSpec]],
        outcomes: dict[str, Outcome],
    ) -> None:
        """Send a study its results and begin what it asks for next."""
        try:
            wanted = next(study) if results is None else study.send(results)
        except StopIteration as stop:
            outcomes[name] = stop.value
            return
        waiting[name] = wanted
        for spec in wanted:
            self._begin(spec)

    def _begin(self, spec: RunSpec) -> None:
        begun = {running.key for running in self._running.values()}
        if spec.key in self._results or spec.key in begun:
            return
        record = self.store.read(spec)
        if record is not None:
            self._results[spec.key] = record
        else:
            self._running[self.backend.submit(spec)] = spec

    def _await_one(self, expected: int) -> None:
        """Wait until a run has ended, and keep its result."""
        if not self._running:
            return
        done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            spec = self._running.pop(future)
            error = future.exception()
            if error is None:
                self.store.write(future.result())
            self._results[spec.key] = future.result() if error is None else Failure(spec=spec, message=_cause(error))
            self._ended_here += 1
            self.on_step(self._step(self._results[spec.key], expected))

    def _step(self, result: Result, expected: int) -> Step:
        done, known = len(self._results), len(self._results) + len(self._running)
        total = max(expected, known)
        each = (time.monotonic() - self._started) / self._ended_here
        return Step(result, done, total, each * (total - done))


def _cause(error: BaseException) -> str:
    """The first exception of a chain: MONAI wraps it in others, which say nothing of it."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # pyright: ignore[reportAssignmentType] - one of them is there
    return f"{type(error).__name__}: {error}"
