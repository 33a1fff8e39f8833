"""Work on many patients in several processes, with progress on screen."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prostate_alm.errors import ArgumentError, CohortError

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, title: str
) -> list[Result]:
    """Apply a function to each task; results come in the order of the tasks.

    Ctrl-C waits for the tasks at work and begins no other; processes end with this one, however it ends.

    Args:
        function: importable by name, for processes are spawned and not forked.
        tasks: what it is applied to.
        workers: how many processes; 1 stays in this one.
        title: shown beside the progress bar.

    Raises:
        ArgumentError: `workers` is below 1.
        CohortError: a process died.
    """
    if workers < 1:
        raise ArgumentError(f"`workers` must be at least 1, got {workers}.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        return list(progress.track(_results(function, tasks, workers), total=len(tasks), description=title))


def _results(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    if workers == 1 or len(tasks) < 2:
        yield from map(function, tasks)
        return
    processes = min(workers, len(tasks))
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_set_up,
        initargs=(max(1, (os.cpu_count() or 1) // processes),),
    ) as executor:
        try:
            yield from _in_order(executor, function, tasks, processes)
        except BrokenProcessPool:
            raise CohortError(
                "a worker process died; is there enough memory? The same command with fewer `--workers` goes on."
            ) from None


def _in_order(
    executor: Executor, function: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    """The results in the order of the tasks; a task is handed over when a process is free: none can be called back."""
    waiting = iter(enumerate(tasks))
    at_work: dict[Future[Result], int] = {}
    done: dict[int, Result] = {}
    for position in range(len(tasks)):
        while position not in done:
            for number, task in islice(waiting, processes - len(at_work)):
                at_work[executor.submit(function, task)] = number
            finished, _ = wait(at_work, return_when=FIRST_COMPLETED)
            done.update((at_work.pop(future), future.result()) for future in finished)
        yield done.pop(position)


def _set_up(threads: int) -> None:
    """Leave Ctrl-C to the parent, end with it, and share the cores: numpy and torch are not imported yet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
