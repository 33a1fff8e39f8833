"""How long a study takes from its zip to its answer, and how much faster OpenVINO computes the members than torch.

    python benchmarks/service.py --data DIR [--rounds 15] [--studies 20]

`--data` (or PROSTATE_ALM_DATA) names the folder with prostatex/ProstateX-0000, whose DICOM files are zipped. The
ensemble has ten members of the bundle's network and profile with random weights, which cost what trained ones cost.

- members: in each round plain torch, one member after the other, and OpenVINO score the study's image, in changing
  order, on one thread. The ratio is the median over the rounds of their CPU times, which other load disturbs little.
- command: `TriagePipeline`, as `prostate-alm triage` uses it, in this process, by stage.
- service: `prostate-alm serve` with SQLite on this machine, one study after the other over HTTP, each a new upload. By
  stage as the worker measured; `elsewhere` is the rest of the client's time: upload, storing, waking, reading back.

Times are wall clock but for the members' ratio; the load of the machine when they were taken stands beside them.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from running_service import MEMBERS, RunningService, full_size_ensemble, numbered, serving, study_zip

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.golden import TOLERANCE, largest_difference
from prostate_alm.readers import read_study
from prostate_alm.service.pipeline import TriagePipeline

FASTER = 3.0
QUANTILES = {"p50": 0.5, "p95": 0.95}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {name: round(float(np.quantile(seconds, share)), 4) for name, share in QUANTILES.items()}


def members(ensemble: Path, zipped: Path, rounds: int) -> dict[str, Any]:
    """CPU time of ten members on one image by both backends."""
    by_torch, by_openvino = (load_ensemble(ensemble, backend=name, device="cpu") for name in ("torch", "openvino"))
    image = by_torch.prepare(read_study(zipped)).image
    runs: list[tuple[str, Callable[[], torch.Tensor]]] = [
        (one.backend, partial(one.members.logits, image)) for one in (by_torch, by_openvino)
    ]
    difference = largest_difference(runs[0][1](), runs[1][1]())
    seconds: dict[str, list[float]] = {name: [] for name, _ in runs}
    for number in range(rounds):
        for name, run in runs[number % 2 :] + runs[: number % 2]:
            before = time.process_time()
            run()
            seconds[name].append(round(time.process_time() - before, 4))
    ratios = [slow / fast for slow, fast in zip(seconds["torch"], seconds["openvino"], strict=True)]
    return {
        "members": MEMBERS,
        "image": list(image.shape),
        "cpu_seconds_median": {name: round(float(np.median(of)), 4) for name, of in seconds.items()},
        "ratio_median": round(float(np.median(ratios)), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "largest_logit_difference": float(f"{difference:.2g}"),
        "cpu_seconds": seconds,
    }


def command(ensemble: Path, zipped: Path, studies: int) -> dict[str, Any]:
    """Stages of the pipeline in this process; the first study is not counted."""
    loaded = load_ensemble(ensemble)
    pipeline = TriagePipeline.at(loaded, "0-fn")
    stages: dict[str, list[float]] = defaultdict(list)
    for number in range(studies + 1):
        before = time.perf_counter()
        outcome = pipeline.examine("0" * 32, lambda: read_study(zipped), complete=True, accepted_for=loaded.sha256)
        seconds = {**outcome.seconds, "total": time.perf_counter() - before}
        for stage, taken in seconds.items() if number else ():
            stages[stage].append(taken)
    return {"backend": loaded.backend, "seconds": {stage: quantiles(taken) for stage, taken in stages.items()}}


def service(ensemble: Path, zipped: bytes, studies: int) -> dict[str, Any]:
    """From the first byte of the upload to the answer, over HTTP; the first study is not counted."""
    with (
        tempfile.TemporaryDirectory(prefix="service-") as place,
        serving(ensemble, Path(place) / "storage", requests_per_minute=100_000) as running,
    ):
        taken = [_answered(running, numbered(zipped, number)) for number in range(studies + 1)][1:]
        stages = _stages(running)
        memory = running.rss_mib()
    parts: dict[str, list[float]] = defaultdict(list)
    for answer_id, total in taken:
        for stage, seconds in stages[answer_id].items():
            parts[stage].append(seconds)
        parts["elsewhere"].append(total - sum(stages[answer_id].values()))
        parts["total"].append(total)
    return {"seconds": {stage: quantiles(seconds) for stage, seconds in parts.items()}, "rss_mib": memory}


def _answered(running: RunningService, content: bytes) -> tuple[str, float]:
    """Id and seconds of one study."""
    with running.client() as client:
        before = time.perf_counter()
        response = client.post("/v1/studies", params={"wait": 120}, files={"file": ("study.zip", content)})
        taken = time.perf_counter() - before
    answer = response.raise_for_status().json()
    if response.status_code != 200 or answer["logit"] is None:
        raise SystemExit(f"a study was not scored: {answer}")
    return answer["id"], taken


def _stages(running: RunningService) -> dict[str, dict[str, float]]:
    """What the worker measured, by study."""
    with sqlite3.connect(f"file:{running.storage / 'triage.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT job_id, seconds FROM answers").fetchall()
    return {job_id: json.loads(seconds) for job_id, seconds in rows}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "service.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with prostatex/ProstateX-0000 by --data or PROSTATE_ALM_DATA")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="service-") as place:
        zipped = Path(place) / "study.zip"
        zipped.write_bytes(study_zip(Path(options.data) / "prostatex" / "ProstateX-0000"))
        ensemble = full_size_ensemble(Path(place) / "ensemble")
        load = {"before": round(os.getloadavg()[0], 2)}
        parts = {
            "members": members(ensemble, zipped, options.rounds),
            "command": command(ensemble, zipped, options.studies),
            "service": service(ensemble, zipped.read_bytes(), options.studies),
        }
        size = zipped.stat().st_size
    result = {
        "command": f"python benchmarks/service.py --rounds {options.rounds} --studies {options.studies}",
        "commit": commit(),
        "machine": machine(),
        "load_average": load | {"after": round(os.getloadavg()[0], 2)},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "openvino", "monai", "fastapi")},
        "data": f"PROSTATEx, ProstateX-0000 (7 series, 164 files), zip of {size / 1e6:.1f} MB",
        "limit": f"members at least {FASTER} times as fast as torch, logits within {TOLERANCE}",
        **parts,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = {**result, "members": {k: v for k, v in result["members"].items() if k != "cpu_seconds"}}
    print(json.dumps(shown, indent=1))
    exact = result["members"]["largest_logit_difference"] <= TOLERANCE
    if result["members"]["ratio_median"] < FASTER or not exact:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
