"""Parts arrive whole and in order however the body is cut; a body that is not whole is refused."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.service.multipart import HEADER_BYTES, HEADERS_A_PART, receive_multipart
from prostate_alm.service.problems import ProblemError


class Parts:
    """Keeps what came."""

    def __init__(self):
        self.parts, self.whole = [], 0

    def begin(self, headers):
        self.parts.append((headers, bytearray()))

    def data(self, content):
        self.parts[-1][1].extend(content)

    def end(self):
        self.whole += 1


def body_of(contents, boundary="b0und"):
    parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\nX-Number: {i}\r\n\r\n".encode() + content + b"\r\n"
             for i, content in enumerate(contents)]  # fmt: skip
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def receive(body, *, cuts=(), content_type='multipart/related; type="application/dicom"; boundary=b0und', max_parts=9):
    subtype = "form-data" if "form-data" in content_type else "related"

    async def stream():
        edges = [0, *sorted(cuts), len(body)]
        for start, end in pairwise(edges):
            yield body[start:end]

    parts = Parts()
    asyncio.run(receive_multipart(stream(), content_type, subtype=subtype, receiver=parts, max_parts=max_parts))
    return parts


def refused(status, code, *args, **options):
    with pytest.raises(ProblemError) as caught:
        receive(*args, **options)
    assert (caught.value.problem.status, caught.value.problem.code) == (status, code)


nasty = st.lists(st.sampled_from([b"\r\n", b"--", b"b0und", b"\r\n--b0un", b"\0", b"x", b"\r\n--b0und_"]), max_size=8)


@given(st.lists(nasty.map(b"".join), min_size=1, max_size=4), st.data())
def test_parts_come_whole_however_the_body_is_cut(contents, data):
    contents = [content.replace(b"--b0und", b"--c0und") for content in contents]
    body = body_of(contents)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=6))
    received = receive(body, cuts=cuts)
    assert [bytes(content) for _, content in received.parts] == contents
    assert [headers["x-number"] for headers, _ in received.parts] == [str(i) for i in range(len(contents))]
    assert received.whole == len(contents)


@given(st.integers(0, 10_000))
def test_a_body_that_ends_early_is_refused_wherever_it_ends(seed):
    body = body_of([b"first", b"second"])
    whole = len(body) - len(b"\r\n")  # the line break behind the closing boundary may be missing
    refused(400, "BODY_INVALID", body[: seed % whole])


def test_another_media_type_is_refused():
    refused(415, "MEDIA_TYPE_UNSUPPORTED", b"", content_type="application/json")
    refused(415, "MEDIA_TYPE_UNSUPPORTED", b"", content_type="")
    refused(415, "MEDIA_TYPE_UNSUPPORTED", b"", content_type="multipart/mixed; boundary=a")


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'x' * 201}"])
def test_a_boundary_that_is_none_is_refused(boundary):
    refused(400, "BODY_INVALID", b"", content_type=f"multipart/form-data{boundary}")


def test_a_boundary_as_long_as_orthancs_is_taken():
    boundary = "eecdeb31-8091-4114-ba53-a3d64e45dd37-eecdeb31-8091-4114-ba53-a3d64e45dd37"
    received = receive(body_of([b"one"], boundary), content_type=f"multipart/related; boundary={boundary}")
    assert [bytes(content) for _, content in received.parts] == [b"one"]


def test_too_many_parts_are_refused():
    assert receive(body_of([b""] * 9)).whole == 9
    refused(413, "TOO_MANY_PARTS", body_of([b""] * 10))


def test_endless_headers_are_refused():
    long = b"--b0und\r\nX: " + b"y" * (HEADER_BYTES + 1) + b"\r\n\r\n\r\n--b0und--"
    many = b"--b0und\r\n" + b"X: y\r\n" * (HEADERS_A_PART + 1) + b"\r\n\r\n--b0und--"
    refused(400, "BODY_INVALID", long)
    refused(400, "BODY_INVALID", many)
