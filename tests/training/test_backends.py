"""Members in processes: their share of the cores, and none is left behind."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from prostate_alm.errors import TrainingError
from prostate_alm.training import member_process
from prostate_alm.training.backends import LocalBackend
from prostate_alm.training.ensemble import EnsembleRun, locked, train_members
from prostate_alm.training.member_process import check_ended, start

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"


@pytest.fixture
def run(cohort: Path, tmp_path: Path) -> EnsembleRun:
    return EnsembleRun(BUNDLE, cohort, tmp_path / "run", members=2, folds=2)


def processes_of(run: EnsembleRun) -> list[int]:
    """Processes that train members of a run."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_text()
        except OSError:
            continue  # it has just ended
        if "member_process" in command and str(run.out) in command:
            found.append(int(place.name))
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_workers_share_the_cores() -> None:
    cores = os.cpu_count() or 1
    for workers, threads in ((1, cores), (cores, 1), (cores + 1, 1)):
        backend = LocalBackend(workers=workers)
        assert (backend.slots, backend.threads) == (workers, threads)
        backend.close()


def test_a_members_process_ends_with_the_command_that_began_it(run: EnsembleRun) -> None:
    process = start(run, 0, threads=1)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()  # as the system does when the command is killed
    assert process.wait(60) == 1
    assert not (run.folder(0) / "finished.json").exists()


def test_a_closed_backend_leaves_no_process(run: EnsembleRun) -> None:
    backend = LocalBackend(workers=1)
    first, second = backend.submit(run, 0), backend.submit(run, 1)
    assert within(60, lambda: len(processes_of(run)) == 1)
    backend.close()
    assert processes_of(run) == []
    assert isinstance(first.exception(), TrainingError)
    assert second.cancelled()


def test_a_failure_is_told_by_its_first_exception_and_a_full_disk_by_its_name(
    run: EnsembleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.folder(1).mkdir(parents=True)
    (run.folder(1) / "train.log").write_text("Traceback\nOSError: [Errno 28] No space left\nRuntimeError: other\n")
    with pytest.raises(TrainingError, match=r"member 1 stopped with exit code 1: OSError: \[Errno 28\]") as caught:
        check_ended(run, 1, 1)
    assert "make room" not in str(caught.value)
    monkeypatch.setattr(member_process, "LITTLE_BYTES", shutil.disk_usage(run.out).total)  # now every disk is full
    with pytest.raises(TrainingError, match="MB left: make room first"):
        check_ended(run, 1, 1)
    check_ended(run, 1, 0)


class FailsOnce:
    """Trains nobody: one member fails, each other's files say that it is finished."""

    slots = 1

    def __init__(self, failing: int) -> None:
        self.failing, self.trained = failing, list[int]()

    def submit(self, run: EnsembleRun, member: int) -> Future[None]:
        self.trained.append(member)
        ended = Future[None]()
        if member == self.failing:
            ended.set_exception(TrainingError("the disk is full."))
            return ended
        run.folder(member).mkdir(parents=True)
        (run.folder(member) / "finished.json").write_text("{}")
        ended.set_result(None)
        return ended

    def close(self) -> None:
        """Nothing to end."""


def test_finished_members_are_kept_when_another_fails(run: EnsembleRun) -> None:
    with pytest.raises(TrainingError, match=r"the disk is full\. 1 of 2 members are finished and kept"):
        train_members(run, FailsOnce(1), on_progress=lambda step: None)
    again, steps = FailsOnce(0), list[tuple[int, bool]]()
    train_members(run, again, on_progress=lambda step: steps.append((step.member, step.done)))
    assert again.trained == [1]
    assert steps == [(0, True), (1, True)]


def test_one_command_at_a_time_works_in_a_folder_and_clears_what_a_kill_left(tmp_path: Path) -> None:
    member = tmp_path / "members" / "member_00"
    member.mkdir(parents=True)
    (member / ".run_state.pt.123.tmp").write_text("half")
    (member / "run_state.pt").write_text("whole")
    with locked(tmp_path):
        assert [path.name for path in member.iterdir()] == ["run_state.pt"]
        with pytest.raises(TrainingError, match="another command is at work"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass
