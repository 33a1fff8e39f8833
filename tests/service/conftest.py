"""Small ensembles with random weights, studies as DICOM and NIfTI, and a running service."""

import os
import secrets
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pydicom
import pytest
from starlette.testclient import TestClient

from prostate_alm.datasets.synthetic.cohort import CohortPlan
from prostate_alm.datasets.synthetic.dicom_writer import write_dicom_study
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.service.app import create_app
from prostate_alm.service.clock import utc_now
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import WorkerState
from prostate_alm.service.worker import Worker

NEVER, ALWAYS = 1e6, -1e6  # thresholds that no logit and every logit reaches


@pytest.fixture(scope="session")
def parcels(ensemble_factory, weights_factory, tmp_path_factory):
    """Ensembles that never and always recommend, and one whose weights are not numbers; changed by no test."""
    place = tmp_path_factory.mktemp("parcels")
    no_numbers = [{name: value * float("nan") for name, value in weights_factory(0).items()}] * 3
    return {
        "never": ensemble_factory(place / "never", threshold=NEVER),
        "always": ensemble_factory(place / "always", threshold=ALWAYS),
        "broken": ensemble_factory(place / "broken", threshold=NEVER, weights=no_numbers),
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
        self._worker = Worker(self._id, core, pipeline=pipeline, lost=lambda: None)
        self._thread = threading.Thread(target=self._worker.run, args=(self._stop,), daemon=True)

    def start(self):
        self._core.workers.register(self._id, os.getpid(), utc_now())
        self._core.workers.become(self._id, WorkerState.READY, now=utc_now())
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(30)


class NoHost:
    """No worker: what is sent waits."""

    def __init__(self, core):
        pass

    def start(self):
        pass

    def stop(self):
        pass


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
