"""What a synthetic cohort may hold: difficulty presets, scanner profiles, and the truth of each patient.

The truth is drawn apart from the images and cheaply, so that a datalist can be written without
rendering anything, and patient ``i`` of seed ``s`` is the same in a cohort of any size.
"""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from prostate_alm.errors import ArgumentError

Range = tuple[float, float]


class Cause(StrEnum):
    """What decides the label of a patient; recorded as `reason` in the datalist."""

    # needs DCE
    EQUIVOCAL_FOCUS = "equivocal_focus"
    MOTION_GHOSTING = "motion_ghosting"
    PROSTHESIS_VOID = "prosthesis_void"
    GAS_DISTORTION = "gas_distortion"
    # does not
    NORMAL = "normal"
    WEDGE = "wedge"
    DIFFUSE = "diffuse"
    CLEAR_LESION = "clear_lesion"
    MILD_QUALITY_LOSS = "mild_quality_loss"


QUALITY_CAUSES = (Cause.MOTION_GHOSTING, Cause.PROSTHESIS_VOID, Cause.GAS_DISTORTION)


@dataclass(frozen=True)
class Preset:
    """How hard a cohort is.

    Contrasts are fractions of the way from healthy peripheral zone (0) to a frank cancer (1); the
    ranges of equivocal foci and clear lesions never touch, or the label would be undecidable.

    Attributes:
        focus_contrast: of equivocal foci.
        focus_diameter_mm: of equivocal foci.
        clear_contrast: of clear lesions among the negatives.
        clear_diameter_mm: of clear lesions.
        quality_share: share of the positives that are caused by inadequate DWI.
        clear_rate: share of the negatives with a clear lesion.
        confound_rate: share of the negatives with a wedge-shaped or diffuse change.
        mild_rate: share of the negatives with a mild loss of quality.
        severity: of inadequate DWI, 1 is the worst.
        mild_severity: of a mild loss of quality.
        label_noise: share of the patients whose images are drawn from the other class.
    """

    focus_contrast: Range
    focus_diameter_mm: Range
    clear_contrast: Range
    clear_diameter_mm: Range
    quality_share: float
    clear_rate: float
    confound_rate: float
    mild_rate: float
    severity: Range
    mild_severity: Range
    label_noise: float


PRESETS = {
    "easy": Preset(
        focus_contrast=(0.75, 1.05),
        focus_diameter_mm=(14.0, 20.0),
        clear_contrast=(1.20, 1.50),
        clear_diameter_mm=(10.0, 20.0),
        quality_share=0.4,
        clear_rate=0.0,
        confound_rate=0.20,
        mild_rate=0.12,
        severity=(0.40, 1.0),
        mild_severity=(0.05, 0.25),
        label_noise=0.0,
    ),
    "default": Preset(
        focus_contrast=(0.60, 0.95),
        focus_diameter_mm=(11.0, 17.0),
        clear_contrast=(1.20, 1.50),
        clear_diameter_mm=(10.0, 20.0),
        quality_share=0.45,
        clear_rate=0.06,
        confound_rate=0.25,
        mild_rate=0.15,
        severity=(0.35, 1.0),
        mild_severity=(0.05, 0.30),
        label_noise=0.02,
    ),
}


@dataclass(frozen=True)
class Scanner:
    """How one scanner acquires: grids, timing, noise.

    Attributes:
        name: recorded as `vendor` in the datalist.
        t2_shape: columns, rows, slices of the T2w series.
        t2_spacing: in mm, between slice centres along z.
        t2_te: echo time in ms.
        t2_snr: signal of peripheral zone over the noise's standard deviation.
        dwi_shape: columns, rows, slices of the diffusion series.
        dwi_spacing: in mm.
        dwi_te: echo time in ms.
        dwi_snr: of peripheral zone at the lowest b-value.
        b_values: acquired, in s/mm².
        averages: by b-value; noise falls with their square root.
        gain: stored value of full proton density.
    """

    name: str
    t2_shape: tuple[int, int, int]
    t2_spacing: tuple[float, float, float]
    t2_te: float
    t2_snr: float
    dwi_shape: tuple[int, int, int]
    dwi_spacing: tuple[float, float, float]
    dwi_te: float
    dwi_snr: float
    b_values: tuple[float, ...]
    averages: tuple[int, ...]
    gain: float


SCANNERS = (
    Scanner(
        "vendor_a", (224, 224, 22), (0.75, 0.75, 3.0), 101.0, 22.0,
        (84, 112, 22), (2.0, 2.0, 3.0), 63.0, 60.0, (50.0, 400.0, 800.0), (1, 3, 8), 1400.0,
    ),
    Scanner(
        "vendor_b", (192, 192, 20), (0.9, 0.9, 3.3), 90.0, 26.0,
        (92, 92, 20), (1.9, 1.9, 3.3), 75.0, 56.0, (0.0, 500.0, 1000.0), (1, 4, 12), 900.0,
    ),
    Scanner(
        "vendor_c", (240, 240, 19), (0.7, 0.7, 3.6), 110.0, 18.0,
        (88, 88, 19), (2.1, 2.1, 3.6), 70.0, 54.0, (50.0, 900.0), (2, 10), 2600.0,
    ),
)  # fmt: skip
SCANNER_SHARES = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class PatientPlan:
    """Which patient: everything that its truth and its images are drawn from."""

    seed: int
    split: str
    number: int
    prevalence: float
    difficulty: str

    @property
    def key(self) -> str:
        """The pseudonymous name of the patient and of its one study."""
        return (
            f"syn{self.seed}-{self.number:04d}"
            if self.split == "training"
            else f"syn{self.seed}-test-{self.number:04d}"
        )

    def rng(self, stream: int) -> np.random.Generator:
        """An independent stream of random numbers of this patient."""
        return np.random.default_rng([self.seed, int(self.split == "test"), self.number, stream])

    @property
    def label(self) -> int:
        """1 when DCE is needed; exactly ``round(n * prevalence)`` of the first n patients have it."""
        return _count(self.number + 1, self.prevalence) - _count(self.number, self.prevalence)


