"""How four vendors write prostate MRI as DICOM: names, image types, and where each puts the b-value.

The conventions are those seen in public collections (PROSTATEx, PI-CAI and their kin). Grids are coarse, so that a
test can write and read hundreds of examinations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydicom.dataset import Dataset

from prostate_alm.datasets.synthetic.presets import Scanner

ORIGINAL = ("ORIGINAL", "PRIMARY")
DERIVED = ("DERIVED", "PRIMARY")


class Kind(StrEnum):
    """What a series of an examination is."""

    LOCALIZER = "localizer"
    T2_SAGITTAL = "sagittal T2w"
    T2 = "axial T2w"
    T1 = "axial T1w"
    DIRECTIONS = "diffusion directions"
    MOSAIC = "mosaic of diffusion directions"
    DWI = "diffusion"
    ADC = "ADC"
    CALCULATED = "calculated b"
    FA = "fractional anisotropy"
    TENSOR = "diffusion tensor"
    EXPONENTIAL = "exponential ADC"
    DCE = "dynamic contrast-enhanced"


@dataclass(frozen=True)
class SeriesStyle:
    """What a vendor says of a kind of series.

    Attributes:
        description: SeriesDescription.
        image_type: ImageType.
        scanning: ScanningSequence.
        sequence_name: SequenceName, with ``{b}``, ``{low}`` and ``{high}`` to be filled in; empty for none.
    """

    description: str
    image_type: tuple[str, ...]
    scanning: tuple[str, ...] = ("SE",)
    sequence_name: str = ""


@dataclass(frozen=True)
class Vendor:
    """A scanner's way to write DICOM.

    Attributes:
        name: of the profile.
        manufacturer, model: as in the header.
        scanner: grids, timing and b-values.
        styles: by kind of series.
        write_b_value: puts a b-value in s/mm² into an image, where this vendor keeps it.
        protocol: ProtocolName of every series, which names what was planned and misleads; empty takes the
            description.
        slope: RescaleSlope of every image, a power of two; 0 where the vendor writes none.
        counts_images: whether original images say how many their acquisition has.
        series_per_time_point: whether each DCE time point is a series of its own.
        has_mosaics: whether diffusion directions are stored as mosaics.
    """

    name: str
    manufacturer: str
    model: str
    scanner: Scanner
    styles: Mapping[Kind, SeriesStyle]
    write_b_value: Callable[[Dataset, float], None]
    protocol: str = ""
    slope: float = 0.0
    counts_images: bool = False
    series_per_time_point: bool = False
    has_mosaics: bool = False


def _siemens_b_value(image: Dataset, b: float) -> None:
    """(0019,100C), of VR OB and padded with a blank, as older scanners write it."""
    text = f"{b:.0f}".encode()
    image.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "OB", text + b" " * (len(text) % 2))


def _ge_b_value(image: Dataset, b: float) -> None:
    """(0043,1039), the first of four numbers, with 10⁹ added."""
    value = [int(b) + 1_000_000_000 if b else 0, 8, 0, 0]
    image.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", value)


def _philips_b_value(image: Dataset, b: float) -> None:
    """(2001,1003), a float, beside the direction in (2001,1004) and the EPI factor in (2001,1013)."""
    block = image.private_block(0x2001, "Philips Imaging DD 001", create=True)
    block.add_new(0x03, "FL", b)
    block.add_new(0x04, "CS", "I")
    block.add_new(0x13, "SL", 47)


def _standard_b_value(image: Dataset, b: float) -> None:
    """(0018,9087) of the standard."""
    image.DiffusionBValue = b


def _siemens_styles(name: str, *, sequences: bool) -> dict[Kind, SeriesStyle]:
    """The series of a Siemens scanner, whose diffusion series begin with `name`."""
    map_type = (*DERIVED, "DIFFUSION")
    fitted = "*ep_b{low}_{high}" if sequences else ""
    turbo, planar = ("SE",), ("EP",)
    return {
        Kind.LOCALIZER: SeriesStyle("localizer", (*ORIGINAL, "M", "NORM"), ("GR",)),
        Kind.T2_SAGITTAL: SeriesStyle("t2_tse_sag", (*ORIGINAL, "M", "NORM"), turbo, "*tse2d1_25"),
        Kind.T2: SeriesStyle("t2_tse_tra", (*ORIGINAL, "M", "NORM"), turbo, "*tse2d1_25"),
        Kind.T1: SeriesStyle("t1_tse_tra", (*ORIGINAL, "M", "NORM"), turbo, "*tse2d1_3"),
        Kind.DIRECTIONS: SeriesStyle(
            name, (*ORIGINAL, "DIFFUSION", "NONE"), planar, "*ep_b{b}#{direction}" if sequences else ""
        ),
        Kind.MOSAIC: SeriesStyle(name, (*ORIGINAL, "DIFFUSION", "NONE", "MOSAIC"), planar, "*ep_b{b}#1"),
        Kind.DWI: SeriesStyle(f"{name}_TRACEW", (*map_type, "TRACEW"), planar, "*ep_b{b}t" if sequences else ""),
        Kind.ADC: SeriesStyle(f"{name}_ADC", (*map_type, "ADC"), planar, fitted),
        Kind.CALCULATED: SeriesStyle(f"{name}_CALC_BVAL", (*map_type, "TRACEW"), planar, fitted),
        Kind.FA: SeriesStyle(f"{name}_FA", (*map_type, "FA"), planar, fitted),
        Kind.TENSOR: SeriesStyle(f"{name}_TENSOR", (*map_type, "TENSOR"), planar, fitted),
        Kind.EXPONENTIAL: SeriesStyle(f"{name}_EXP", (*map_type, "EXP"), planar, fitted),
        Kind.DCE: SeriesStyle("t1_twist_tra_dyn", (*ORIGINAL, "M"), ("GR",), "*fldyn3d1"),
    }


_GE_STYLES = {
    Kind.LOCALIZER: SeriesStyle("3-Plane Loc", (*ORIGINAL, "OTHER"), ("GR",)),
    Kind.T2_SAGITTAL: SeriesStyle("Sag T2 FRFSE", (*ORIGINAL, "OTHER")),
    Kind.T2: SeriesStyle("Ax T2 FRFSE PROSTATE", (*ORIGINAL, "OTHER")),
    Kind.T1: SeriesStyle("Ax FSE PELVIS", (*ORIGINAL, "OTHER")),
    Kind.DIRECTIONS: SeriesStyle("Axial FOCUS DTI", (*ORIGINAL, "OTHER"), ("EP", "SE")),
    Kind.DWI: SeriesStyle("Axial FOCUS DWI", (*ORIGINAL, "OTHER"), ("EP", "SE")),
    Kind.ADC: SeriesStyle(
        "Apparent Diffusion Coefficient (mm\u00b2/s)", ("DERIVED", "SECONDARY", "PROCESSED"), ("EP", "SE")
    ),
    Kind.CALCULATED: SeriesStyle("DW_Synthetic: Axial FOCUS DWI", ("DERIVED", "SECONDARY", "PROCESSED"), ("EP", "SE")),
    Kind.FA: SeriesStyle("Fractional Anisotropy", ("DERIVED", "SECONDARY", "PROCESSED"), ("EP", "SE")),
    Kind.TENSOR: SeriesStyle("T2-weighted trace", ("DERIVED", "SECONDARY", "PROCESSED"), ("EP", "SE")),
    Kind.EXPONENTIAL: SeriesStyle(
        "Exponential Apparent Diffusion Coefficient", ("DERIVED", "SECONDARY", "PROCESSED"), ("EP", "SE")
    ),
    Kind.DCE: SeriesStyle("Ax DISCO", (*ORIGINAL, "OTHER"), ("GR",)),
}

_PHILIPS_STYLES = {
    Kind.LOCALIZER: SeriesStyle("Survey", (*ORIGINAL, "M_FFE", "M", "FFE"), ("GR",)),
    Kind.T2_SAGITTAL: SeriesStyle("T2 TSE sag hi", (*ORIGINAL, "M_SE", "M", "SE")),
    Kind.T2: SeriesStyle("T2 TSE ax hi", (*ORIGINAL, "M_SE", "M", "SE")),
    Kind.T1: SeriesStyle("TSE ax", (*ORIGINAL, "M_SE", "M", "SE")),
    Kind.DIRECTIONS: SeriesStyle("SShDTI", (*ORIGINAL, "M_SE", "M", "SE")),
    Kind.DWI: SeriesStyle("SShDWI FAST", (*ORIGINAL, "M_SE", "M", "SE")),
    Kind.ADC: SeriesStyle("dSShDWI SENSE", (*DERIVED, "ADC", "ADC", "UNSPECIFIED")),
    Kind.CALCULATED: SeriesStyle("sB1400", (*DERIVED, "M_SE", "M", "SE")),
    Kind.FA: SeriesStyle("dReg - FA", (*DERIVED, "FA", "FA", "UNSPECIFIED")),
    Kind.TENSOR: SeriesStyle("dReg - DTI", (*DERIVED, "TENSOR", "M", "UNSPECIFIED")),
    Kind.EXPONENTIAL: SeriesStyle("eSShDWI SENSE", (*DERIVED, "EADC", "EADC", "UNSPECIFIED")),
    Kind.DCE: SeriesStyle("WIP tra 4D", (*ORIGINAL, "M_FFE", "M", "FFE"), ("GR",)),
}


def _scanner(
    name: str, t2: tuple[int, int, float], dwi: tuple[int, int, float], gap: float, b_values: tuple[float, ...]
) -> Scanner:
    """Columns, rows and in-plane spacing of T2w and diffusion; about 50 mm of slices."""
    slices, averages = round(50 / gap), tuple(range(1, len(b_values) + 1))
    return Scanner(
        name, (*t2[:2], slices), (t2[2], t2[2], gap), 101.0, 30.0,
        (*dwi[:2], slices), (dwi[2], dwi[2], gap), 66.0, 90.0, b_values, averages, 1400.0,
    )  # fmt: skip


SIEMENS = Vendor(
    "siemens", "SIEMENS", "Skyra", _scanner("siemens", (60, 64, 2.5), (40, 48, 4.0), 3.6, (50.0, 400.0, 800.0)),
    _siemens_styles("ep2d_diff_tra_DYNDIST", sequences=True), _siemens_b_value,
    series_per_time_point=True, has_mosaics=True,
)  # fmt: skip
GE = Vendor(
    "ge", "GE MEDICAL SYSTEMS", "DISCOVERY MR750",
    _scanner("ge", (64, 64, 2.4), (44, 44, 3.6), 4.0, (0.0, 500.0, 1000.0)),
    _GE_STYLES, _ge_b_value, protocol="PROSTATE DCE W_T1 MAPPING", counts_images=True,
)  # fmt: skip
PHILIPS = Vendor(
    "philips", "Philips Medical Systems", "Ingenia",
    _scanner("philips", (64, 60, 2.6), (48, 44, 3.8), 3.3, (0.0, 400.0, 800.0)),
    _PHILIPS_STYLES, _philips_b_value, slope=0.5,
)  # fmt: skip
SIEMENS_XA = Vendor(
    "siemens_xa", "Siemens Healthineers", "MAGNETOM Vida",
    _scanner("siemens_xa", (56, 64, 2.7), (40, 40, 4.2), 3.0, (50.0, 1000.0)),
    _siemens_styles("ep2d_diff_b50_b1000_tra", sequences=False), _standard_b_value, has_mosaics=True,
)  # fmt: skip
VENDORS = (SIEMENS, GE, PHILIPS, SIEMENS_XA)


def named(style: SeriesStyle, description: str) -> SeriesStyle:
    """The same style under another description."""
    return replace(style, description=description)
