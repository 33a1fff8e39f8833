"""What the readers do with a damaged study: a seeded mutation run over the real one.

    python benchmarks/import_mutants.py --data DIR [--mutants 1150] [--seed 1] [--workers 1]

`--data` (or PROSTATE_ALM_DATA) names the folder with prostatex/ProstateX-0000. Each mutant is the whole study with some
files changed (`mutations.py`), read as `cohort import` reads it and compared with the undamaged study. Outcomes:

- crash: anything but an answer;
- refused, by reason ("at the last boundary": by no check, but because some step failed);
- same: every voxel and its place as before; nudged: places as before within 0.1 mm, the readers' own tolerance;
- pixels: other voxel values; b-values: other b-values; ADC fitted: instead of the scanner's map;
- other series: a role is read from another series;
- geometry: places or size changed. "Seen in headers" tells those that another header contradicts; none may be accepted.

A run goes on where it was interrupted, from OUT.partial.
"""

import argparse
import json
import os
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from mutations import KINDS, Mutant, StudyFiles, mutant, study_files
from rich.progress import track

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.errors import Reason
from prostate_alm.readers import examine_study
from prostate_alm.study import Geometry, Study

TOLERANCE_MM = 0.1
BOUNDARY = "the input can't be read"


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant; `moved` is how far, in mm, a voxel moved at most (infinite for another size)."""

    index: int
    kind: str
    what: str
    outcome: str
    shows: bool
    moved: float = 0.0
    message: str = ""


class Bench:
    """A study to be damaged again and again, in a folder of its own."""

    def __init__(self, study: StudyFiles, folder: Path, before: Study) -> None:
        self.study, self.folder, self.before = study, folder, before

    @classmethod
    def of(cls, source: Path, folder: Path) -> "Bench":
        """Copy the study at `source` to `folder`."""
        shutil.copytree(source, folder / "whole")
        shutil.copytree(folder / "whole", folder / "mutant", copy_function=os.link)
        before = examine_study(folder / "whole")[1]
        assert before is not None, "the undamaged study was refused"
        chosen = {str(one.role): one.number for one in before.series if one.number is not None}
        return cls(study_files(folder / "whole", chosen), folder / "mutant", before)

    def try_mutant(self, seed: int, index: int) -> Outcome:
        """Damage, read, compare, and put the files back."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of values that are meant to be wrong
            one = mutant(self.study, seed, index)
        try:
            self._write(one)
            outcome, moved, message = self._read()
        finally:
            self._restore(one)
        return Outcome(index, one.kind, one.what, outcome, one.shows, moved, message)

    def _read(self) -> tuple[str, float, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning could quote a header
            try:
                inspection, after = examine_study(self.folder)
            except Exception as error:
                return "crash", 0.0, f"{type(error).__name__}: {error}"
        if after is None:
            assert inspection.refusal is not None
            message = str(inspection.refusal.args[0])
            where = " at the last boundary" if message.startswith(BOUNDARY) else ""
            return f"refused: {inspection.refusal.reason}{where}", 0.0, message
        return *compare(self.before, after), ""

    def _write(self, one: Mutant) -> None:
        for path, content in one.files.items():
            (self.folder / path).unlink(missing_ok=True)
            if content is not None:
                (self.folder / path).write_bytes(content)

    def _restore(self, one: Mutant) -> None:
        for path in one.files:
            (self.folder / path).unlink(missing_ok=True)
            if (self.study.root / path).exists():
                os.link(self.study.root / path, self.folder / path)


def compare(before: Study, after: Study) -> tuple[str, float]:
    """The outcome of a study that was accepted, and how far its voxels moved in mm."""
    first, second = next(iter(before.dwi.values())), next(iter(after.dwi.values()))
    pairs = {"t2": (before.t2, after.t2), "dwi": (first, second), "adc": (before.adc, after.adc)}
    moved = max(_moved(one.geometry, other.geometry) for one, other in pairs.values())
    fitted = Reason.ADC_COMPUTED in after.flags and Reason.ADC_COMPUTED not in before.flags
    for role, (one, other) in pairs.items():
        numbers = [{series.number for series in study.series if series.role == role} for study in (before, after)]
        same = one.data.shape == other.data.shape and np.array_equal(one.data, other.data)
        if numbers[0] != numbers[1] and not same and not (role == "adc" and fitted):
            return "other series", moved
    if moved > TOLERANCE_MM:
        return "geometry", moved
    if list(before.dwi) != list(after.dwi):
        return "b-values", moved
    if fitted:
        return "ADC fitted", moved
    volumes = zip(
        [before.t2, *before.dwi.values(), before.adc], [after.t2, *after.dwi.values(), after.adc], strict=True
    )
    if not all(np.array_equal(one.data, other.data) for one, other in volumes):
        return "pixels", moved
    return ("nudged" if moved > 1e-6 else "same"), moved


def _moved(before: Geometry, after: Geometry) -> float:
    """The farthest way of a corner voxel."""
    if before.shape != after.shape:
        return float("inf")
    corners = np.array([[*index, 1] for index in np.ndindex(2, 2, 2)]) * [*(np.array(before.shape) - 1), 1]
    return float(np.linalg.norm((before.affine - after.affine) @ corners.T, axis=0).max())


_bench: list[Bench] = []


def _start(source: Path) -> None:
    """Prepare a process; its folder goes with it."""
    holder = tempfile.TemporaryDirectory(prefix="mutants-")
    _bench[:] = [Bench.of(source, Path(holder.name))]
    _holders.append(holder)


_holders: list[tempfile.TemporaryDirectory[str]] = []


def _run(task: tuple[int, int]) -> Outcome:
    return _bench[0].try_mutant(*task)


def outcomes(source: Path, tasks: Sequence[tuple[int, int]], workers: int) -> Iterator[Outcome]:
    """The outcome of each (seed, index), in order."""
    if workers == 1:
        _start(source)
        yield from map(_run, tasks)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(source,)) as executor:
        yield from executor.map(_run, tasks, chunksize=4)


