"""The service under load: a study every three seconds for ten minutes, then fifty at once, and health all the while.

    python benchmarks/service_load.py --data DIR [--minutes 10] [--every 3] [--burst 50]

`--data` (or PROSTATE_ALM_DATA) names the folder with prostatex/ProstateX-0000. `prostate-alm serve` runs with its
default settings but for the requests a minute, on SQLite, with ten members of the bundle's network and profile; each
study is the real one under a study UID of its own. What sends them has the lower priority, since it would run on other
machines. It holds when

- every study of the stream is scored (200, with a logit);
- the memory of the API and of the worker at the end is at most a tenth above that after the first two minutes;
- each of the fifty is taken or refused with 429, and every one that was taken is scored;
- 99 of 100 looks at /healthz/live and /healthz/ready take less than 100 ms, and ready says 200.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from running_service import MEMBERS, RunningService, StudyCopies, full_size_ensemble, serving

from prostate_alm.benchmark.execution import commit, machine

HEALTH_SECONDS, MEMORY_SECONDS = 0.25, 5.0
HEALTH_LIMIT = 0.1
SETTLED_SECONDS = 120.0
GROWTH_LIMIT = 1.1
behind_the_service = partial(os.nice, 10)  # of a sending thread: its work would be another machine's
QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
HEALTH_QUANTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


@dataclass
class Watched:
    """What was seen beside the studies."""

    looks: list[tuple[int, float]] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def watching(service: RunningService) -> Iterator[Watched]:
    """Look at health and memory all the while."""
    seen, stop, began = Watched(), threading.Event(), time.monotonic()

    def measure_memory() -> None:
        while not stop.wait(MEMORY_SECONDS):
            seen.memory.append({"seconds": round(time.monotonic() - began, 1), **service.rss_mib()})

    script = Path(__file__).with_name("health_looks.py")
    looking = subprocess.Popen(
        [sys.executable, str(script), service.url, str(HEALTH_SECONDS)], stdout=subprocess.PIPE, text=True
    )
    assert looking.stdout is not None
    looking.stdout.readline()  # it has begun
    thread = threading.Thread(target=measure_memory)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
        looking.terminate()
        lines = looking.communicate()[0].splitlines(keepends=True)
        seen.looks = [(int(s), float(t)) for s, t in (line.split() for line in lines if line.endswith("\n"))]


def send(service: RunningService, content: bytes, wait: float) -> tuple[int, dict[str, Any], float]:
    """Status, body and seconds of one upload."""
    with service.client() as client:
        before = time.perf_counter()
        response = client.post("/v1/studies", params={"wait": wait}, files={"file": ("study.zip", content)})
        return response.status_code, response.json(), time.perf_counter() - before


def stream(service: RunningService, copies: StudyCopies, *, minutes: float, interval: float) -> dict[str, Any]:
    """A study at a fixed interval, whether or not the last one was answered."""
    count, began = round(minutes * 60 / interval), time.monotonic()
    with ThreadPoolExecutor(64, initializer=behind_the_service) as pool:
        sent = []
        for number in range(count):
            time.sleep(max(0.0, began + number * interval - time.monotonic()))
            sent.append(pool.submit(send, service, copies.zipped(number), 170))
        answers = [future.result() for future in sent]
    scored = [seconds for status, body, seconds in answers if status == 200 and body["logit"] is not None]
    return {
        "studies": count,
        "scored": len(scored),
        "others": dict(Counter(_said(status, body) for status, body, _ in answers if not _is_scored(status, body))),
        "answers": len({body["id"] for _, body, _ in answers if "id" in body}),
        "seconds": {name: round(float(np.quantile(scored or [np.nan], q)), 3) for name, q in QUANTILES.items()},
    }


def burst(service: RunningService, copies: StudyCopies, count: int) -> dict[str, Any]:
    """All at once; then every one that was taken is waited for."""
    zips = [copies.zipped(10**6 + number) for number in range(count)]
    with ThreadPoolExecutor(count, initializer=behind_the_service) as pool:
        first = list(pool.map(partial(send, service, wait=0), zips))
    statuses = Counter(status for status, _, _ in first)
    taken = [body["id"] for status, body, _ in first if status in {200, 202}]
    with service.client() as client:
        replies = [client.get(f"/v1/studies/{study}", params={"wait": 150}) for study in taken]
    answers = [(reply.status_code, reply.json()) for reply in replies]
    return {
        "sent": count,
        "statuses": {str(k): n for k, n in sorted(statuses.items())},
        "taken": len(taken),
        "scored": sum(_is_scored(*one) for one in answers),
        "others": dict(Counter(_said(*one) for one in answers if not _is_scored(*one))),
    }


def _is_scored(status: int, body: dict[str, Any]) -> bool:
    return status == 200 and body["logit"] is not None


def _said(status: int, body: dict[str, Any]) -> str:
    return f"{status} {body.get('code') or ' '.join(body.get('reasons') or [])}".strip()


def growth(memory: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Memory after the first two minutes and at the end, each the median over half a minute."""
    few = round(30 / MEMORY_SECONDS)
    settled = [row for row in memory if row["seconds"] >= SETTLED_SECONDS] or memory
    found: dict[str, dict[str, float]] = {}
    for process in ("api", "worker"):
        first, last = (statistics.median(row[process] for row in part) for part in (settled[:few], settled[-few:]))
        found[process] = {"settled_mib": first, "end_mib": last, "ratio": round(last / first, 3)}
    return found


