"""The rules that choose series, as data: patterns, limits, and the order of tie-breaks.

They carry a version for people and a hash for results: two studies chosen under the same `rules_sha256` were chosen
alike. Numbers are in the units of DICOM (ms, mm, s/mm²). `series_roles` and `series_selection` apply them.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache

RULES_VERSION = "6"  # raised with every change of what is chosen; the hash changes by itself


@dataclass(frozen=True)
class RoleRules:
    """What makes a series an ADC map, a calculated b-value, diffusion or axial T2; patterns match upper case."""

    adc_description: str = r"(^|[^A-Z])D?ADC([^A-Z]|$)|APPARENT DIFFUSION"
    map_kinds: frozenset[str] = frozenset({"ADC", "FA", "EXP", "EADC"})  # told apart within one series
    map_types: tuple[str, ...] = ("FA", "EXP", "EADC", "TENSOR")
    map_description: str = r"(?<![A-Z])(FA|COLFA|EADC|EXP(ONENTIAL)?|TENSOR)(?![A-Z])|ANISOTROPY"
    calculated_types: tuple[str, ...] = ("CALC_BVAL",)  # beginnings
    calculated_description: str = r"CALC_?BVAL|SYNTHETIC|CALCULATED|(?<![A-Z])[SC]B\d{3,4}"  # Philips: sB1400
    calculated_sequence: str = r"ep_b\d+_\d+"
    acquired_sequence: str = r"ep_b(\d+)(?!\d|_\d)"
    acquired_description: str = (
        r"(?<![A-Z])B[ _=]?\d{1,4}([ _,;/+-]+B?[ _=]?\d{1,4})+(?!\d)"  # b50_b800: what was measured
    )
    diffusion_types: tuple[str, ...] = ("DIFFUSION", "TRACEW")
    diffusion_description: str = r"DWI|DIFF"  # of an echo-planar series
    not_t2_description: str = r"(?<![A-Z])(STIR|TIRM|FLAIR|MAP(S|PING)?(?![A-Z]))"
    other_use_description: str = r"(?<![A-Z])(LOC|SCOUT|SURVEY|T1|DCE|DYN(?!DIST)|TWIST|VIBE)"  # a use, no physics
    map_type: str = r"(?<![A-Z])MAP(?![A-Z])"  # in a part of ImageType: T2 MAP
    phase_types: tuple[str, ...] = ("P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY")  # no magnitude
    fat_options: str = r"^S?FS|^FAT|^WE$|SPA?IR"  # an item of ScanOptions
    fat_description: str = r"(?<![A-Z])(FS|FAT[ _-]?SAT|SPA?IR|M?DIXON|WATER|WE)(?![A-Z])"
    water_types: tuple[str, ...] = ("W", "WATER", "WATER_ONLY")  # of a Dixon series: fat is left out
    fat_image_types: tuple[str, ...] = ("F", "FAT", "FAT_ONLY", "OP", "OPP_PHASE", "OUT_PHASE", "FF", "FAT_FRACTION")
    fat_image_description: str = (
        r"^FAT *:|(?<![A-Z])FAT[ _-]?(ONLY|FRACTION)|(?<![A-Z])(OPP(OSED)?|OUT)([ _-]?OF)?[ _-]?PHASE"
        r"|(DIXON|IDEAL|FLEX).*[ _-](F|FAT|OPP|OUT)$|(?<![A-Z])FAT(?![ _-]?S).*(DIXON|IDEAL|FLEX)"
    )
    contrast_description: str = r"(?<![A-Z])((POST|DELAY(ED)?|KM|GD|GADO[A-Z]*)(?![A-Z])|C ?\+)|\+ ?C(?![A-Z])"
    no_contrast_description: str = r"(?<![A-Z])(NO|NON|OHNE|VOR|PRE|WITHOUT|W/O)[ _-]*(KM|GD|GADO[A-Z]*)(?![A-Z])"
    dynamic_description: str = r"(?<![A-Z])(DCE|DYN(?!DIST)|TWIST|DISCO|TRICKS|GRASP)"  # of a gradient echo
    reversed_description: str = r"(?<![A-Z])(PA|RPE|REV[A-Z]*|BLIP[A-Z]*|TOPUP)(?![A-Z])"  # of diffusion at b 0
    b_values_agree: float = 0.05  # of the larger: between the places that state one
    t2_echo_time: float = 60.0  # at least
    t2_repetition_time: float = 1000.0  # more than
    named_t2_echo_time: float = 40.0  # at least, where a person named the series
    no_direction: float = 0.01  # length of a direction in a `.bvec` file: less is none
    unit_direction: float = 0.05  # by how much its length may differ from 1
    trace_isotropy: float = 0.10  # from a third: the share of an axis in directions that make a trace
    axial_cosine: float = 0.80  # tilts up to 42° have been seen
    t2_positions: int = 10  # at least


@dataclass(frozen=True)
class ChoiceRules:
    """Between candidates of one role, the first rule that tells them apart decides; names as in reports."""

    t2: tuple[str, ...] = (
        "in the frame of reference of the DWI",
        "covers the DWI",
        "original, not derived",
        "without fat suppression",
        "before contrast",
        "the smallest in-plane spacing",
        "complete",
        "the latest acquisition",
    )
    dwi: tuple[str, ...] = (
        "several acquired b-values",
        "the highest b-value from 800 to 1500",
        "complete",
        "an ADC series on its grid",
        "one image for each position",
    )
    adc: tuple[str, ...] = ("complete",)
    adc_after: float = 60.0  # s: how long after the last image of its DWI a map may be dated
    high_b: tuple[float, float] = (800.0, 1500.0)
    t2_between_alike: str = "the smallest in-plane spacing"  # from here on, only T2 acquired alike are told apart
    t2_by_time: str = "the latest acquisition"  # only where all tell it
    t2_echo_times_alike: float = 0.10  # of the larger
    t2_repetition_times_alike: float = 0.30  # of the larger: it follows the number of slices
    t2_clearly_finer: float = 0.80  # of the in-plane spacing of a T2 of another weighting
    dwi_finer: float = 0.95  # of in-plane spacing or gap: one that lost is finer
    covered: float = 0.80  # share of the DWI's extent along the T2's normal


@dataclass(frozen=True)
class GeometryRules:
    """When slices make one regular stack."""

    same_direction: float = 0.9999  # smallest cosine between slices of one stack: 0.8°
    same_position: float = 0.1  # mm: images closer than this lie at one position
    gap_tolerance: float = 0.15  # of the median gap
    in_line: float = 0.1  # mm a slice may lie beside the normal through the middle of all
    same_corner: float = 0.1  # mm between the far corners of two slices that have one spacing and orientation
    location_agrees: float = 0.02  # mm: SliceLocation measures the position when most images agree to this
    stated_gap: float = 1.5  # mm: less in Spacing Between Slices may be the space between the edges of slices
    stated_agrees: float = 0.01  # of Spacing Between Slices
    spacing_tolerance: float = 1e-3  # mm, between series


ROLES = RoleRules()
CHOICE = ChoiceRules()
GEOMETRY = GeometryRules()


@cache
def rules_sha256() -> str:
    """The hash of every rule, for results to carry."""
    rules = {"version": RULES_VERSION, "roles": asdict(ROLES), "choice": asdict(CHOICE), "geometry": asdict(GEOMETRY)}
    return hashlib.sha256(json.dumps(rules, sort_keys=True, default=sorted).encode()).hexdigest()