def resumed(partial: Path, head: dict[str, Any]) -> list[Outcome]:
    """What an interrupted run of the same settings found; a file of another run is begun anew."""
    lines = partial.read_text(encoding="utf-8").splitlines() if partial.exists() else []
    if lines and json.loads(lines[0]) == head:
        return [Outcome(**json.loads(line)) for line in lines[1:] if line.endswith("}")]
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(json.dumps(head) + "\n", encoding="utf-8")
    return []


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, and every accepted mutant whose geometry changed."""
    refused = [one for one in found if one.outcome.startswith("refused")]
    silent = [one for one in found if one.outcome in {"geometry", "other series"}]
    noted = [
        one for one in found if one.outcome in {"crash", "b-values", "ADC fitted"} or one.outcome.endswith("boundary")
    ]
    table = {kind: dict(Counter(one.outcome for one in found if one.kind == kind).most_common()) for kind in KINDS}
    seen = [one for one in silent if one.shows]
    return {
        "mutants": len(found),
        "crashes": sum(one.outcome == "crash" for one in found),
        "refused": len(refused),
        "outcomes": dict(Counter(one.outcome for one in found).most_common()),
        "geometry_or_series_changed_and_accepted": {
            "seen_in_headers": len(seen),
            "not_seen_in_headers": len(silent) - len(seen),
            "share_of_all_mutants": round(len(silent) / len(found), 4),
            "each": [_short(one) for one in silent],
        },
        "also_noted": [_short(one) for one in noted],
        "by_kind": table,
    }


def _short(one: Outcome) -> dict[str, Any]:
    keys = ("index", "kind", "what", "outcome", "shows")
    return {key: getattr(one, key) for key in keys} | ({"message": one.message} if one.message else {})


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"))
    parser.add_argument("--mutants", type=int, default=50 * len(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "import_mutants.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with prostatex/ProstateX-0000 by --data or PROSTATE_ALM_DATA")
    source = Path(options.data) / "prostatex" / "ProstateX-0000"
    head = {
        "command": f"python benchmarks/import_mutants.py --mutants {options.mutants} --seed {options.seed}",
        "commit": commit(),
        "machine": machine(),
        "data": "PROSTATEx, ProstateX-0000 (7 series, 164 files)",
        "seed": options.seed,
    }
    partial = options.out.with_suffix(".partial")
    found = resumed(partial, head)
    tasks = [(options.seed, index) for index in range(len(found), options.mutants)]
    with partial.open("a", encoding="utf-8") as stream:
        for one in track(outcomes(source, tasks, options.workers), "mutants", total=len(tasks)):
            found.append(one)
            stream.write(json.dumps(vars(one)) + "\n")
            stream.flush()
    result = head | summary(found)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    partial.unlink()
    print(json.dumps({key: value for key, value in result.items() if key not in {"by_kind", "also_noted"}}, indent=1))
    if result["crashes"] or result["geometry_or_series_changed_and_accepted"]["seen_in_headers"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
