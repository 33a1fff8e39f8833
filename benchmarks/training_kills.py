"""Kill trainings at random moments, let them go on, and compare with one that nobody disturbed.

    python benchmarks/training_kills.py --kills 20 --seed 1

A training of two members is killed (SIGKILL) at random moments, now with its members and now without them, who must
then end by themselves, until one start ends well; then another one, until the kills are spent. Every file of each
ensemble must be byte for byte that of the undisturbed one. Exit status 1 if not.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort

PATIENTS, MEMBERS, EPOCHS = 20, 2, 40  # enough that kills fall into training, too
ORPHAN_SECONDS = 20.0
RUN_ENDS_SECONDS = 600.0


@dataclass
class Found:
    """What came of all kills.

    Attributes:
        kills: of a `train` that was at work.
        with_members: of its whole process group; of the others the command alone was killed.
        moments: how many before the first saved epoch, while members trained, and after the last had finished.
        runs: that ended well after their kills.
        orphans: members that outlived their command.
        differing: names of files that are not those of the undisturbed ensemble, a list a run.
    """

    kills: int = 0
    with_members: int = 0
    moments: dict[str, int] = field(default_factory=lambda: {"starting": 0, "training": 0, "assembling": 0})
    runs: int = 0
    orphans: int = 0
    differing: list[list[str]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything was not as it should be."""
        return bool(self.orphans or any(self.differing))


def make_cohort(folder: Path) -> Path:
    """Write a synthetic cohort, and return its datalist."""
    return synthesize_cohort(folder, CohortPlan(PATIENTS, 0, 1, 0.4, "easy", "nifti"), workers=1)


def make_experiment(folder: Path, datalist: Path, *, epochs: int) -> Path:
    """Write an experiment file."""
    content = {
        "datalist": str(datalist), "members": MEMBERS, "folds": MEMBERS, "profile": "tiny", "epochs": epochs,
        "device": "cpu", "workers": MEMBERS, "tracking": "none",
        "settings": {"batch_size": 4, "network_def#widths": [4, 4], "mu": 0.5, "mu_margin": 0.0},
    }  # fmt: skip
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@contextmanager
def training(experiment: Path, out: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`prostate-alm train` in a process group of its own, one thread a member."""
    command = [sys.executable, "-m", "prostate_alm.cli", "train", "--config", str(experiment), "--out", str(out)]
    with out.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def train(experiment: Path, out: Path) -> tuple[dict[str, bytes], float]:
    """Train to the end; every file of the ensemble, and the seconds."""
    began = time.monotonic()
    with training(experiment, out) as process:
        code = process.wait(RUN_ENDS_SECONDS)
    if code != 0:
        raise SystemExit(f"a training ended with exit code {code}:\n{out.with_suffix('.log').read_text()[-3000:]}")
    files = [path for path in (out / "ensemble").rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}, time.monotonic() - began


def kill(experiment: Path, out: Path, *, after: float, with_members: bool, found: Found) -> bool:
    """Begin a training and kill it after some seconds; whether it was still at work."""
    with training(experiment, out) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            if with_members:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
        else:
            return False
    found.kills += 1
    found.with_members += with_members
    found.moments[moment(out)] += 1
    found.orphans += len(orphans(out))
    return True


def moment(out: Path) -> str:
    """What a training was at when it was killed, by what lies there."""
    members = list((out / "members").glob("member_*"))
    if members and all((member / "finished.json").is_file() for member in members) and len(members) == MEMBERS:
        return "assembling"
    return "training" if any((member / "run_state.pt").is_file() for member in members) else "starting"


def orphans(out: Path) -> list[str]:
    """Members that still train some time after their command was killed."""
    end = time.monotonic() + ORPHAN_SECONDS
    while (alive := _members_at_work(out)) and time.monotonic() < end:
        time.sleep(0.05)
    return alive


def _members_at_work(out: Path) -> list[str]:
    alive: list[str] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_text(encoding="utf-8", errors="replace")
            state = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has just ended
        if "member_process" in command and str(out) in command and state != "Z":
            alive.append(place.name)
    return alive


def soak(folder: Path, datalist: Path, *, kills: int, seed: int, epochs: int = EPOCHS) -> Found:
    """Kill so often, and compare each training that was killed.

    Args:
        folder: to work in.
        datalist: of the patients to train on.
        kills: in all.
        seed: of the moments.
        epochs: of each member.
    """
    rng, found = random.Random(seed), Found()  # noqa: S311 - moments, no secrets
    experiment = make_experiment(folder, datalist, epochs=epochs)
    undisturbed, seconds = train(experiment, folder / "undisturbed")
    while found.kills < kills:
        out = folder / f"run{found.runs}"
        while found.kills < kills and kill(
            experiment, out, after=rng.uniform(0, seconds), with_members=rng.random() < 0.5, found=found
        ):
            pass
        ended, _ = train(experiment, out)
        names = sorted(undisturbed.keys() | ended.keys())
        found.differing.append([name for name in names if undisturbed.get(name) != ended.get(name)])
        found.runs += 1
        shutil.rmtree(out)
        print(f"{found.kills} of {kills} kills: {found}", flush=True)
    return found


def main() -> None:
    """Run and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training_kills.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        datalist = make_cohort(Path(name) / "cohort")
        found = soak(Path(name), datalist, kills=arguments.kills, seed=arguments.seed)
    facts = {"command": f"python benchmarks/training_kills.py --kills {arguments.kills} --seed {arguments.seed}"}
    facts |= {"commit": commit(), "machine": machine(), "patients": PATIENTS, "members": MEMBERS, "epochs": EPOCHS}
    arguments.out.write_text(json.dumps({**facts, **vars(found)}, indent=1) + "\n", encoding="utf-8")
    sys.exit(found.failed)


if __name__ == "__main__":
    main()