def health(seen: Watched) -> dict[str, Any]:
    """How often and how fast the service said that it is well."""
    times = [seconds for _, seconds in seen.looks]
    statuses = Counter(str(status) for status, _ in seen.looks)
    quantiles = {name: round(float(np.quantile(times, q)), 4) for name, q in HEALTH_QUANTILES.items()}
    return {"looks": len(times), "statuses": dict(sorted(statuses.items())), "seconds": quantiles}


def holds(found: dict[str, Any]) -> dict[str, bool]:
    """Which of the conditions hold."""
    streamed, at_once = found["stream"], found["burst"]
    return {
        "every study of the stream scored": streamed["scored"] == streamed["studies"],
        "each study an answer of its own": streamed["answers"] == streamed["studies"],
        "memory flat": all(one["ratio"] <= GROWTH_LIMIT for one in found["memory"].values()),
        "burst taken or refused": set(at_once["statuses"]) <= {"200", "202", "429"},
        "what was taken of the burst scored": at_once["taken"] == at_once["scored"],
        "health within 100 ms": all(one["seconds"]["p99"] < HEALTH_LIMIT for one in found["health"].values()),
        "ready all the while": all(set(one["statuses"]) == {"200"} for one in found["health"].values()),
    }


def main() -> None:
    """Load, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0)
    parser.add_argument("--burst", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "service_load.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with prostatex/ProstateX-0000 by --data or PROSTATE_ALM_DATA")
    copies = StudyCopies(Path(options.data) / "prostatex" / "ProstateX-0000")
    load = {"before": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory(prefix="service-load-") as place:
        ensemble = full_size_ensemble(Path(place) / "ensemble")
        with serving(ensemble, Path(place) / "storage", requests_per_minute=100_000) as service:
            with watching(service) as seen:
                streamed = stream(service, copies, minutes=options.minutes, interval=options.every)
            with watching(service) as seen_in_burst:
                at_once = burst(service, copies, options.burst)
    found = {
        "stream": streamed,
        "burst": at_once,
        "health": {"stream": health(seen), "burst": health(seen_in_burst)},
        "memory": growth(seen.memory),
    }
    result = {
        "command": " ".join(
            ["python benchmarks/service_load.py"]
            + [f"--{name} {getattr(options, name):g}" for name in ("minutes", "every", "burst")]
        ),
        "commit": commit(),
        "machine": machine(),
        "load_average": load | {"after": round(os.getloadavg()[0], 2)},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "openvino", "fastapi", "uvicorn")},
        "members": MEMBERS,
        **found,
        "holds": holds(found),
        "memory_mib": seen.memory,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "memory_mib"}, indent=1))
    if not all(result["holds"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
