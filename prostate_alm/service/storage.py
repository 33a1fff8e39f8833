"""The service's folder: what lies where, under random names, readable for its user alone."""

import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prostate_alm.errors import ArgumentError

JOB_ID = re.compile(r"[0-9a-f]{32}")


class Storage:
    """Paths in the folder of one service.

    Args:
        root: made when it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._incoming = self.root / "incoming"
        self._studies = self.root / "studies"
        self._work = self.root / "work"

    def open(self) -> None:
        """Make the folders.

        Raises:
            OSError: they can't be made.
        """
        for folder in (self.root, self._incoming, self._studies, self._work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)  # an administrator may have made it, open to others

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second service out of this folder: at its start it would delete what the first is receiving.

        Raises:
            ArgumentError: there is one.
        """
        self.open()
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ArgumentError(
                    "another service runs in this `storage`; stop it, or give this one a folder of its own."
                ) from None
            yield

    @property
    def database_file(self) -> Path:
        """SQLite's file."""
        return self.root / "triage.db"

    def audit_secret(self) -> bytes:
        """What random audits are drawn with; made once, for this folder.

        Raises:
            OSError: it can't be written or read.
        """
        path = self.root / "audit.key"
        if not path.exists():
            fresh = self.root / f".audit.key.{os.getpid()}"
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            with suppress(FileExistsError):  # another process was faster: its secret holds
                path.hardlink_to(fresh)
            fresh.unlink()
        return path.read_bytes()

    def new_incoming(self) -> Path:
        """A fresh folder for a study that is being received.

        Raises:
            OSError: the disk is full or not writable.
        """
        folder = self._incoming / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def clear_incoming(self) -> None:
        """Delete what an earlier run was receiving when it ended."""
        for left in self._incoming.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def new_work(self, process: str) -> Path:
        """A folder for the temporary files of a process: unpacked studies must not outlive it elsewhere.

        Raises:
            OSError: the disk is full or not writable.
        """
        folder = self._work / process
        folder.mkdir(mode=0o700)
        return folder

    def clear_work(self, process: str = "") -> None:
        """Delete what a process that ended left, or all of them."""
        for left in [self._work / process] if process else list(self._work.iterdir()):
            shutil.rmtree(left, ignore_errors=True)

    def folder_of(self, job_id: str) -> Path:
        """All files of a job."""
        if not JOB_ID.fullmatch(job_id):
            raise ValueError("a job id has 32 hexadecimal digits")
        return self._studies / job_id

    def input_of(self, job_id: str) -> Path:
        """What was sent."""
        return self.folder_of(job_id) / "input"

    def image_of(self, job_id: str) -> Path:
        """What the model saw: `image` [C, H, W, D] float32, `channels`, `spacing` in mm."""
        return self.folder_of(job_id) / "image.npz"

    def occlusion_of(self, job_id: str) -> Path:
        """The occlusion maps, once they were asked for."""
        return self.folder_of(job_id) / "occlusion.npz"

    def adopt(self, incoming: Path, job_id: str) -> None:
        """Make a received folder the input of a job.

        Raises:
            OSError: it can't be moved.
        """
        self.folder_of(job_id).mkdir(mode=0o700)
        incoming.rename(self.input_of(job_id))
        sync(self.input_of(job_id).parent)

    def discard(self, job_id: str) -> None:
        """Delete all files of a job."""
        shutil.rmtree(self.folder_of(job_id), ignore_errors=True)

    def kept(self) -> Iterator[str]:
        """Ids of the jobs that have files."""
        return (folder.name for folder in self._studies.iterdir() if JOB_ID.fullmatch(folder.name))

    def free_bytes(self) -> int:
        """Free space for this user.

        Raises:
            OSError: the folder is gone.
        """
        return shutil.disk_usage(self.root).free

    def check_writable(self) -> None:
        """Write and delete a file.

        Raises:
            OSError: it does not work.
        """
        with tempfile.TemporaryFile(dir=self._incoming) as probe:
            probe.write(b"0")


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that no room is left; another fault of the disk does not."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync(folder: Path) -> None:
    """Make a rename in `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def study_in(folder: Path) -> Path:
    """What `read_study` takes of a job's input: the zip, the folder of DICOM, or the folder of NIfTI files."""
    return next((path for path in (folder / "study", folder / "dicom") if path.exists()), folder)
