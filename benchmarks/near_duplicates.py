"""How near copies of one examination are, and how near different patients: what `near_duplicates.LIMIT` rests on.

    PROSTATE_ALM_DATA=DIR python benchmarks/near_duplicates.py --out benchmarks/results/near_duplicates.json

Synthetic patients of the `default` preset: all pairs of them, and copies of some in the ways of `COPIES`. With
PROSTATE_ALM_DATA, copies of the real study as well.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.near_duplicates import LIMIT, Descriptor, descriptor, find
from prostate_alm.datasets.synthetic.cohort import CohortPlan
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.preprocessing.grid import sample_on
from prostate_alm.readers import read_study
from prostate_alm.study import Geometry, Study, Volume

EVERY = 1.8  # a distance that two volumes hardly reach, so that `find` names every pair
Copy = Callable[[Study, np.random.Generator], Study]


def with_t2(study: Study, data: np.ndarray, geometry: Geometry | None = None) -> Study:
    """The study with other T2 values, on another grid too."""
    return replace(study, t2=Volume(data.astype(np.float32), geometry or study.t2.geometry))


def noisier(study: Study, rng: np.random.Generator) -> Study:
    """Noise of 5 % of the 99th percentile."""
    sigma = 0.05 * np.percentile(study.t2.data, 99)
    return with_t2(study, np.abs(study.t2.data + rng.normal(0, sigma, study.t2.data.shape)))


def rescaled(study: Study, rng: np.random.Generator) -> Study:
    """Another gain and offset, rounded."""
    return with_t2(study, np.rint(study.t2.data * rng.uniform(0.2, 3) + rng.uniform(0, 200)))


def in_8_bits(study: Study, _rng: np.random.Generator) -> Study:
    """Clipped at the 99.5th percentile."""
    unit = study.t2.data / np.percentile(study.t2.data, 99.5)
    return with_t2(study, np.rint(np.clip(unit, 0, 1) * 255))


def unevenly_lit(study: Study, rng: np.random.Generator) -> Study:
    """Another coil: an exponential slope along X and Y."""
    columns, rows, _ = study.t2.data.shape
    x, y = np.linspace(-1, 1, columns)[:, None, None], np.linspace(-1, 1, rows)[None, :, None]
    slope = rng.normal(0, 0.4, 2)
    return with_t2(study, study.t2.data * np.exp(slope[0] * x + slope[1] * y))


def cropped(study: Study, rng: np.random.Generator) -> Study:
    """Up to 10 mm less at each side and two slices less at each end."""
    old, data = study.t2.geometry, study.t2.data
    most = (int(10 / old.spacing[0]), int(10 / old.spacing[1]), 2)
    low, high = rng.integers(0, [n + 1 for n in most]), rng.integers(0, [n + 1 for n in most])
    part = data[tuple(slice(a, n - b) for a, b, n in zip(low, high, data.shape, strict=True))]
    affine = np.array(old.affine)
    affine[:3, 3] = (old.affine @ np.append(low, 1.0))[:3]
    x, y, z = part.shape
    return with_t2(study, part, Geometry((x, y, z), affine))


def cropped_and_placed_elsewhere(study: Study, rng: np.random.Generator) -> Study:
    """As an anonymiser leaves it that resets the position."""
    part = cropped(study, rng)
    affine = np.array(part.t2.geometry.affine)
    affine[:3, 3] = 0
    return with_t2(part, part.t2.data, Geometry(part.t2.geometry.shape, affine))


def resampled(study: Study, rng: np.random.Generator) -> Study:
    """In plane at 0.7 to 1.4 of the spacing, slices of 1.5, 3 or 4 mm."""
    old, factor = study.t2.geometry, rng.uniform(0.7, 1.4)
    spacing = np.array([old.spacing[0] * factor, old.spacing[1] * factor, rng.choice([1.5, 3.0, 4.0])])
    x, y, z = (int(n) for n in np.array(old.spacing) * old.shape / spacing)
    affine = np.eye(4)
    affine[:3, :3] = old.direction * spacing
    affine[:3, 3] = np.array(old.centre) - affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    grid = Geometry((x, y, z), affine)
    return with_t2(study, sample_on(study.t2, grid)[0].numpy(), grid)


def all_at_once(study: Study, rng: np.random.Generator) -> Study:
    """Rescaled, noisier, resampled and cropped."""
    return cropped(resampled(noisier(rescaled(study, rng), rng), rng), rng)


COPIES: tuple[Copy, ...] = (
    noisier,
    rescaled,
    in_8_bits,
    unevenly_lit,
    cropped,
    cropped_and_placed_elsewhere,
    resampled,
    all_at_once,
)


def distance(first: Descriptor, second: Descriptor) -> float:
    """Between two studies."""
    return find({"first": first, "second": second}, limit=EVERY)[0].distance


def copy_distances(studies: list[Study], rng: np.random.Generator) -> dict[str, dict[str, float | int]]:
    """Median and largest distance of the copies of each kind."""
    originals = [descriptor(study) for study in studies]
    rows: dict[str, dict[str, float | int]] = {}
    for copy in COPIES:
        found = [distance(one, descriptor(copy(study, rng))) for one, study in zip(originals, studies, strict=True)]
        rows[copy.__name__] = {
            "copies": len(found),
            "found": sum(value <= LIMIT for value in found),
            "median": round(float(np.median(found)), 4),
            "largest": max(found),
        }
        print(copy.__name__, rows[copy.__name__], flush=True)
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=220)
    parser.add_argument("--copied", type=int, default=15, help="how many of them are copied")
    parser.add_argument("--listed", type=float, default=0.20, help="largest distance of patients that is listed")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    plans, rng = CohortPlan(options.patients, seed=options.seed).of_split("training"), np.random.default_rng(0)
    studies = [synthesize_study(plan)[0] for plan in plans[: options.copied]]
    result: dict[str, Any] = {
        "command": f"python benchmarks/near_duplicates.py --patients {options.patients} --copied {options.copied} "
        f"--listed {options.listed} --seed {options.seed}",
        "commit": commit(),
        "machine": machine(),
        "limit": LIMIT,
        "copies": copy_distances(studies, rng),
    }
    if "PROSTATE_ALM_DATA" in os.environ:
        real = read_study(Path(os.environ["PROSTATE_ALM_DATA"]) / "prostatex" / "ProstateX-0000")
        result["copies_of_a_real_study"] = copy_distances([real] * 4, rng)
    near = find({plan.key: descriptor(synthesize_study(plan)[0]) for plan in plans}, limit=options.listed)
    result["different_patients"] = {
        "pairs": len(plans) * (len(plans) - 1) // 2,
        "called_near": sum(pair.distance <= LIMIT for pair in near),
        "nearest": [pair.distance for pair in near][:10],
    }
    print(result["different_patients"])
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
