"""`prostate-alm demo`: the whole way on a synthetic cohort, in minutes."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from rich.console import Console

from prostate_alm.commands.cohort_import import import_cohort
from prostate_alm.commands.cohort_synthesize import synthesize
from prostate_alm.commands.evaluate import evaluate
from prostate_alm.commands.evaluation import EvaluationOptions
from prostate_alm.commands.train import train
from prostate_alm.errors import ProstateALMError
from prostate_alm.parcel import write_json
from prostate_alm.service.settings import PREFIX
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.ensemble import EnsembleRun

PATIENTS, TEST_PATIENTS, SEED = 120, 60, 7
MEMBERS, EPOCHS = 3, 16
ASKED = 2  # unseen patients of each label that the service is asked about
START_SECONDS = 120.0


class DemoError(ProstateALMError):
    """The service did not start or did not answer."""


def demo(
    out: Path, *, workers: int, patients: int = PATIENTS, test_patients: int = TEST_PATIENTS, epochs: int = EPOCHS
) -> None:
    """Synthesize, import, train, evaluate, serve and ask; everything is left in `out`, and a second run resumes.

    Raises:
        DemoError: the service did not start or did not answer.
    """
    console = Console(stderr=True)
    began = time.monotonic()
    console.rule(f"1 of 5: {patients + test_patients} synthetic patients as DICOM")
    source, cohort = out / "dicom", out / "cohort"
    synthesize(
        source, patients=patients, seed=SEED, format="dicom", prevalence=0.36, difficulty="easy",
        test_patients=test_patients, workers=workers,
    )  # fmt: skip
    console.rule("2 of 5: import: read, check and convert each study")
    import_cohort(source / "dicom", source / "labels.csv", cohort, workers=workers, keep=["reason"])
    console.rule(f"3 of 5: train {MEMBERS} members with BCE under the ranking constraint")
    settings = {"profile": "tiny", "max_epochs": epochs}
    datalist = (cohort / "datalist.json").absolute()
    run = EnsembleRun(
        find_bundle("prostate_dce"), datalist, (out / "training").absolute(), MEMBERS, MEMBERS, SEED, settings
    )
    ensemble = train(run, workers=workers)
    console.rule("4 of 5: evaluate on patients that no member has seen")
    evaluate(ensemble, datalist=datalist, out=out / "evaluation", options=EvaluationOptions(workers=workers))
    console.rule("5 of 5: start the service and ask it about unseen patients over HTTP")
    _ask(ensemble, source, out / "answers", storage=out / "service")
    console.print(
        f"done in {time.monotonic() - began:.0f} s; everything is in {out}/, the report in {out}/evaluation/report.html"
    )
    console.print(
        f"see these studies at http://127.0.0.1:8000/ with: prostate-alm serve --ensemble {out}/training/ensemble "
        f"--storage {out}/service"
    )


def _ask(ensemble: Path, source: Path, answers: Path, *, storage: Path) -> None:
    """Post unseen patients of both labels; print each answer in a line, and the last as the service gave it."""
    answers.mkdir(parents=True, exist_ok=True)
    with (source / "labels.csv").open(encoding="utf-8", newline="") as table:
        unseen = [row for row in csv.DictReader(table) if row["split"] == "test"]
    asked = [row for label in ("1", "0") for row in [r for r in unseen if r["label"] == label][:ASKED]]
    console, answer = Console(), {}
    with _service(ensemble, storage, answers / "service.log") as address:
        for row in asked:
            answer = _post(f"{address}/v1/studies?wait=60", _zipped(source / "dicom" / row["study"]))
            write_json(answers / f"{row['study']}.json", answer)
            truth = f"{'needs DCE' if row['label'] == '1' else 'does not need DCE'} ({row['reason']})"
            console.print(f"{row['study']}, who {truth}: [bold]{answer['recommendation']}[/bold], {answer['basis']}")
    console.print_json(json.dumps(answer))


@contextmanager
def _service(ensemble: Path, storage: Path, log: Path) -> Iterator[str]:
    """Run `prostate-alm serve` on a free port of loopback until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prostate_alm.cli", "serve", "--ensemble", str(ensemble), "--port", str(port)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}  # no settings of others
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--storage", str(storage)], stdout=output, stderr=subprocess.STDOUT, env=ours
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, address, log)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/healthz/ready", timeout=5):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise DemoError(f"the service did not become ready; its log is {log}.")


def _zipped(folder: Path) -> bytes:
    """A patient's DICOM files as a zip, as a PACS export sends them."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return content.getvalue()


def _post(url: str, study: bytes) -> dict[str, Any]:
    """Upload a zip as the form field `file` and return the answer."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="study.zip"\r\n'
    body = b"".join(
        (head.encode(), b"Content-Type: application/zip\r\n\r\n", study, f"\r\n--{boundary}--\r\n".encode())
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - our own loopback address
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
        if response.status != 200:
            raise DemoError(f"the service answered with status {response.status} in place of a finished answer.")
        return json.loads(response.read())
