"""The one parser of multipart bodies: parts go to where they belong as they arrive, none is gathered in memory.

For `multipart/form-data` (RFC 7578) and the `multipart/related` of DICOMweb (PS3.18 §8.6.1).
"""

import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Literal, Protocol

from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from prostate_alm.service.problems import ProblemCode, ProblemError

BATCH_BYTES = 2**20
HEADERS_A_PART = 16
HEADER_BYTES = 4096
LONGEST_BOUNDARY = 200
"""RFC 2046 §5.1.1 allows 70; Orthanc's DICOMweb plugin sends 73."""

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its lines quote bytes of the body


class PartReceiver(Protocol):
    """Where parts go; called in a thread, in the order of the body."""

    def begin(self, headers: dict[str, str]) -> None:
        """A part begins; names of headers are in lower case."""

    def data(self, content: bytes) -> None:
        """The next bytes of the part."""

    def end(self) -> None:
        """The part is whole."""


def boundary_of(content_type: str, subtype: Literal["form-data", "related"]) -> bytes:
    """The boundary that a Content-Type states.

    Raises:
        ProblemError: another media type (415), or no boundary (400).
    """
    media_type, options = parse_options_header(content_type)
    if media_type != f"multipart/{subtype}".encode():
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            ProblemCode.MEDIA_TYPE_UNSUPPORTED,
            detail=f"send the body as multipart/{subtype}; see /openapi.json",
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= LONGEST_BOUNDARY:
        raise _broken(f"the Content-Type states no boundary of 1 to {LONGEST_BOUNDARY} characters")
    return boundary


async def receive_multipart(
    stream: AsyncIterator[bytes],
    content_type: str,
    *,
    subtype: Literal["form-data", "related"],
    receiver: PartReceiver,
    max_parts: int,
) -> None:
    """Hand every part of a body to `receiver`.

    Args:
        stream: the body as it comes.
        content_type: the header of the request.
        subtype: of multipart.
        receiver: takes the parts.
        max_parts: the largest number of them.

    Raises:
        ProblemError: another media type (415), a body that is not whole or not multipart (400), too many parts (413).
    """
    feed = _Feed(boundary_of(content_type, subtype), receiver, max_parts)
    batch = bytearray()
    async for chunk in stream:
        batch += chunk
        if len(batch) >= BATCH_BYTES:
            await run_in_threadpool(feed.write, bytes(batch))
            batch.clear()
    await run_in_threadpool(feed.write, bytes(batch))
    feed.close()


class _Feed:
    """Turns the parser's events into parts."""

    def __init__(self, boundary: bytes, receiver: PartReceiver, max_parts: int) -> None:
        self._receiver = receiver
        self._left = max_parts
        self._whole = False
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_begin": self._header_begins,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": lambda: receiver.begin(self._headers),
                "on_part_data": lambda data, start, end: receiver.data(data[start:end]),
                "on_part_end": receiver.end,
                "on_end": self._body_ends,
            },
            max_header_count=HEADERS_A_PART,
            max_header_size=HEADER_BYTES,
        )

    def write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise _broken("the body is not the multipart that its Content-Type states") from None

    def close(self) -> None:
        if not self._whole:
            raise _broken("the body ends before its closing boundary")

    def _part_begins(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                ProblemCode.TOO_MANY_PARTS,
                detail="the body has more parts than one study needs; send one study alone",
            )
        self._headers = {}

    def _header_begins(self) -> None:
        self._name.clear()
        self._value.clear()

    def _header_ends(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")

    def _body_ends(self) -> None:
        self._whole = True


def _broken(what: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, ProblemCode.BODY_INVALID, detail=f"{what}; send it again")
