"""CPU time from a folder of DICOM to a `Study`, against dcm2niix and reading its files back in Python.

    python benchmarks/import.py --data DIR [--rounds 15]

`--data` (or PROSTATE_ALM_DATA) names the folder with prostatex/ProstateX-0000. In each round the methods take turns, in
changing order, in one process whose imports are done:

- ours: `read_study` of the whole folder: every header, the choice, the pixels of the three series chosen;
- dcm2niix: the whole folder to uncompressed NIfTI without sidecars, which is the least it can do, and every file read
  back by nibabel as float32. It makes no choice and checks less;
- dcm2niix, gzip: the same with `-z y`, as cohorts are kept;
- dcm2niix, chosen series: only the three folders that ours reads pixels of, which somebody has to know.

Time is that of this process and of its children, user and system; files are in the page cache. Counted in runs of their
own: the headers alone by our walk and by pydicom; how often each file is opened (once to see whether it is DICOM, once
for its header, once for its pixels); the largest memory of a process that reads the study.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from pydicom import dcmread

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.readers import read_study
from prostate_alm.readers.header import HeaderReader
from prostate_alm.readers.instance import HEADER_TAGS

CHOSEN = ("4.000000-*", "6.000000-*", "7.000000-*")
LIMIT = 0.5


def cpu_seconds() -> float:
    """User and system time of this process and its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def convert(folders: Sequence[Path], *flags: str) -> None:
    """dcm2niix to a temporary folder, and everything it wrote read back."""
    with tempfile.TemporaryDirectory(prefix="import-") as out:
        for number, folder in enumerate(folders):
            command = [dcm2niix.bin, *flags, "-b", "n", "-f", f"{number}-%s", "-o", out, str(folder)]
            subprocess.run(command, check=True, capture_output=True)
        for path in sorted(Path(out).glob("*.nii*")):
            image = nib.load(path)
            assert isinstance(image, Nifti1Image)
            np.asarray(image.dataobj, dtype=np.float32)


def methods(folder: Path) -> dict[str, Callable[[], object]]:
    """What is compared, by name."""
    chosen = [next(folder.rglob(pattern)) for pattern in CHOSEN]
    return {
        "ours": lambda: read_study(folder),
        "dcm2niix": lambda: convert([folder], "-z", "n"),
        "dcm2niix, gzip": lambda: convert([folder], "-z", "y"),
        "dcm2niix, chosen series": lambda: convert(chosen, "-z", "n"),
    }


def timed(folder: Path, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each method, round by round; one round before is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods(folder)}
    for number in range(rounds + 1):
        turns = list(methods(folder).items())
        turns = turns[number % len(turns) :] + turns[: number % len(turns)]
        for name, run in turns:
            before = cpu_seconds()
            run()
            if number:
                seconds[name].append(round(cpu_seconds() - before, 5))
    return seconds


def opened(folder: Path) -> dict[str, Any]:
    """How often files were opened in one reading, and the series of those that were opened for pixels."""
    counts: Counter[str] = Counter()
    active = True

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event == "open" and str(arguments[0]).startswith(str(folder)):
            counts[str(arguments[0])] += 1

    sys.addaudithook(count)  # for the life of the process
    study = read_study(folder)
    active = False
    files = [path for path in counts if Path(path).is_file()]
    pixels = [path for path in files if counts[path] == 3]
    return {
        "files": len(files),
        "headers_read_per_file": sorted({min(counts[path], 2) - 1 for path in files}),
        "files_opened_more_than_three_times": sum(counts[path] > 3 for path in files),
        "pixels_read_of_files": len(pixels),
        "images_chosen": study.t2.data.shape[2] + study.adc.data.shape[2] + len(study.dwi) * study.adc.data.shape[2],
        "in_series": sorted({Path(path).parent.name.split(".")[0] for path in pixels}),
    }


def headers_per_1000_files(folder: Path, rounds: int) -> dict[str, float]:
    """Median CPU seconds to take the elements the readers use from 1000 headers: our walk, and pydicom alone."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tags = sorted(HEADER_TAGS)

    def walk() -> None:
        reader = HeaderReader(HEADER_TAGS)
        for path in files:
            reader.read(path)

    def pydicom_alone() -> None:
        for path in files:
            for element in dcmread(path, specific_tags=tags, stop_before_pixels=True):  # pyright: ignore[reportArgumentType]
                _ = element.value

    seconds: dict[str, list[float]] = {"our walk": [], "pydicom": []}
    for _ in range(rounds):
        for name, run in (("our walk", walk), ("pydicom", pydicom_alone)):
            before = cpu_seconds()
            run()
            seconds[name].append((cpu_seconds() - before) * 1000 / len(files))
    return {name: round(statistics.median(of), 4) for name, of in seconds.items()}


def peak_mib(folder: Path) -> dict[str, float]:
    """Largest resident memory of a new process before and after it reads the study."""
    code = (
        "import re, sys; from pathlib import Path; from prostate_alm.readers import read_study\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "before = peak(); study = read_study(sys.argv[1]); print(before, peak())"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    before, after = map(float, answer.stdout.split())
    return {"after_imports": round(before, 1), "after_reading": round(after, 1)}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("PROSTATE_ALM_DATA"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "import.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with prostatex/ProstateX-0000 by --data or PROSTATE_ALM_DATA")
    folder = Path(options.data) / "prostatex" / "ProstateX-0000"
    rounds = timed(folder, options.rounds)
    median = {name: statistics.median(of) for name, of in rounds.items()}
    result = {
        "command": f"python benchmarks/import.py --rounds {options.rounds}",
        "commit": commit(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("dcm2niix", "nibabel", "numpy", "pydicom")},
        "data": "PROSTATEx, ProstateX-0000 (7 series, 164 files)",
        "cpu_seconds_median": {name: round(value, 4) for name, value in median.items()},
        "speed_of_ours_over": {name: round(median[name] / median["ours"], 3) for name in median if name != "ours"},
        "limit": f"at least {LIMIT} of dcm2niix",
        "opened": opened(folder),
        "peak_mib": peak_mib(folder),
        "headers_cpu_seconds_per_1000_files": headers_per_1000_files(folder, 5),
        "cpu_seconds": rounds,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "cpu_seconds"}, indent=1))
    if result["speed_of_ours_over"]["dcm2niix"] < LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
