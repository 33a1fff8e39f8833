"""Work on many patients in several processes, with progress on screen."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prostate_alm.errors import ArgumentError

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, title: str
) -> list[Result]:
    """Apply a function to each task; results come in the order of the tasks.

    Args:
        function: importable by name, for processes are spawned and not forked.
        tasks: what it is applied to.
        workers: how many processes; 1 stays in this one.
        title: shown beside the progress bar.

    Raises:
        ArgumentError: `workers` is below 1.
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
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as executor:
        yield from executor.map(function, tasks, chunksize=max(1, min(8, len(tasks) // (4 * workers))))
