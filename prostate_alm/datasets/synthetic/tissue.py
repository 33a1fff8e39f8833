"""Tissues and the signal equations of T2w and diffusion-weighted imaging."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prostate_alm.datasets.synthetic.shapes import Array

# Of frank cancer against healthy peripheral zone: T2 falls by 38 %, ADC by 58 %.
CANCER_T2_LOSS = 0.38
CANCER_ADC_LOSS = 0.58
FAT_SUPPRESSED = 0.06


@dataclass(frozen=True)
class Tissue:
    """What a tissue is to the scanner.

    Attributes:
        pd: proton density, 0 to 1.
        t2: in ms; for fat the effective value of a turbo spin echo.
        adc: in 1e-6 mm²/s.
        fatty: whether fat suppression removes it from the diffusion images.
    """

    pd: float
    t2: float
    adc: float
    fatty: bool = False

    def towards_cancer(self, contrast: float) -> "Tissue":
        """This tissue with `contrast` (0 to about 1.5) of the way to a frank cancer gone."""
        return Tissue(self.pd, self.t2 * (1 - CANCER_T2_LOSS * contrast), self.adc * (1 - CANCER_ADC_LOSS * contrast))


FAT = Tissue(0.95, 92.0, 150.0, fatty=True)
SEPTUM = Tissue(0.75, 45.0, 700.0, fatty=True)
MUSCLE = Tissue(0.80, 38.0, 1100.0)
MARROW = Tissue(0.68, 78.0, 350.0, fatty=True)
CORTEX = Tissue(0.40, 24.0, 400.0, fatty=True)
PERIPHERAL_ZONE = Tissue(0.92, 155.0, 1650.0)
TRANSITION_ZONE = Tissue(0.90, 88.0, 1300.0)
STROMAL_NODULE = Tissue(0.86, 64.0, 1040.0)
GLANDULAR_NODULE = Tissue(0.94, 140.0, 1600.0)
FIBROMUSCULAR_STROMA = Tissue(0.75, 42.0, 1050.0)
CAPSULE = Tissue(0.60, 40.0, 1000.0)
URETHRA = Tissue(0.92, 135.0, 1600.0)
VENOUS_PLEXUS = Tissue(0.92, 150.0, 1700.0)
SEMINAL_VESICLE = Tissue(0.95, 210.0, 1900.0)
BLADDER_WALL = Tissue(0.80, 50.0, 1250.0)
URINE = Tissue(1.00, 420.0, 2900.0)
BOWEL_WALL = Tissue(0.82, 62.0, 1300.0)
STOOL = Tissue(0.55, 55.0, 900.0)
GAS = Tissue(0.02, 20.0, 1000.0)


def spin_echo(tissue: Tissue, te: float) -> Array:
    """T2w signal ``PD exp(-TE/T2)``, ``[1]``; TE in ms."""
    return np.array([tissue.pd * np.exp(-te / tissue.t2)], dtype=np.float32)


def diffusion(tissue: Tissue, te: float, b_values: Sequence[float]) -> Array:
    """Fat-suppressed diffusion signal ``PD exp(-TE/T2) exp(-b ADC)``, ``[B]``; TE in ms, b in s/mm²."""
    unweighted = tissue.pd * np.exp(-te / tissue.t2) * (FAT_SUPPRESSED if tissue.fatty else 1.0)
    return (unweighted * np.exp(-np.asarray(b_values) * tissue.adc * 1e-6)).astype(np.float32)


def rician(signal: Array, sigma: Array, rng: np.random.Generator) -> Array:
    """Magnitude of the signal with complex noise of standard deviation `sigma` a channel."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32)
    return np.sqrt((signal + sigma * noise[0]) ** 2 + (sigma * noise[1]) ** 2)


def fit_adc(stack: Array, b_values: Sequence[float], floor: float) -> Array:
    """ADC in 1e-6 mm²/s by log-linear least squares, as a scanner computes it.

    Args:
        stack: ``[B, X, Y, Z]`` magnitudes by b-value.
        b_values: in s/mm², at least two.
        floor: voxels below it at the lowest b-value are noise and get 0.

    Returns:
        ``[X, Y, Z]``, within 0 and 4000.
    """
    centred = np.asarray(b_values, dtype=np.float32) - np.float32(np.mean(b_values))
    weights = -centred / np.float32(np.sum(centred**2))
    adc = np.tensordot(weights, np.log(np.maximum(stack, 1.0)), axes=1) * np.float32(1e6)
    return np.where(stack[0] < floor, 0, np.clip(adc, 0, 4000)).astype(np.float32)
