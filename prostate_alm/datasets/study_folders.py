"""The folders of a cohort that an import writes: each study appears whole, and one import works there at a time."""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from prostate_alm.errors import CohortError

KEPT, EXCLUDED = "studies", "excluded"
_PARTIAL = ".partial"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the cohort's folders, keep other imports out, and sweep up what a killed or interrupted one left.

    The lock ends with the process that holds it.

    Raises:
        CohortError: another import is at work here.
    """
    for name in (KEPT, EXCLUDED):
        (out / name).mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CohortError(
                "another import is at work in the folder of `--out`; wait until it has ended, or take another folder."
            ) from None
        _sweep(out)
        try:
            yield
        finally:
            _sweep(out)


def _sweep(out: Path) -> None:
    for folder in (out / KEPT, out / EXCLUDED):
        for path in folder.glob(f".*{_PARTIAL}"):
            shutil.rmtree(path)
    for path in (*out.glob(".*.tmp"), *out.glob(f".*{_PARTIAL}")):
        path.unlink()


def begin(folder: Path) -> Path:
    """An empty folder in which the content of `folder` is made, beside it."""
    temporary = folder.with_name(f".{folder.name}{_PARTIAL}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def finish(folder: Path) -> None:
    """Put the content that `begin` let make in place of the old one, if there is any.

    It is on the disk before it gets its name, so that a power cut leaves no folder that only looks whole.
    """
    temporary = folder.with_name(f".{folder.name}{_PARTIAL}")
    for path in (*temporary.iterdir(), temporary):
        _sync(path)
    discard(folder)
    temporary.replace(folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(folder: Path) -> None:
    """Remove a folder; a kill leaves it whole or not at all."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old{_PARTIAL}")
        folder.replace(old)
        shutil.rmtree(old)


def discard_others(out: Path, keys: Collection[str]) -> None:
    """Remove the folders of all studies but those of `keys`."""
    for key in sorted(keys_in(out) - set(keys)):
        for name in (KEPT, EXCLUDED):
            discard(out / name / key)


def keys_in(out: Path) -> set[str]:
    """Names of the study folders that are there."""
    folders = [out / name for name in (KEPT, EXCLUDED)]
    return {
        path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if not path.name.startswith(".")
    }
