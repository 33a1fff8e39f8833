"""From the body of a request to files on disk under names of our own, hashed while they arrive."""

import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from prostate_alm.service.multipart import receive_multipart
from prostate_alm.service.problems import ProblemCode, ProblemError, storage_full
from prostate_alm.service.storage import Storage, is_full

GZIP_START = b"\x1f\x8b"
NIFTI = ("t2", "dwi", "adc")
LONGEST_B_VALUES = 1000
STUDY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "a zip of one study's DICOM"},
                        **{name: {"type": "string", "format": "binary", "description": "NIfTI"} for name in NIFTI},
                        "b_values": {
                            "type": "string",
                            "maxLength": LONGEST_B_VALUES,
                            "description": "of the volumes of `dwi`, in s/mm²",
                            "examples": ["50,400,800"],
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class ReceivedStudy:
    """A study that came whole; a client's file names are never used.

    Attributes:
        folder: what `prostate_alm.readers.read_study` takes, or the one file `study` in it.
        content_sha256: of all parts and their names, whatever the order they came in.
    """

    folder: Path
    content_sha256: str


@asynccontextmanager
async def receive_study(
    request: Request, storage: Storage, *, free_disk_bytes: int = 0
) -> AsyncIterator[ReceivedStudy]:
    """Stream the form of a request into a folder of its own, which is gone at the end unless it was moved away.

    Raises:
        ProblemError: no form, no study in it, or no space for it.
    """
    with disk_problems():
        check_free_disk(storage, free_disk_bytes)
        folder = storage.new_incoming()
    form = _Form(folder)
    try:
        with disk_problems():
            await receive_multipart(
                request.stream(),
                request.headers.get("content-type", ""),
                subtype="form-data",
                receiver=form,
                max_parts=len(NIFTI) + 2,
            )
            received = form.received()
        yield received
    except ClientDisconnect:  # nobody is there to read this
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, ProblemCode.BODY_INVALID, detail="the body ends too early; send it again"
        ) from None
    finally:
        form.close()
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


def check_free_disk(storage: Storage, free_disk_bytes: int) -> None:
    """Take nothing more while the disk is nearly full.

    Raises:
        ProblemError: 507.
    """
    if storage.free_bytes() < free_disk_bytes:
        raise storage_full()


class disk_problems:  # noqa: N801 - used as a function, like contextlib.suppress
    """Turn a full disk into 507; another fault of the disk stays what it is."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if is_full(error):
            raise storage_full() from None


class _Form:
    """Takes the parts of a form: files go to disk, the b-values into a small file beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: dict[str, str] = {}
        self._name = ""
        self._unnamed_file = False
        self._size = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    def begin(self, headers: dict[str, str]) -> None:
        kind, options = parse_options_header(headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("latin-1")
        if kind != b"form-data" or self._name not in {"file", "b_values", *NIFTI}:
            raise _invalid("a form may hold `file`, `t2`, `dwi`, `adc` and `b_values` and nothing else")
        if self._name in self._hashes:
            raise _invalid("a part of the form came twice; send each once")
        self._unnamed_file = options.get(b"filename") == b""  # what a browser sends for a field left empty
        self._size, self._hash = 0, hashlib.sha256()
        self._file = (self._folder / "part").open("wb")

    def data(self, content: bytes) -> None:
        assert self._file is not None
        self._size += len(content)
        if self._name == "b_values" and self._size > LONGEST_B_VALUES:
            raise _invalid(f"`b_values` has more than {LONGEST_B_VALUES} characters; list one number a volume")
        self._hash.update(content)
        self._file.write(content)

    def end(self) -> None:
        self.close()
        part = self._folder / "part"
        if self._size == 0 and (self._unnamed_file or self._name == "b_values"):
            part.unlink()
            return
        self._hashes[self._name] = self._hash.hexdigest()
        if self._name == "file":
            part.rename(self._folder / "study")
        elif self._name == "b_values":
            part.write_bytes(part.read_bytes().replace(b",", b" "))
            part.rename(self._folder / "dwi.bval")
        else:
            part.rename(self._folder / f"{self._name}.nii{'.gz' if _is_gzip(part) else ''}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def received(self) -> ReceivedStudy:
        nifti = [name for name in NIFTI if name in self._hashes]
        if "file" not in self._hashes and not nifti:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                ProblemCode.NO_FILE,
                detail="send a DICOM zip as `file`, or NIfTI files as `t2` and `dwi` with `b_values`",
            )
        if "file" in self._hashes and len(self._hashes) > 1:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                ProblemCode.TWO_KINDS_OF_FILES,
                detail="`file` came together with NIfTI parts; send one of the two",
            )
        parts = "".join(f"{name} {self._hashes[name]}\n" for name in sorted(self._hashes))
        return ReceivedStudy(self._folder, hashlib.sha256(parts.encode()).hexdigest())


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP_START


def _invalid(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.REQUEST_INVALID, detail=detail)
