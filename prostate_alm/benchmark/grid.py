"""Carry out many studies at once: each run once, in parallel, kept in a file of its own, resumed where it was."""

import concurrent.futures
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
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

    def submit(self, spec: RunSpec) -> "Future[Result]":
        """Begin a run, now or when a slot is free; an exception of the future is a fault of the backend's."""
        ...

    def discard(self, spec: RunSpec) -> None:
        """Delete the files of a run whose record is kept."""
        ...

    def close(self) -> None:
        """Stop what runs."""
        ...


class RunStore:
    """The records of finished runs, a file each, written whole or not at all.

    Raises:
        BenchmarkError: the folder can't be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchmarkError(f"no folder `{folder}` can be made ({error.strerror}); give another one.") from None

    def check(self) -> None:
        """Read every record, so that a damaged one is named before any training and not when its turn comes.

        Raises:
            BenchmarkError: a file can't be read, or holds another run.
        """
        for path in sorted(self.folder.glob("*.json")):
            self._load(path)

    def read(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a run, or None where it is not finished.

        Raises:
            BenchmarkError: its file can't be read, or holds another run.
        """
        path = self._path(spec)
        return self._load(path) if path.is_file() else None

    def _load(self, path: Path) -> RunRecord:
        try:
            record = RunRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BenchmarkError(f"`{path.name}` is no record of a run; delete it to run it again. {error}") from None
        if self._path(record.spec) != path:  # the name has the key, a hash of the whole specification
            raise BenchmarkError(f"`{path.name}` holds another run than its name says; delete it to run it again.")
        return record

    def write(self, record: RunRecord) -> None:
        """Keep a record.

        Raises:
            BenchmarkError: it can't be written.
        """
        path = self._path(record.spec)
        try:
            write_json(path, record)
        except OSError as error:
            raise BenchmarkError(
                f"`{path}` can't be written ({error.strerror}). The run's weights are kept: make room, and start again."
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other grids out: two would train one run in one folder. The lock ends with the process that holds it.

        Raises:
            BenchmarkError: another grid is at work here.
        """
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BenchmarkError(
                    f"another benchmark is at work in `{self.folder}`; wait until it has ended, or take another folder."
                ) from None
            yield

    def _path(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.bundle}-{spec.key}.json"


@dataclass(frozen=True)
class Step:
    """A run ended.

    Attributes:
        result: how.
        done: runs ended so far, those of earlier starts included.
        total: runs known or expected.
        seconds_left: estimate, from the pace of this start.
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
        self._begun: set[str] = set()
        self._running: dict[Future[Result], RunSpec] = {}
        self._started, self._ended_here, self._asked = time.monotonic(), 0, 0

    def run(self, studies: Mapping[str, Study], *, expected: int) -> dict[str, Outcome]:
        """Carry out `studies`, which ask for `expected` runs at most, and return what each found.

        A run that fails is a `Failure` in the outcome, and is tried again at the next start.

        Raises:
            BenchmarkError: a record can't be read or written, or another grid is at work on them.
        """
        with self.store.locked():
            self.store.check()
            return self._carry_out(studies, expected)

    def _carry_out(self, studies: Mapping[str, Study], expected: int) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        waiting: dict[str, list[str]] = {}
        ready: dict[str, list[Result] | None] = dict.fromkeys(studies)
        while ready or waiting:
            for name, results in ready.items():
                try:
                    wanted = next(studies[name]) if results is None else studies[name].send(results)
                except StopIteration as stop:
                    outcomes[name] = stop.value
                else:
                    waiting[name] = [self._begin(spec) for spec in wanted]
            complete = [name for name, keys in waiting.items() if all(key in self._results for key in keys)]
            ready = {name: [self._results[key] for key in waiting.pop(name)] for name in complete}
            if waiting and not ready:
                self._await_one(expected)
        return outcomes

    def _begin(self, spec: RunSpec) -> str:
        """Begin a run unless it is known, and return its key."""
        key = spec.key
        self._asked += 1
        if key not in self._begun:
            self._begun.add(key)
            record = self.store.read(spec)
            if record is not None:
                self._results[key] = record
                self.backend.discard(spec)  # files that a start which was killed just then left
            else:
                self._running[self.backend.submit(spec)] = spec
        return key

    def _await_one(self, expected: int) -> None:
        """Wait until a run has ended, and keep its result."""
        done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            spec = self._running.pop(future)
            error = future.exception()
            result = (
                future.result() if error is None else Failure(spec=spec, message=f"{type(error).__name__}: {error}")
            )
            if isinstance(result, RunRecord):
                self.store.write(result)
                self.backend.discard(spec)
            self._results[spec.key] = result
            self._ended_here += 1
            self.on_step(self._step(result, expected))

    def _step(self, result: Result, expected: int) -> Step:
        done, known = len(self._results), len(self._begun)
        total = max(known, expected - (self._asked - known))  # what two studies ask for is run once
        each = (time.monotonic() - self._started) / self._ended_here
        return Step(result, done, total, each * (total - done))
