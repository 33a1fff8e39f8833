"""The synthetic cohort of tables 3, 14 and 15: 300 training patients, and 1000 test patients at two prevalences.

    python benchmarks/prostate_cohort.py --out DIR

Of the training patients 13 % are positive, as the paper's text says. The 1230 test patients are 360 positives and 870
negatives, of which two test sets are cut, named by a column each: `p13` (130 and 870) and `p36` (360 and 640, as the
paper's table 15 implies). They share 770 patients. One training serves both:
`prostate-alm benchmark table3 --data DIR --where p13=1`; `p13.json` and `p36.json` have one test set each, for
`prostate-alm evaluate`. `without-VENDOR.json` has the same test patients and no training patient of that vendor, for
the transfer to a scanner that training never saw.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prostate_alm.datasets.datalist import Datalist, make_datalist, write_datalist
from prostate_alm.datasets.synthetic.cohort import CohortPlan, cohort_datalist, synthesize_cohort

TRAINED = CohortPlan(patients=300, test_patients=0, seed=21, prevalence=0.13)
TESTED = CohortPlan(patients=1, test_patients=1230, seed=22, prevalence=360 / 1230)  # its training patient is not used
FOLDERS = {"training": TRAINED, "test": TESTED}
TEST_SETS = {"p13": {0: 870, 1: 130}, "p36": {0: 640, 1: 360}}
UNSEEN_VENDOR = "vendor_c"


def joined_datalist(*, without: str | None = None, test_set: str | None = None) -> Datalist:
    """Training and test patients, drawn without rendering an image.

    Args:
        without: leaves out the training patients of a vendor.
        test_set: leaves out the test patients who are not in it.
    """
    training = [entry for entry in _entries("training") if entry["vendor"] != without]
    test = [
        {**entry, "index": place, **_test_sets(entry["label"], rank)}
        for place, (entry, rank) in enumerate(_ranked(_entries("test")), start=TRAINED.patients)
    ]
    test = [entry for entry in test if test_set is None or entry[test_set] == 1]
    name = "synthetic-prostate" + (f"-without-{without}" if without else "")
    return make_datalist(name, training=training, test=test)


def make_cohort(out: Path, *, workers: int) -> None:
    """Render what is not there yet, then write the datalists."""
    for name, plan in FOLDERS.items():
        synthesize_cohort(out / name, plan, workers=workers)
    write_datalist(joined_datalist(), out / "datalist.json")
    write_datalist(joined_datalist(without=UNSEEN_VENDOR), out / f"without-{UNSEEN_VENDOR}.json")
    for name in TEST_SETS:
        write_datalist(joined_datalist(test_set=name), out / f"{name}.json")


def _entries(split: str) -> list[dict[str, Any]]:
    """The entries of a split, their paths seen from the folder that holds both cohorts."""
    entries = [entry.model_dump(exclude_none=True) for entry in getattr(cohort_datalist(FOLDERS[split]), split)]
    return [{**entry, **{role: f"{split}/{entry[role]}" for role in ("t2", "dwi", "adc")}} for entry in entries]


def _ranked(entries: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each entry with how many of its class stand before it."""
    met = {0: 0, 1: 0}
    for entry in entries:
        yield entry, met[entry["label"]]
        met[entry["label"]] += 1


def _test_sets(label: int, rank: int) -> dict[str, int]:
    """1 for each test set that a patient is in: the first of each class."""
    return {name: int(rank < size[label]) for name, size in TEST_SETS.items()}


def main() -> None:
    """Read the arguments and make the cohort."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    make_cohort(arguments.out, workers=arguments.workers)


if __name__ == "__main__":
    main()
