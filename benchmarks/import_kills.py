"""Kill imports at random moments, let them go on, and compare with one that nobody disturbed.

    python benchmarks/import_kills.py --rounds 20 --seed 1

Every round kills two imports of one cohort (SIGKILL) and lets a third end. After each kill no study may lie there in
part, and at the end every file must be byte for byte as in the undisturbed cohort. Exit status 1 if not.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.cohort_import import import_dicom_cohort
from prostate_alm.datasets.study_keys import default_keys_file
from prostate_alm.datasets.synthetic.corpus import CasePlan, write_case
from prostate_alm.datasets.synthetic.layouts import Layout

LAYOUTS = (Layout.MULTI_B, Layout.ZIP, Layout.NIFTI, Layout.ENHANCED, Layout.MULTI_B)
KILLS = 2  # a round


@dataclass(frozen=True)
class Source:
    """A cohort to be imported; its last study lacks a slice, and is left out."""

    folder: Path

    @property
    def dicom(self) -> Path:
        """The studies."""
        return self.folder / "in"

    @property
    def labels(self) -> Path:
        """The label table."""
        return self.folder / "labels.csv"


@dataclass
class Found:
    """What came of all rounds."""

    kills: int = 0
    kills_in_a_study: int = 0
    studies_in_part: int = 0
    differing: list[int] = field(default_factory=list)


def make_source(folder: Path, seed: int) -> Source:
    """Write the studies and the label table."""
    source = Source(folder)
    plans = [CasePlan(number, seed, layout, "siemens") for number, layout in enumerate(LAYOUTS)]
    cases = [write_case(plan, source.dicom) for plan in plans]
    sorted(cases[-1].path.glob("03-*"))[5].unlink()
    rows = "".join(f"{plan.key},p{plan.number},{plan.number % 2}\n" for plan in plans)
    source.labels.write_text(f"study,patient,label\n{rows}", encoding="utf-8")
    return source


def start(source: Source, out: Path) -> BaseProcess:
    """An import in a process of its own; forked, so that nothing is loaded again."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_import, args=(source, out))
    process.start()
    return process


def _import(source: Source, out: Path) -> None:
    with Path(os.devnull).open("w") as sys.stdout:
        import_dicom_cohort(source.dicom, source.labels, out)


def end(source: Source, out: Path) -> dict[str, bytes]:
    """Import to the end; every file by its name."""
    process = start(source, out)
    process.join()
    if process.exitcode:
        raise SystemExit("an import ended with an error")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def kill(source: Source, out: Path, after: float) -> None:
    """Begin an import and kill it after some seconds."""
    process = start(source, out)
    time.sleep(after)
    process.kill()
    process.join()


def studies_in_part(out: Path) -> int:
    """Study folders that do not hold what they say they hold."""
    folders = [folder for kind in ("studies", "excluded") for folder in (out / kind).glob("s*")]
    return sum(not _is_whole(folder) for folder in folders)


def _is_whole(folder: Path) -> bool:
    facts = folder / "import.json"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path != facts}
    return facts.is_file() and json.loads(facts.read_text(encoding="utf-8"))["files"] == sizes


def main() -> None:
    """Run the rounds and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/import_kills.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng, found = random.Random(arguments.seed), Found()  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        source, reference = make_source(Path(name) / "source", arguments.seed), Path(name) / "reference"
        began = time.monotonic()
        undisturbed = end(source, reference)
        seconds = time.monotonic() - began
        for number in range(arguments.rounds):
            out = Path(name) / f"round{number}"
            shutil.copy2(default_keys_file(reference), default_keys_file(out))
            for _ in range(KILLS):
                kill(source, out, rng.uniform(0, seconds))
                found.kills += 1
                found.kills_in_a_study += bool(list(out.rglob(".*.partial")))
                found.studies_in_part += studies_in_part(out)
            if end(source, out) != undisturbed:
                found.differing.append(number)
            shutil.rmtree(out)
            print(f"round {number + 1} of {arguments.rounds}: {found}", flush=True)
    facts = {"command": f"python benchmarks/import_kills.py --rounds {arguments.rounds} --seed {arguments.seed}"}
    facts |= {"commit": commit(), "machine": machine(), "studies": len(LAYOUTS), **vars(found)}
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    sys.exit(bool(found.studies_in_part or found.differing))


if __name__ == "__main__":
    main()
