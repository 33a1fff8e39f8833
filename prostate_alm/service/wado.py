"""Fetch a study from a configured PACS: QIDO-RS finds its MR series, WADO-RS brings them (PS3.18 §10.4, §10.6)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2

from prostate_alm.errors import Reason
from prostate_alm.readers.archive import Limits
from prostate_alm.service.instances import Failure, Instance, InstanceParts, data_set_sha256, is_uid
from prostate_alm.service.multipart import receive_multipart
from prostate_alm.service.pacs_client import PacsError, connection, pacs_error
from prostate_alm.service.problems import ProblemCode, ProblemError
from prostate_alm.service.settings import Pacs

QUERY_BYTES = 4 * 2**20
_MODALITY, _SERIES, _INSTANCES = "00080060", "0020000E", "00201209"
_WANTED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class SeriesAtPacs:
    """A series that the PACS has.

    Attributes:
        uid: its SeriesInstanceUID.
        instances: how many the PACS says it has; None where it does not say, and nobody can tell whether all came.
    """

    uid: str = field(repr=False)
    instances: int | None


@dataclass
class Pulled:
    """What was fetched.

    Attributes:
        images: how many MR images lie in the folder.
        failure: why the study can't be believed to be whole; None when it came as the PACS announced it.
    """

    images: int = 0
    failure: Reason | None = None


async def pull(pacs: Pacs, study: str, folder: Path, *, max_bytes: int, quiet_seconds: float) -> Pulled:
    """Fetch the MR images of a study into `folder`.

    Args:
        pacs: where from.
        study: its StudyInstanceUID.
        folder: empty; the images lie in it afterwards under names of our own.
        max_bytes: of all instances together.
        quiet_seconds: the PACS is asked again this long after the first time: a study that grew is still on its way.

    Raises:
        PacsError: the PACS does not have it, does not answer, or answers something else.
        ProblemError: the study is larger than `max_bytes`.
        OSError: the disk is full or not writable.
    """
    try:
        async with httpx2.AsyncClient(**connection(pacs)) as client:
            series = await _mr_series(client, pacs, study)
            quiet = asyncio.create_task(asyncio.sleep(quiet_seconds))
            try:
                pulled = await _Pull(client, pacs, study, folder, max_bytes).fetch(series)
                await quiet
            finally:
                quiet.cancel()
            if set(await _mr_series(client, pacs, study)) != set(series):
                pulled.failure = pulled.failure or Reason.STUDY_INCOMPLETE
            return pulled
    except httpx2.HTTPError as error:
        raise pacs_error(pacs, error) from None


async def _mr_series(client: httpx2.AsyncClient, pacs: Pacs, study: str) -> list[SeriesAtPacs]:
    """The MR series of a study.

    Raises:
        PacsError: there is no such study, or the answer is no DICOM JSON.
    """
    path, counts = f"/studies/{study}/series", {"includefield": _INSTANCES}
    async with client.stream("GET", path, params=counts, headers={"Accept": "application/dicom+json"}) as response:
        if response.status_code == HTTPStatus.OK:
            found = _data_sets(pacs, await _read(pacs, response))
        elif response.status_code in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
            found = []
        else:
            raise _refused(pacs, response)
    if not found:
        raise PacsError(ProblemCode.NOT_FOUND, f"the PACS `{pacs.name}` knows no such study.")
    series = [
        SeriesAtPacs(str(_value(one, _SERIES)), _count(_value(one, _INSTANCES)))
        for one in found
        if _value(one, _MODALITY) == "MR"
    ]
    if not all(is_uid(one.uid) for one in series):
        raise PacsError(ProblemCode.PACS_FAILED, f"the PACS `{pacs.name}` names a series by what is no UID.")
    return series


async def _read(pacs: Pacs, response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > QUERY_BYTES:
            raise PacsError(ProblemCode.PACS_FAILED, f"the PACS `{pacs.name}` answers a query with too many bytes.")
    return bytes(content)


def _data_sets(pacs: Pacs, content: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise PacsError(ProblemCode.PACS_FAILED, f"the PACS `{pacs.name}` answers a query with what is no DICOM JSON.")
    return found


def _value(data_set: dict[str, Any], tag: str) -> Any:
    """The first value of an element in the DICOM JSON model; None where it is absent or malformed."""
    element = data_set.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _count(value: Any) -> int | None:
    """A number that some servers write as text."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else None


def _refused(pacs: Pacs, response: httpx2.Response) -> PacsError:
    return PacsError(
        ProblemCode.PACS_FAILED, f"the PACS `{pacs.name}` answers with status {response.status_code}; see its log."
    )


class _Pull:
    """Fetches the series of one study, one after the other."""

    def __init__(self, client: httpx2.AsyncClient, pacs: Pacs, study: str, folder: Path, max_bytes: int) -> None:
        self._client = client
        self._pacs = pacs
        self._study = study
        self._folder = folder
        self._left = max_bytes
        self._pulled = Pulled()

    async def fetch(self, series: Sequence[SeriesAtPacs]) -> Pulled:
        for one in series:
            received = await self._fetch_series(one)
            if one.instances is None or received < one.instances:
                self._fail(Reason.STUDY_INCOMPLETE)
        return self._pulled

    async def _fetch_series(self, series: SeriesAtPacs) -> int:
        """Returns how many instances came."""
        path = f"/studies/{self._study}/series/{series.uid}"
        parts = InstanceParts(self._folder.parent, self._keep, study=self._study)
        try:
            async with self._client.stream("GET", path, headers={"Accept": _WANTED}) as response:
                if response.status_code != HTTPStatus.OK:
                    raise _refused(self._pacs, response)
                await receive_multipart(
                    self._counted(response),
                    response.headers.get("content-type", ""),
                    subtype="related",
                    receiver=parts,
                    max_parts=Limits().files,
                )
        except ProblemError as error:
            if error.problem.code is ProblemCode.UPLOAD_TOO_LARGE:
                raise
            raise PacsError(
                ProblemCode.PACS_FAILED, f"the PACS `{self._pacs.name}` answers with what is no multipart of DICOM."
            ) from None
        finally:
            parts.close()
        if any(result.failure is not None for result in parts.results):
            self._fail(Reason.INPUT_UNREADABLE)
        return len(parts.results)

    async def _counted(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        async for chunk in response.aiter_bytes():
            self._left -= len(chunk)
            if self._left < 0:
                raise ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    ProblemCode.UPLOAD_TOO_LARGE,
                    detail="the MR images of the study are larger than this service takes",
                )
            yield chunk

    def _keep(self, instance: Instance, path: Path) -> Failure | None:
        """Put an image to the others; what a series of images holds beside them is left."""
        if not instance.is_image:
            return None
        target = self._folder / instance.file_name
        if not target.exists():
            path.rename(target)
            self._pulled.images += 1
        elif data_set_sha256(target) != data_set_sha256(path):
            self._fail(Reason.SLICE_DUPLICATE)
        return None

    def _fail(self, reason: Reason) -> None:
        """The first reason stands."""
        self._pulled.failure = self._pulled.failure or reason
