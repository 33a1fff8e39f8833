import numpy as np
import pytest

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.adc import fit_adc
from prostate_alm.study import Geometry, Volume

GRID = Geometry((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))


def volume(values):
    return Volume(np.broadcast_to(np.asarray(values, dtype=np.float32), GRID.shape), GRID, "frame")


@pytest.mark.parametrize("b_values", [(0, 800), (50, 400, 800), (0, 50, 500, 1000, 1500)])
def test_an_exact_exponential_gives_its_own_coefficient(b_values):
    adc = np.random.default_rng(0).uniform(300, 3000, GRID.shape)
    fitted = fit_adc({float(b): volume(1000 * np.exp(-b * adc * 1e-6)) for b in b_values})
    assert np.allclose(fitted.data, adc, rtol=1e-3)
    assert fitted.geometry is GRID
    assert fitted.frame_of_reference == "frame"


def test_noisy_signals_give_the_least_squares_line():
    rng = np.random.default_rng(1)
    b = [50.0, 400.0, 800.0]
    signals = rng.uniform(50, 900, (3, *GRID.shape)).astype(np.float32)
    fitted = fit_adc({value: Volume(signal, GRID) for value, signal in zip(b, signals, strict=True)})
    for index in np.ndindex(GRID.shape):
        slope = np.polyfit(b, np.log(signals[(slice(None), *index)]), 1)[0]
        assert fitted.data[index] == pytest.approx(max(-slope * 1e6, 0), rel=1e-4, abs=1e-2)


@pytest.mark.parametrize("signal", [0.0, -3.0])
def test_no_signal_gives_0_as_scanners_write_it(signal):
    assert (fit_adc({0.0: volume(100), 400.0: volume(signal), 800.0: volume(20)}).data == 0).all()


def test_a_rising_signal_gives_0_and_no_negative_diffusion():
    assert (fit_adc({0.0: volume(100), 800.0: volume(200)}).data == 0).all()


def test_one_b_value_allows_no_fit():
    with pytest.raises(StudyRefusedError) as caught:
        fit_adc({800.0: volume(1)})
    assert caught.value.reason is Reason.ADC_MISSING
