"""Small ensembles with random weights, studies as DICOM and NIfTI, and a running service."""

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import pg8000.native
import pydicom
import pytest
import structlog
from starlette.testclient import TestClient

from prostate_alm.datasets.synthetic.cohort import CohortPlan
from prostate_alm.datasets.synthetic.dicom_writer import write_dicom_study
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.service.app import create_app
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import open_core
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.heartbeat import Heartbeat
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import WorkerState
from prostate_alm.service.worker import Worker

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
OWNER = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
NEVER, ALWAYS = 1e6, -1e6  # thresholds that no logit and every logit reaches


@pytest.fixture(autouse=True)
def _logs_on_stderr():
    """As in the service: a worker's thread must not write into what a command printed."""
    before = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def parcels(ensemble_factory, tmp_path_factory):
    """Ensembles that never and always recommend; changed by no test."""
    place = tmp_path_factory.mktemp("parcels")
    return {
        "never": ensemble_factory(place / "never", threshold=NEVER),
        "always": ensemble_factory(place / "always", threshold=ALWAYS),
    }


@pytest.fixture(scope="session")
def loaded(parcels):
    return {name: load_ensemble(folder) for name, folder in parcels.items()}


@pytest.fixture(scope="session")
def dicom_folders(tmp_path_factory):
    """Two synthetic patients as DICOM folders."""
    place = tmp_path_factory.mktemp("dicom")
    folders = []
    for plan in CohortPlan(patients=2, difficulty="easy").of_split("training"):
        study, truth = synthesize_study(plan)
        write_dicom_study(study, truth, place / plan.key)
        folders.append(place / plan.key)
    return folders


def zipped(target: Path, folders, *, leave_out=lambda path: False) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for folder in folders:
            for path in sorted(folder.iterdir()):
                if not leave_out(path):
                    archive.write(path, f"{folder.name}/{path.name}")
    return target


@pytest.fixture(scope="session")
def zip_files():
    """Pack DICOM folders as one zip, without the files that `leave_out` names."""
    return zipped


@pytest.fixture(scope="session")
def dicom_zip(dicom_folders, tmp_path_factory):
    return zipped(tmp_path_factory.mktemp("zip") / "study.zip", dicom_folders[:1])


@pytest.fixture(scope="session")
def nifti_folder(study_factory, tmp_path_factory):
    """t2, dwi, adc of b 50, 400, 800."""
    folder = tmp_path_factory.mktemp("nifti")
    write_nifti_study(study_factory(3), folder)
    return folder


class ThreadHost:
    """The worker as a thread of this process, with an ensemble that is loaded already: the same code, no start."""

    def __init__(self, core, ensemble):
        self._stop = threading.Event()
        self._core, self._id = core, secrets.token_hex(16)
        pipeline = TriagePipeline.at(ensemble, core.settings.operating_point)
        self._heartbeat = Heartbeat(self._id, core, lost=lambda: None)
        self._worker = Worker(core, self._heartbeat, pipeline=pipeline)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._core.workers.register(self._id, os.getpid(), utc_now())
        self._core.workers.become(self._id, WorkerState.READY, now=utc_now())
        self._thread.start()

    def _run(self):
        with self._heartbeat.beating():
            self._worker.run(self._stop)

    def stop(self):
        self._stop.set()
        self._thread.join(30)


@pytest.fixture(scope="session")
def thread_host(loaded):
    """Run a worker for a core as long as a block lasts."""

    @contextmanager
    def host(core, parcel="never"):
        worker = ThreadHost(core, loaded[parcel])
        worker.start()
        yield
        worker.stop()

    return host


class NoHost:
    """No worker: what is sent waits."""

    def __init__(self, core):
        pass

    def start(self):
        pass

    def stop(self):
        pass


@pytest.fixture(scope="session")
def no_host():
    """What `create_app` takes for a service without a worker."""
    return NoHost


def run_postgresql(program, *arguments):
    subprocess.run([BINARIES[-1] / program, *arguments], check=True, capture_output=True, user=OWNER, cwd="/")


