"""The diffusion b-value of one image, from wherever its vendor wrote it.

Order of trust: the standard's (0018,9087); Siemens (0019,100C), often VR OB with a padded string; GE (0043,1039),
first number, with 10⁹ added; Philips (2001,1003); the b in Siemens' SequenceName (``*ep_b50t``); a single
``b800`` in the SeriesDescription. Never the ProtocolName, which names what was planned.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prostate_alm.readers.header import Values
from prostate_alm.readers.rules import ROLES

STANDARD_TAG = 0x0018_9087
SIEMENS_TAG = 0x0019_100C
GE_TAG = 0x0043_1039
PHILIPS_TAG = 0x2001_1003
_PRIVATE_BLOCKS = range(0x10, 0x15)  # where a creator's block usually lies, and where it moves when others were first
_MANUFACTURER, _SERIES_DESCRIPTION, _SEQUENCE = 0x0008_0070, 0x0008_103E, 0x0018_0024

_SEQUENCE_NAME = re.compile(r"ep_b(\d+)(?!\d|_\d)")  # not `ep_b50_800`: that is a map or a calculated image
_DESCRIPTION = re.compile(r"(?<![A-Z])B[ _=]?(\d{2,4})(?!\d|[ _,;/-]+\d{2})", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?")
_GE_OFFSET = 1e9
_LARGEST = 10_000.0


class BValueSource(StrEnum):
    """Where a b-value was read."""

    STANDARD = "(0018,9087)"
    SIEMENS = "Siemens (0019,100C)"
    GE = "GE (0043,1039)"
    PHILIPS = "Philips (2001,1003)"
    SEQUENCE_NAME = "SequenceName"
    DESCRIPTION = "SeriesDescription"


_VENDORS = (
    (BValueSource.SIEMENS, SIEMENS_TAG, "SIEMENS"),
    (BValueSource.GE, GE_TAG, "GE"),
    (BValueSource.PHILIPS, PHILIPS_TAG, "PHILIPS"),
)
B_VALUE_TAGS = (
    STANDARD_TAG,
    *(
        tag & 0xFFFF_0000 | offset
        for _, tag, _ in _VENDORS
        for block in _PRIVATE_BLOCKS
        for offset in (block, block << 8 | tag & 0xFF)
    ),
)


@dataclass(frozen=True)
class BValue:
    """A b-value in s/mm², rounded to a whole number, and where it was read."""

    value: float
    source: BValueSource


def read_b_value(values: Values) -> BValue | None:
    """The b-value of an image; None when no place holds one between 0 and 10 000 s/mm², or two contradict each other.

    Elements, or an element and a SequenceName, that say different things are a damaged header, and nobody knows which
    is right.

    Args:
        values: of a header, by tag.
    """
    found = list(_from_elements(values))
    if not found:
        return _from_text(values)
    stated = [one.value for one in found]
    named = _SEQUENCE_NAME.search(str(values.get(_SEQUENCE, "")))
    if named:
        stated.append(float(named[1]))
    return found[0] if max(stated) - min(stated) <= ROLES.b_values_agree * max(stated) else None


def _from_elements(values: Values) -> Iterator[BValue]:
    """What each element says, the most trusted first."""
    vendor = str(values.get(_MANUFACTURER, "")).upper()
    for source, element in _places(values, vendor):
        number = _first_number(values[element]) if element in values else None
        if number is not None and source is BValueSource.GE and number >= _GE_OFFSET:
            number -= _GE_OFFSET
        if number is not None and 0 <= number <= _LARGEST:
            yield BValue(float(round(number)), source)


def _places(values: Values, vendor: str) -> Iterator[tuple[BValueSource, int]]:
    """Elements to look in; a private block belongs to its creator, or to the Manufacturer when that was removed."""
    yield BValueSource.STANDARD, STANDARD_TAG
    for source, tag, name in _VENDORS:
        group = tag & 0xFFFF_0000
        for block in _PRIVATE_BLOCKS:
            element = group | block << 8 | tag & 0xFF
            if element in values:
                creator = str(values.get(group | block, "")).upper()
                if creator.startswith(name) or (not creator and block == 0x10 and vendor.startswith(name)):
                    yield source, element


def _first_number(value: object) -> float | None:
    """The first number in a private element, whatever VR the writer gave it."""
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value).split(b"\\")[0].strip(b" \0").decode("ascii", errors="replace")
        if not _NUMBER.fullmatch(text):
            return float(struct.unpack("<f", value)[0]) if len(value) == 4 else None
        return float(text)
    if isinstance(value, str):
        text = value.split("\\")[0].strip(" \0")
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Sequence) and len(value) > 0:  # a pydicom MultiValue
        return _first_number(value[0])
    return None


def _from_text(values: Values) -> BValue | None:
    found = _SEQUENCE_NAME.search(str(values.get(_SEQUENCE, "")))
    if found:
        return BValue(float(found[1]), BValueSource.SEQUENCE_NAME)
    named = _DESCRIPTION.findall(str(values.get(_SERIES_DESCRIPTION, "")))
    return BValue(float(named[0]), BValueSource.DESCRIPTION) if len(named) == 1 else None
