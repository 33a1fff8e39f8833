"""Signal equations against values worked by hand, and the ADC fit against the ADC that made the signal."""

import numpy as np
import pytest

from prostate_alm.datasets.synthetic.tissue import FAT, PERIPHERAL_ZONE, Tissue, diffusion, fit_adc, rician, spin_echo


def test_spin_echo_by_hand() -> None:
    assert spin_echo(Tissue(pd=0.8, t2=100.0, adc=0.0), 100.0)[0] == pytest.approx(0.8 / np.e)


def test_diffusion_by_hand_and_without_fat() -> None:
    tissue = Tissue(pd=1.0, t2=60.0, adc=1000.0)
    assert diffusion(tissue, 60.0, (0.0, 1000.0)) == pytest.approx([np.exp(-1), np.exp(-2)])
    assert diffusion(FAT, 60.0, (0.0,))[0] < 0.1 * diffusion(tissue, 60.0, (0.0,))[0]


def test_cancer_is_darker_on_t2_and_adc_and_brighter_at_high_b() -> None:
    cancer = PERIPHERAL_ZONE.towards_cancer(1.0)
    assert PERIPHERAL_ZONE.towards_cancer(0.0) == PERIPHERAL_ZONE
    assert spin_echo(cancer, 100.0)[0] < 0.7 * spin_echo(PERIPHERAL_ZONE, 100.0)[0]
    assert diffusion(cancer, 65.0, (800.0,))[0] > 1.3 * diffusion(PERIPHERAL_ZONE, 65.0, (800.0,))[0]
    assert cancer.adc == pytest.approx(0.42 * PERIPHERAL_ZONE.adc)


@pytest.mark.parametrize("b_values", [(50.0, 400.0, 800.0), (0.0, 900.0)])
def test_the_fit_returns_the_adc_of_the_signal(b_values: tuple[float, ...]) -> None:
    adc = np.linspace(300, 3000, 60, dtype=np.float32).reshape(3, 4, 5)
    stack = np.stack([5e4 * np.exp(-b * adc * 1e-6) for b in b_values]).astype(np.float32)
    assert fit_adc(stack, b_values, floor=10.0) == pytest.approx(adc, rel=1e-4)


def test_the_fit_masks_what_is_noise() -> None:
    stack = np.full((2, 1, 1, 2), 100.0, dtype=np.float32)
    stack[:, 0, 0, 1] = 5.0
    stack[1] /= 2
    fitted = fit_adc(stack, (0.0, 1000.0), floor=10.0)
    assert fitted[0, 0, 0] == pytest.approx(np.log(2) * 1e3, rel=1e-4)
    assert fitted[0, 0, 1] == 0


def test_noise_of_an_empty_image_is_rayleigh_and_of_a_bright_one_gaussian() -> None:
    rng, sigma = np.random.default_rng(0), np.array([2.0], np.float32)
    empty = rician(np.zeros((100, 100, 10), np.float32), sigma, rng)
    bright = rician(np.full((100, 100, 10), 500, np.float32), sigma, rng)
    assert empty.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)
    assert (bright.mean(), bright.std()) == pytest.approx((500.0, 2.0), rel=0.01)
