"""The synthetic cohort of tables 3, 14 and 15: 300 training patients, and two test sets of 1000 at two prevalences.

    python benchmarks/prostate_cohort.py --out DIR

Training and the first test set have 13 % positives, as the paper's text says; the second test set has 36 %, as its
table 15 implies. Both stand in the test section of one datalist, told apart by the column `test_set`, so that one
training serves both: `prostate-alm benchmark table3 --data DIR --where test_set=p13`. `without-VENDOR.json` has the same
test patients and no training patient of that vendor, for the transfer to a scanner that training never saw.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prostate_alm.datasets.datalist import Datalist, make_datalist, write_datalist
from prostate_alm.datasets.synthetic.cohort import CohortPlan, cohort_datalist, synthesize_cohort

TRAINED = CohortPlan(patients=300, test_patients=1000, seed=21, prevalence=0.13)
OTHER_PREVALENCE = CohortPlan(patients=1, test_patients=1000, seed=22, prevalence=0.36)
FOLDERS = {"p13": TRAINED, "p36": OTHER_PREVALENCE}
UNSEEN_VENDOR = "vendor_c"


def joined_datalist(*, without: str | None = None) -> Datalist:
    """The one datalist of both test sets, drawn without rendering an image; `without` leaves out a training vendor."""
    training = [_placed(entry, "p13") for entry in _entries(TRAINED, "training") if entry["vendor"] != without]
    test = [
        {**_placed(entry, name), "test_set": name} for name, plan in FOLDERS.items() for entry in _entries(plan, "test")
    ]
    everyone = [{**entry, "index": place} for place, entry in enumerate(test, start=TRAINED.patients)]
    name = "synthetic-prostate" + (f"-without-{without}" if without else "")
    return make_datalist(name, training=training, test=everyone)


def make_cohort(out: Path, *, workers: int) -> None:
    """Render what is not there yet, then write the datalists."""
    for name, plan in FOLDERS.items():
        synthesize_cohort(out / name, plan, workers=workers)
    write_datalist(joined_datalist(), out / "datalist.json")
    write_datalist(joined_datalist(without=UNSEEN_VENDOR), out / f"without-{UNSEEN_VENDOR}.json")


def _entries(plan: CohortPlan, split: str) -> list[dict[str, Any]]:
    return [entry.model_dump(exclude_none=True) for entry in getattr(cohort_datalist(plan), split)]


def _placed(entry: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The entry with its paths seen from the parent of its cohort's folder."""
    return {**entry, **{role: f"{folder}/{entry[role]}" for role in ("t2", "dwi", "adc")}}


def main() -> None:
    """Read the arguments and make the cohort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    make_cohort(arguments.out, workers=arguments.workers)


if __name__ == "__main__":
    main()
