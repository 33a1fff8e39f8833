"""The judge of the corpus: what it holds a study against is what was written, and it sees what is off."""

from dataclasses import replace

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.corpus import Case, CasePlan, write_case
from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.datasets.synthetic.layouts import DIRECTION_FACTORS, Layout
from prostate_alm.datasets.synthetic.verdict import difference, read_case
from prostate_alm.study import Study, Volume


@pytest.fixture(scope="module")
def directions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Study]:
    """Directions alone, without a map: the ADC is fitted from their geometric means."""
    plan = CasePlan(293, 1, Layout.DIRECTIONS_ONLY, "ge", Fault.NO_ADC)
    case = write_case(plan, tmp_path_factory.mktemp("directions"))
    return case, read_case(case)


def test_a_fitted_adc_is_held_against_the_images_that_were_written(directions: tuple[Case, Study]) -> None:
    """Rounding three directions of a faint signal moves its ADC by 20e-6 mm²/s; that is no error of the reader."""
    case, study = directions
    (right,) = case.studies
    assert difference(study, case) == ""
    assert np.abs(study.adc.data - right.adc.data)[right.adc.data > 0].max() > 10
    seen = np.stack([volume.data for volume in right.dwi.values()]).min(axis=0) >= 2
    logarithms = []
    for b, volume in right.dwi.items():
        written = [np.rint(volume.data[seen] * np.float32(factor)) for factor in (DIRECTION_FACTORS if b else (1.0,))]
        logarithms.append(np.mean([np.log(direction.astype(np.float64)) for direction in written], axis=0))
    slope = np.polyfit(list(right.dwi), np.stack(logarithms), 1)[0]
    assert np.allclose(study.adc.data[seen], np.maximum(-slope * 1e6, 0), atol=0.01)


@pytest.mark.parametrize("off", [0.2, -1.0])
def test_a_fitted_adc_that_is_a_little_off_is_wrong(directions: tuple[Case, Study], off: float) -> None:
    case, study = directions
    adc = Volume(study.adc.data + np.float32(off), study.adc.geometry)
    assert "fitted ADC" in difference(replace(study, adc=adc), case)


def test_a_mean_that_is_not_geometric_is_wrong(directions: tuple[Case, Study]) -> None:
    case, study = directions
    high = max(study.dwi)
    mean = study.dwi[high].data * np.float32(np.mean(DIRECTION_FACTORS))
    changed = replace(study, dwi={**study.dwi, high: Volume(mean, study.adc.geometry)})
    assert f"b {high:g} is off" in difference(changed, case)
