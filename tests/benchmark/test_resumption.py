"""`prostate-alm benchmark` itself, killed and interrupted in the middle of a table: the next start goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prostate_alm.benchmark.records import RunRecord


@pytest.fixture(scope="module")
def archives(cifar_writers, tmp_path_factory) -> Path:
    """As many images of two classes as Table 5 needs: 100 for validation, 150 : 3 for training."""
    folder = tmp_path_factory.mktemp("archives")
    counts = [250, 0, 250, 0, 0, 0, 0, 0, 0, 0]
    files = cifar_writers.cifar10(cifar_writers.images(counts, 1), cifar_writers.images([20] * 10, 2))
    cifar_writers.tar(folder / "cifar-10-binary.tar.gz", files)
    return folder


def start(archives: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "prostate_alm.cli", "benchmark", "table5"]
    command += ["--data", str(archives), "--out", str(out), "--budget", "smoke", "--workers", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def records(out: Path) -> dict[Path, int]:
    """The records and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}


def wait_for_records(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 500
    while len(records(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("ctrl_c")
def test_a_grid_that_was_killed_and_interrupted_makes_its_table_at_the_third_start(archives, tmp_path):
    with start(archives, tmp_path) as killed:
        wait_for_records(tmp_path, 3, killed)
        killed.send_signal(signal.SIGKILL)
    kept = records(tmp_path)
    for path in kept:
        RunRecord.model_validate_json(path.read_bytes())  # none is torn

    with start(archives, tmp_path) as interrupted:
        wait_for_records(tmp_path, len(kept) + 2, interrupted)
        interrupted.send_signal(signal.SIGINT)
        _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, said
    assert "Traceback" not in said
    assert kept.items() <= records(tmp_path).items()  # nothing was run twice
    kept = records(tmp_path)

    with start(archives, tmp_path) as finished:
        table, said = finished.communicate(timeout=500)
    assert finished.returncode == 0, said
    assert "ALM + BCE" in table
    assert kept.items() <= records(tmp_path).items()
    assert len(records(tmp_path)) == 34  # 17 rows, two members each
    assert len([line for line in said.splitlines() if "/34  " in line]) == 34 - len(kept)
    assert "34/34" in said
    assert not list((tmp_path / "work").iterdir())
