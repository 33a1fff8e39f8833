"""Small studies and cohorts, built in code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.study import Geometry, Study, Volume


def make_study(seed: int, *, positive: bool = False) -> Study:
    """Noise in the scanner's coordinates, with a focus of high b800 signal and low ADC in a positive one."""
    rng = np.random.default_rng(seed)
    t2_grid = Geometry((44, 44, 10), np.diag([3.2, 3.2, 7.0, 1.0]) + np.eye(4, k=3) * -70.0)
    dwi_grid = Geometry((36, 36, 10), np.diag([4.0, 4.0, 7.0, 1.0]) + np.eye(4, k=3) * -70.0)
    focus = np.zeros(dwi_grid.shape)
    focus[14:22, 14:22, 3:7] = float(positive)
    adc = 1200 + 60 * rng.standard_normal(dwi_grid.shape) - 700 * focus
    base = 400 + 20 * rng.standard_normal(dwi_grid.shape)
    dwi = {b: Volume(np.asarray(base * np.exp(-b * adc * 1e-6), np.float32), dwi_grid) for b in (50.0, 400.0, 800.0)}
    t2 = Volume(np.asarray(300 + 40 * rng.standard_normal(t2_grid.shape), np.float32), t2_grid)
    return Study(key=f"study{seed:03d}", t2=t2, dwi=dwi, adc=Volume(np.asarray(adc, np.float32), dwi_grid))


@pytest.fixture(scope="session")
def study_factory() -> Callable[..., Study]:
    """Build a study from a seed."""
    return make_study


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a cohort of 18 training and 6 test patients as NIfTI; returns the path of its datalist."""
    folder = tmp_path_factory.mktemp("cohort")
    entries: list[dict[str, Any]] = []
    for index in range(24):
        study = make_study(index, positive=index % 3 == 0)
        place = folder / "studies" / study.key
        place.mkdir(parents=True)
        files = {
            k: f"studies/{study.key}/{v}" if isinstance(v, str) else v
            for k, v in write_nifti_study(study, place).items()
        }
        entries.append(
            {"index": index, "study": study.key, "patient": study.key, "label": int(index % 3 == 0), **files}
        )
    path = folder / "datalist.json"
    path.write_text(json.dumps({"schema_version": 1, "name": "built", "training": entries[:18], "test": entries[18:]}))
    return path
