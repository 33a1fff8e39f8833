"""What the whole service does with damaged studies: a seeded mutation run through its HTTP interface.

    python benchmarks/service_mutants.py --data DIR [--mutants 1500] [--seed 1]

`--data` (or PROSTATE_ALM_DATA) names the folder with prostatex/ProstateX-0000. Each mutant (`mutations.py`) is sent as
a zip to `prostate-alm serve` with ten members of random weights, and must be answered by the worker that was there at
the beginning. Outcomes:

- no answer: anything but 200 with an answer; none may occur;
- failsafe, by reason; model: read and scored, as damage that no header shows may be (DICOM has no checksum).
"""

import argparse
import io
import json
import os
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations import KINDS, StudyFiles, mutant, study_files
from rich.progress import track

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.readers import examine_study
from prostate_alm.report.triage import TriageAnswer

Send = Callable[[bytes], tuple[int, bytes]]
"""Sends a zip, waits for the answer, and gives status and body."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    index: int
    kind: str
    what: str
    outcome: str


@dataclass(frozen=True)
class Bench:
    """A study to be damaged, and a service to send it to."""

    study: StudyFiles
    send: Send

    @classmethod
    def of(cls, source: Path, send: Send) -> "Bench":
        """Take the study at `source`."""
        whole = examine_study(source)[1]
        assert whole is not None, "the undamaged study was refused"
        chosen = {str(one.role): one.number for one in whole.series if one.number is not None}
        return cls(study_files(source, chosen), send)

    def try_mutant(self, seed: int, index: int) -> Outcome:
        """Damage, send, and read the answer."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that are meant to be wrong
            one = mutant(self.study, seed, index)
        status, body = self.send(self._zip(one.files))
        return Outcome(index, one.kind, one.what, outcome_of(status, body))

    def _zip(self, changed: Any) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            paths = {path for of in self.study.series.values() for path in of} | set(changed)
            for path in sorted(paths):
                content = changed[path] if path in changed else (self.study.root / path).read_bytes()
                if content is not None:
                    archive.writestr(str(path), content)
        return packed.getvalue()


def outcome_of(status: int, body: bytes) -> str:
    """In words; what is no valid answer with status 200 is none."""
    if status != 200:
        return f"no answer: status {status}"
    try:
        answer = TriageAnswer.model_validate_json(body)
    except ValueError:
        return "no answer: the body is none"
    return f"failsafe: {' '.join(answer.reasons)}" if answer.reasons else f"model: {answer.recommendation}"


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of all, and of each kind."""
    return {
        "mutants": len(found),
        "without_answer": sum(one.outcome.startswith("no answer") for one in found),
        "outcomes": dict(Counter(one.outcome for one in found).most_common()),
        "by_kind": {
            kind: dict(Counter(one.outcome.split(":")[0] for one in found if one.kind == kind)) for kind in KINDS
        },
    }


def main() -> None:
    """Run, print and write."""
    from running_service import children_of, full_size_ensemble, serving  # noqa: PLC0415 - torch, for the run alone

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"))
    parser.add_argument("--mutants", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "service_mutants.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with prostatex/ProstateX-0000 by --data or PROSTATE_ALM_DATA")
    source = Path(options.data) / "prostatex" / "ProstateX-0000"
    settings = {"requests_per_minute": 100_000, "retention_hours": 0.01}  # the disk would not hold all mutants
    with tempfile.TemporaryDirectory() as place:
        ensemble = full_size_ensemble(Path(place) / "ensemble")
        with serving(ensemble, Path(place) / "storage", **settings) as service, service.client() as client:

            def send(content: bytes) -> tuple[int, bytes]:
                reply = client.post("/v1/studies", params={"wait": 150}, files={"file": ("study.zip", content)})
                return reply.status_code, reply.content

            bench, processes = Bench.of(source, send), children_of(service.pid)
            found = [bench.try_mutant(options.seed, index) for index in track(range(options.mutants), "mutants")]
            restarted = children_of(service.pid) != processes
    head = {
        "command": f"python benchmarks/service_mutants.py --mutants {options.mutants} --seed {options.seed}",
        "commit": commit(),
        "machine": machine(),
        "data": "PROSTATEx, ProstateX-0000 (7 series, 164 files)",
    }
    result = head | summary(found) | {"worker_restarted": restarted}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    if result["without_answer"] or restarted:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