@dataclass(frozen=True)
class Truth:
    """What is so in a patient, beside the images: the latent columns of the datalist.

    Attributes:
        label: 1 when DCE is needed.
        reason: what decides it.
        contrast: of the focus, lesion or benign change; 0 without one.
        diameter_mm: of the focus or lesion; 0 without one.
        severity: of the loss of DWI quality, 0 to 1.
        artefact: which loss of quality; empty without one.
        vendor: name of the scanner profile.
        patient_position: HFS or FFS.
    """

    label: int
    reason: str
    contrast: float
    diameter_mm: float
    severity: float
    artefact: str
    vendor: str
    patient_position: str

    def columns(self) -> dict[str, str | int | float]:
        """The truth as columns of a datalist entry, but the label."""
        return {name: value for name, value in asdict(self).items() if name != "label"}

    @property
    def scanner(self) -> Scanner:
        """The scanner profile of `vendor`."""
        return next(scanner for scanner in SCANNERS if scanner.name == self.vendor)


def preset(difficulty: str) -> Preset:
    """The preset of that name.

    Raises:
        ArgumentError: there is none.
    """
    if difficulty not in PRESETS:
        raise ArgumentError(f"`difficulty` is '{difficulty}'; choose one of {sorted(PRESETS)}.")
    return PRESETS[difficulty]


def draw_truth(plan: PatientPlan) -> Truth:
    """The latent truth of one patient, without rendering it."""
    chosen, rng = preset(plan.difficulty), plan.rng(0)
    scanner = SCANNERS[int(rng.choice(len(SCANNERS), p=SCANNER_SHARES))].name
    position = "FFS" if rng.random() < 0.4 else "HFS"
    looks_positive = bool(plan.label) != (rng.random() < chosen.label_noise)
    rank = _count(plan.number, plan.prevalence)
    cause = _positive_cause(chosen, rank, rng) if looks_positive else _negative_cause(chosen, rng)
    contrast, diameter = _lesion(chosen, cause, rng)
    severity, artefact = _quality(chosen, cause, rng)
    return Truth(
        plan.label, cause.value, round(contrast, 3), round(diameter, 2), round(severity, 3), artefact, scanner, position
    )


def _count(n: int, share: float) -> int:
    """How many of the first n have what a share of all have: rounded, halves up."""
    return math.floor(n * share + 0.5 + 1e-9)


def _positive_cause(chosen: Preset, rank: int, rng: np.random.Generator) -> Cause:
    drawn = QUALITY_CAUSES[int(rng.integers(len(QUALITY_CAUSES)))]
    inadequate = _count(rank + 1, chosen.quality_share) > _count(rank, chosen.quality_share)
    return drawn if inadequate else Cause.EQUIVOCAL_FOCUS


def _negative_cause(chosen: Preset, rng: np.random.Generator) -> Cause:
    shares = (chosen.clear_rate, chosen.confound_rate / 2, chosen.confound_rate / 2, chosen.mild_rate)
    causes = (Cause.CLEAR_LESION, Cause.WEDGE, Cause.DIFFUSE, Cause.MILD_QUALITY_LOSS, Cause.NORMAL)
    return causes[int(rng.choice(len(causes), p=(*shares, 1 - sum(shares))))]


def _lesion(chosen: Preset, cause: Cause, rng: np.random.Generator) -> Range:
    """Contrast and diameter in mm."""
    if cause is Cause.EQUIVOCAL_FOCUS:
        return rng.uniform(*chosen.focus_contrast), rng.uniform(*chosen.focus_diameter_mm)
    if cause is Cause.CLEAR_LESION:
        return rng.uniform(*chosen.clear_contrast), rng.uniform(*chosen.clear_diameter_mm)
    if cause in {Cause.WEDGE, Cause.DIFFUSE}:
        return rng.uniform(0.35, 0.7), 0.0
    return 0.0, 0.0


def _quality(chosen: Preset, cause: Cause, rng: np.random.Generator) -> tuple[float, str]:
    """Severity and kind of the loss of DWI quality."""
    if cause in QUALITY_CAUSES:
        return rng.uniform(*chosen.severity), cause.value
    if cause is Cause.MILD_QUALITY_LOSS:
        return rng.uniform(*chosen.mild_severity), QUALITY_CAUSES[int(rng.integers(3))].value
    return 0.0, ""