@contextmanager
def postgresql_server(certificate=None):
    """A real server from the machine's packages, on a free port of loopback; gives the port.

    With a certificate (a file that holds its key, too) it also takes encrypted connections.
    """
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="prostate-alm-postgresql-"))
    try:
        if OWNER:
            shutil.chown(folder, OWNER)
        data = folder / "data"
        run_postgresql(
            "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions", "-E", "UTF8"
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-p {port} -k {folder} -h 127.0.0.1 -c fsync=off -c shared_buffers=16MB -c timezone=Asia/Tokyo"
        if certificate is not None:
            own = Path(shutil.copy(certificate, data))
            own.chmod(0o600)
            if OWNER:
                shutil.chown(own, OWNER)
            options += f" -c ssl=on -c ssl_cert_file={own} -c ssl_key_file={own}"
        run_postgresql("pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield port
        finally:
            run_postgresql("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql():
    """A running server: gives the URL of a new, empty database at each call."""
    numbers = count()
    with postgresql_server() as port:
        admin = pg8000.native.Connection("postgres", host="127.0.0.1", port=port)

        def fresh():
            name = f"test{next(numbers)}"
            admin.run(f"create database {name}")
            return f"postgresql://postgres@127.0.0.1:{port}/{name}"

        yield fresh
        admin.close()


@pytest.fixture(scope="session")
def certificate_factory(tmp_path_factory):
    """Write a certificate for a host, which is its own authority, and its key into one file; returns its path."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed; on Debian: apt-get install openssl")

    def make(host):
        file = tmp_path_factory.mktemp("certificate") / "server.pem"
        public = file.with_name("public.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=PostgreSQL of a test", "-addext", f"subjectAltName={host}", "-keyout", file, "-out", public],
            check=True, capture_output=True,
        )  # fmt: skip
        file.write_bytes(file.read_bytes() + public.read_bytes())
        return file

    return make


@pytest.fixture(scope="session")
def postgresql_with_tls(certificate_factory):
    """Give the port of a running server that takes encrypted connections, and its certificate."""
    certificate = certificate_factory("IP:127.0.0.1")
    with postgresql_server(certificate) as port:
        yield port, certificate


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/triage.db"
    return request.getfixturevalue("postgresql")()


@pytest.fixture
def open_service(tmp_path):
    """Open the inside of a service in a folder of this test, as each of its processes does."""
    opened = []

    def make(settings):
        core = open_core(*with_model(settings.model_copy(update={"storage": tmp_path / "storage"})))
        opened.append(core)
        return core

    yield make
    for core in opened:
        core.database.close()


@pytest.fixture
def core_factory(parcels, database_url, open_service):
    """The same on both kinds of databases, with settings of a test's own."""

    def make(parcel="never", **settings):
        values = {"ensemble": parcels[parcel], "database_url": database_url}
        return open_service(ServiceSettings(**values | settings))

    return make


def with_model(settings):
    return settings, DeployedModel.read(settings)


@pytest.fixture
def core(core_factory):
    return core_factory()


@pytest.fixture
def send(core):
    """Give a study to the intake; the content is a word."""

    def accept(content="a study", *, now=NOON, through=core, **arguments):
        folder = through.storage.new_incoming()
        (folder / "study").write_text(content)
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        given = {"source": "upload", "token": "test", "content_sha256": sha256} | arguments
        return through.intake.accept(folder, now=now, **given)

    return accept


@pytest.fixture(scope="session")
def run_service(parcels, loaded, tmp_path_factory):
    """Start a service of one of `parcels` with settings of a test's own, and a worker in a thread or none.

    Rates are high, so that a test meets them only when it wants to.
    """

    @contextmanager
    def running(parcel="never", *, worker=True, **settings):
        values = {
            "ensemble": parcels[parcel], "storage": tmp_path_factory.mktemp("service") / "storage",
            "requests_per_minute": 100_000, "concurrent_uploads": 1000, "free_disk_bytes": 0,
        }  # fmt: skip
        host = partial(ThreadHost, ensemble=loaded[parcel]) if worker else NoHost
        app = create_app(ServiceSettings(**values | settings), host=host)
        with TestClient(app, base_url="http://localhost") as client:
            yield client

    return running


@pytest.fixture(scope="module")
def client(run_service):
    """A service whose ensemble finds that nobody needs DCE, so that a wrong "not needed" would show."""
    with run_service("never") as client:
        yield client


@pytest.fixture(scope="session")
def post():
    """Post parts given as paths or bytes and wait for the answer."""

    def post_study(client, *, b_values=None, wait=60, **parts):
        files = {
            name: (f"CANARY^{name}", part if isinstance(part, bytes) else part.read_bytes())
            for name, part in parts.items()
        }
        data = {} if b_values is None else {"b_values": b_values}
        return client.post("/v1/studies", params={"wait": wait}, files=files, data=data)

    return post_study


@pytest.fixture(scope="session")
def marked_folders(dicom_folders, tmp_path_factory):
    """The two patients with names, numbers and dates that must never be seen again."""
    place = tmp_path_factory.mktemp("marked")
    folders = []
    for number, source in enumerate(dicom_folders):
        folder = place / f"CANARY{number}"
        folder.mkdir()
        for path in source.iterdir():
            image = pydicom.dcmread(path)
            image.PatientName, image.PatientID = f"CANARY^{number}", f"CANARY{number}"
            image.PatientBirthDate, image.AccessionNumber = "19501231", f"CANARY{number}"
            image.save_as(folder / path.name)
        folders.append(folder)
    return folders
