"""A full-size ensemble with random weights, the real study in a zip, and `prostate-alm serve` as users run it."""

import io
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pydicom
import torch
import yaml
from monai.bundle.config_parser import ConfigParser

from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoints, choose_operating_point
from prostate_alm.evaluation.reference import QUANTILES, Distance, GateQuantiles, Limit, Outlier, Reference
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.image_features import IMAGE_FEATURES
from prostate_alm.preprocessing.phantoms import golden_images
from prostate_alm.study import QUALITY_GATES
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.ensemble_writer import EnsembleContent, write_ensemble
from prostate_alm.training.reference import golden_cases

MEMBERS = 10
START_SECONDS = 300.0


def full_size_ensemble(folder: Path, *, members: int = MEMBERS) -> Path:
    """Write ten members of the bundle's network and profile, as training would but for the weights."""
    bundle = find_bundle("prostate_dce")
    settings = yaml.safe_load((bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    parser = ConfigParser(settings)
    arguments = {name: parser.get_parsed_content(f"network_def#{name}") for name in settings["network_def"]}
    del arguments["_target_"]
    network = random_members(arguments, members=members)
    preprocessing = Preprocessing(settings["profile"], settings["box_mm"])
    content = EnsembleContent(
        name="full-size", bundle=bundle, network=arguments, profile=settings["profile"], box_mm=settings["box_mm"],
        weights=[member.state_dict() for member in network.members], card="# Random weights\n",
        seeds=list(range(members)), datalist_sha256="0" * 64, training={"weights": "random"},
        points=OperatingPoints(points=[choose_operating_point([-9.0, 9.0], [0, 1], false_negatives=0)]),
        reference=_reference(network, preprocessing), known=KnownStudies(training=[]),
        validation=ValidationScores.of([-9.0, 9.0], [0, 1], evidence="out-of-fold"),
    )  # fmt: skip
    write_ensemble(folder, content)
    return folder


def random_members(arguments: dict[str, Any], *, members: int = MEMBERS) -> EnsembleNet:
    """New members, their normalisation as if it had seen data."""
    torch.manual_seed(0)
    network = EnsembleNet(members, arguments)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0.0, 0.3)
        elif name.endswith("running_var"):
            value.uniform_(0.3, 2.0)
    return network.eval()


def _reference(network: EnsembleNet, preprocessing: Preprocessing) -> Reference:
    """One that believes the members for every image."""
    everybody, size = Limit(limit=1e9, patients=1, expected_beyond=0.5), len(IMAGE_FEATURES)
    nowhere = Distance(features=list(IMAGE_FEATURES), centre=[0.0] * size, precision=np.zeros((size, size)).tolist())
    flat = [0.0] * len(QUANTILES)
    return Reference(
        evidence="calibration",
        patients=1,
        golden=golden_cases(network, golden_images(preprocessing)),
        spread=everybody,
        outlier=Outlier(distance=nowhere, limit=everybody),
        logit_quantiles=flat,
        quality=[GateQuantiles(reason=reason, quantiles=flat) for reason in QUALITY_GATES],
    )


def study_zip(folder: Path, *, number: int = 0) -> bytes:
    """The study as a zip; its comment makes each number another upload of the same study."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
        archive.comment = f"{number:08d}".encode()
    return packed.getvalue()


def numbered(zipped: bytes, number: int) -> bytes:
    """The same zip with another number in its comment."""
    return zipped[:-8] + f"{number:08d}".encode()


class StudyCopies:
    """One study under as many study UIDs as are wanted, so that none supersedes another's answer."""

    def __init__(self, folder: Path) -> None:
        self.files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        header = pydicom.dcmread(io.BytesIO(next(iter(self.files.values()))), specific_tags=["StudyInstanceUID"])
        self.uid = str(header.StudyInstanceUID).encode()

    def zipped(self, number: int) -> bytes:
        """The study of this number, as a zip without compression; its UID keeps its length."""
        uid = self.uid[:-8] + f"{number % 10**8:08d}".encode()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in self.files.items():
                archive.writestr(name, content.replace(self.uid, uid))
        return packed.getvalue()


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        url: where.
        pid: of the API.
        storage: its folder.
    """

    url: str
    pid: int
    storage: Path

    def client(self, **arguments: Any) -> httpx2.Client:
        """A client that waits as long as an answer may take."""
        return httpx2.Client(base_url=self.url, timeout=180.0, **arguments)

    def rss_mib(self) -> dict[str, float]:
        """Resident memory of the API and of its worker."""
        return {"api": _rss_mib(self.pid), "worker": sum(_rss_mib(child) for child in children_of(self.pid))}


@contextmanager
def serving(ensemble: Path, storage: Path, **settings: Any) -> Iterator[RunningService]:
    """`prostate-alm serve` in a process of its own, ready; stopped at the end."""
    service, process = start(ensemble, storage, port=free_port(), **settings)
    try:
        until(service, process, "ready")
        yield service
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(
    ensemble: Path, storage: Path, *, port: int, **settings: Any
) -> tuple[RunningService, "subprocess.Popen[bytes]"]:
    """`prostate-alm serve` in a session of its own; what it says is added to a file beside its storage."""
    config = storage.with_suffix(".yaml")
    config.write_text(
        yaml.safe_dump({"ensemble": str(ensemble), "storage": str(storage), "port": port} | settings), encoding="utf-8"
    )
    command = [str(Path(sys.executable).with_name("prostate-alm")), "serve", "--config", str(config)]
    with _log(storage).open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True
        )
    return RunningService(f"http://127.0.0.1:{port}", process.pid, storage), process


def until(service: RunningService, process: "subprocess.Popen[bytes]", probe: str) -> None:
    """Wait until the service is `live`, or `ready`."""
    deadline = time.monotonic() + START_SECONDS
    with service.client() as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"/healthz/{probe}").status_code == httpx2.codes.OK:
                    return
            except httpx2.TransportError:
                pass  # not listening yet
            time.sleep(0.2)
    raise SystemExit(
        f"the service did not become {probe}:\n{_log(service.storage).read_text(encoding='utf-8')[-3000:]}"
    )


def _log(storage: Path) -> Path:
    return storage.with_suffix(".log")


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def children_of(pid: int) -> list[int]:
    """The processes that any of its threads started."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text(encoding="utf-8").split()]
