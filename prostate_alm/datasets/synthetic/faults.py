"""What goes wrong in real archives, one at a time, with what a reader may make of it.

A fault acts on the volumes, as they are acquired (`corpus.draw_study`) or before they are written (`study_faults`), on
the list of series (`series_faults`), or on the written files (`file_faults`).
Its rule says in which layouts it can happen, whether the right study can still be
read, and for which reasons a refusal is right. Anything else is wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.errors import Reason


class Fault(StrEnum):
    """One thing that is wrong with an examination, or that merely looks odd."""

    # on the volumes
    ADC_TENTH = "ADC a tenth of its unit"
    ADC_ZERO = "ADC zero in the gland"
    T2_SATURATED = "T2 saturated"
    DWI_CONSTANT = "high b constant"
    T2_DWI_APART = "T2 and DWI apart"
    SINGLE_B = "a single b-value"
    OBLIQUE = "oblique"
    ANISOTROPIC = "anisotropic pixels"
    FEET_FIRST = "feet first"
    FIELD_SMALL = "field of view too small"
    MOTION = "motion in the diffusion"
    METAL = "metal beside the gland"
    # on the series
    NO_T2 = "no T2"
    NO_DWI = "no DWI"
    NO_ADC = "no ADC"
    SINGLE_B_NO_ADC = "a single b-value, no ADC"
    MOSAIC_ONLY = "mosaic only"
    TWO_FIELDS_OF_VIEW = "two T2 with different fields of view"
    EQUAL_T2 = "two T2 that nothing tells apart"
    CONTRAST_GIVEN = "contrast agent given before"
    # on the files
    ADC_THOUSANDTH = "ADC a thousandth of its unit"
    INNER_SLICE_LOST = "inner slice lost"
    EDGE_SLICE_LOST = "edge slice lost"
    SLICE_DOUBLED = "slice doubled"
    SLICE_TILTED = "slice tilted"
    SPACING_MIXED = "pixel spacing mixed"
    NUMBERS_SHUFFLED = "instance numbers shuffled"
    SERIES_MERGED = "two series under one UID"
    DESCRIPTIONS_SWAPPED = "descriptions of T2 and diffusion swapped"
    OTHER_OBJECTS = "reports and screenshots among the images"
    FOLDER_PER_SERIES = "a folder for each series"
    SLOPE_PER_SLICE = "rescale slope per slice"
    FRAME_DIFFERS = "frame of reference differs"
    EMPTY_FILE = "empty file"
    TRUNCATED_FILE = "truncated file"
    CANARY = "a name in every patient tag"
    FOREIGN_SLICE = "a slice of another patient"
    NOT_ASCII = "descriptions that are not ASCII"
    PRIVATE_UNKNOWN = "private tags of unknown type"
    IMPLICIT_TYPES = "implicit value representations"


SINGLE_FRAMES = frozenset(Layout) - {Layout.ENHANCED, Layout.MIXED_TREE, Layout.NIFTI, Layout.MHA}
DICOM = SINGLE_FRAMES | {Layout.ENHANCED}
ANY = DICOM | {Layout.NIFTI, Layout.MHA}
NO_ADC_CODES = (Reason.ADC_OUT_OF_RANGE, Reason.ADC_SCALE_UNKNOWN, Reason.VOLUME_CONSTANT, Reason.ADC_DISAGREES)


@dataclass(frozen=True)
class FaultRule:
    """What may come of a fault.

    Attributes:
        layouts: where it can happen.
        readable: whether the right study may still be read.
        reasons: for which a refusal is right; empty where it has to be read.
    """

    layouts: frozenset[Layout]
    readable: bool
    reasons: frozenset[Reason]


def _rule(layouts: Iterable[Layout], *reasons: Reason, readable: bool = False) -> FaultRule:
    return FaultRule(frozenset(layouts), readable, frozenset(reasons))


_BROKEN = (Reason.INPUT_UNREADABLE, Reason.PIXELS_UNREADABLE)
_DIFFUSION_FAMILIES = frozenset(
    {Layout.SERIES_PER_B, Layout.DIRECTIONS_ONLY, Layout.DIRECTIONS_AND_TRACE, Layout.DTI_FAMILY}
)
_ONE_DWI = SINGLE_FRAMES - _DIFFUSION_FAMILIES

RULES: dict[Fault, FaultRule] = {
    Fault.ADC_TENTH: _rule(ANY, Reason.ADC_OUT_OF_RANGE, Reason.ADC_SCALE_UNKNOWN, readable=True),
    Fault.ADC_ZERO: _rule(ANY, *NO_ADC_CODES),
    Fault.T2_SATURATED: _rule(ANY, Reason.VOLUME_SATURATED),
    Fault.DWI_CONSTANT: _rule(ANY - _DIFFUSION_FAMILIES, Reason.VOLUME_CONSTANT),
    Fault.T2_DWI_APART: _rule(ANY, Reason.COVERAGE_LOW),
    Fault.SINGLE_B: _rule(_ONE_DWI - {Layout.CALCULATED_B}, readable=True),
    Fault.OBLIQUE: _rule(ANY, readable=True),
    Fault.ANISOTROPIC: _rule(ANY, readable=True),
    Fault.FEET_FIRST: _rule(DICOM, readable=True),
    Fault.FIELD_SMALL: _rule(ANY, Reason.COVERAGE_LOW, Reason.FIELD_OF_VIEW_SMALL),
    Fault.MOTION: _rule(ANY - {Layout.MHA}, Reason.MOTION_SUSPECTED),  # at high b alone, a blur shows no copy
    Fault.METAL: _rule(ANY - {Layout.MHA}, Reason.SUSCEPTIBILITY_SUSPECTED),
    Fault.NO_T2: _rule(ANY, Reason.T2_MISSING),
    Fault.NO_DWI: _rule(ANY, Reason.DWI_MISSING),
    Fault.NO_ADC: _rule(ANY - {Layout.MHA}, readable=True),
    Fault.SINGLE_B_NO_ADC: _rule(_ONE_DWI - {Layout.CALCULATED_B}, Reason.ADC_MISSING),
    Fault.MOSAIC_ONLY: _rule({Layout.MULTI_B, Layout.DISK, Layout.ZIP}, Reason.DWI_MISSING),
    Fault.TWO_FIELDS_OF_VIEW: _rule(_ONE_DWI, readable=True),
    Fault.EQUAL_T2: _rule(_ONE_DWI - {Layout.REPEATED_T2}, Reason.SERIES_AMBIGUOUS),
    Fault.CONTRAST_GIVEN: _rule(DICOM, Reason.CONTRAST_GIVEN),
    Fault.ADC_THOUSANDTH: _rule(DICOM, Reason.ADC_OUT_OF_RANGE, Reason.ADC_SCALE_UNKNOWN, readable=True),
    Fault.INNER_SLICE_LOST: _rule(SINGLE_FRAMES, Reason.SLICE_MISSING, readable=True),
    Fault.EDGE_SLICE_LOST: _rule(SINGLE_FRAMES, Reason.SLICE_MISSING, readable=True),
    Fault.SLICE_DOUBLED: _rule(SINGLE_FRAMES, Reason.SLICE_DUPLICATE, readable=True),
    Fault.SLICE_TILTED: _rule(SINGLE_FRAMES, Reason.ORIENTATION_MIXED, Reason.GEOMETRY_INVALID, readable=True),
    Fault.SPACING_MIXED: _rule(SINGLE_FRAMES, Reason.SPACING_MIXED, readable=True),
    Fault.NUMBERS_SHUFFLED: _rule(SINGLE_FRAMES, readable=True),
    Fault.SERIES_MERGED: _rule(
        SINGLE_FRAMES,
        *(Reason.SLICE_DUPLICATE, Reason.GEOMETRY_INVALID, Reason.ORIENTATION_MIXED, Reason.SPACING_MIXED),
        *(Reason.T2_MISSING, Reason.DWI_MISSING, Reason.ADC_MISSING, Reason.B_VALUE_UNKNOWN),
        *(Reason.SERIES_AMBIGUOUS, Reason.SLICE_MISSING),
        readable=True,
    ),
    Fault.DESCRIPTIONS_SWAPPED: _rule(DICOM - {Layout.DTI_FAMILY}, readable=True),
    Fault.OTHER_OBJECTS: _rule(DICOM, readable=True),
    Fault.FOLDER_PER_SERIES: _rule({Layout.MULTI_B, Layout.ENHANCED, Layout.ZIP}, readable=True),
    Fault.SLOPE_PER_SLICE: _rule(SINGLE_FRAMES, readable=True),
    Fault.FRAME_DIFFERS: _rule(DICOM, Reason.FRAME_OF_REFERENCE_DIFFERS),
    Fault.EMPTY_FILE: _rule(DICOM - {Layout.COMPRESSED}, Reason.INPUT_UNREADABLE),
    Fault.TRUNCATED_FILE: _rule(ANY - {Layout.COMPRESSED}, *_BROKEN),
    Fault.CANARY: _rule(DICOM, readable=True),
    Fault.FOREIGN_SLICE: _rule(SINGLE_FRAMES, Reason.MULTIPLE_PATIENTS, Reason.MULTIPLE_STUDIES),
    Fault.NOT_ASCII: _rule(DICOM, readable=True),
    Fault.PRIVATE_UNKNOWN: _rule(SINGLE_FRAMES, readable=True),
    Fault.IMPLICIT_TYPES: _rule(SINGLE_FRAMES - {Layout.COMPRESSED}, readable=True),
}
