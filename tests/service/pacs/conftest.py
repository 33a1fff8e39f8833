"""A PACS on loopback that does what a test tells it to, right or wrong."""

import asyncio
import io
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pydicom
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

JSON = "application/dicom+json"


@dataclass
class Peer:
    """What the PACS holds, what it was asked, and how it misbehaves.

    Attributes:
        images: DICOM files.
        stored: bodies that came by STOW-RS.
        asked: method, path and headers of each request.
        wrong: routes (`query`, `series`, `store`, `instances`) and the response they give in place of the right one.
    """

    images: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    wrong: dict[str, Response] = field(default_factory=dict)
    announced: object = None
    grows: bool = False
    stalls: bool = False
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def headers_of(self, image):
        return pydicom.dcmread(io.BytesIO(image), stop_before_pixels=True)

    async def query(self, request):
        series, asked = {}, sum(path.endswith("/series") for _, path, _ in self.asked)
        for image in self.images:
            header = self.headers_of(image)
            if header.StudyInstanceUID == request.path_params["study"]:
                series.setdefault((header.SeriesInstanceUID, header.Modality), []).append(header)
        found = [
            {
                "00080060": {"vr": "CS", "Value": [modality]},
                "0020000E": {"vr": "UI", "Value": [uid]},
                "00201209": {"vr": "IS", "Value": [self.announced or len(images) + (self.grows and asked > 1)]},
            }
            for (uid, modality), images in series.items()
        ]
        return Response(json.dumps(found), media_type=JSON) if found else Response(status_code=404)

    async def series(self, request):
        wanted = [one for one in self.images if self.headers_of(one).SeriesInstanceUID == request.path_params["series"]]
        return related(wanted)

    async def store(self, request):
        body = await request.body()
        self.stored.append(body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0])
        return Response(json.dumps({"00081199": {"vr": "SQ", "Value": []}}), media_type=JSON)

    async def instances(self, request):
        wanted = request.query_params["SOPInstanceUID"]
        found = [one for one in self.stored if self.headers_of(one).SOPInstanceUID == wanted]
        return Response(json.dumps([{} for _ in found]), media_type=JSON) if found else Response(status_code=204)

    def route(self, name):
        async def answer(request):
            self.asked.append((request.method, request.url.path, dict(request.headers)))
            if self.stalls:
                await asyncio.sleep(30)
            wrong = self.wrong.get(name)
            return wrong if wrong is not None else await getattr(self, name)(request)

        return answer


def related(files, media_type="application/dicom"):
    parts = (f"--b0und\r\nContent-Type: {media_type}\r\n\r\n".encode() + file + b"\r\n" for file in files)
    return Response(
        b"".join([*parts, b"--b0und--\r\n"]),
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0und'},
    )


@contextmanager
def serving(peer):
    routes = [
        Route("/dicom-web/studies/{study}/series", peer.route("query")),
        Route("/dicom-web/studies/{study}/series/{series}", peer.route("series")),
        Route("/dicom-web/studies", peer.route("store"), methods=["POST"]),
        Route("/dicom-web/studies/{study}/instances", peer.route("instances")),
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer.port = listener.getsockname()[1]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, lifespan="off", timeout_graceful_shutdown=1, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def database_url(tmp_path):
    """The embedded database: what is sent and asked here does not hang on its kind."""
    return f"sqlite:///{tmp_path}/triage.db"


@pytest.fixture
def peer(dicom_folders):
    """A PACS that holds the first patient."""
    with serving(Peer([path.read_bytes() for path in sorted(dicom_folders[0].iterdir())])) as running:
        yield running


@pytest.fixture(scope="session")
def multipart():
    """A response of WADO-RS with these files."""
    return related


@pytest.fixture(scope="session")
def study_uid(dicom_folders):
    return str(pydicom.dcmread(next(dicom_folders[0].iterdir()), stop_before_pixels=True).StudyInstanceUID)
