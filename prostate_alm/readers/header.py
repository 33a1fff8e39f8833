"""One file's header, without its pixels: the few elements the readers use, and where the pixels lie.

Nearly every export is explicit VR little endian. Its top level is walked here, skipping by length what nobody asks for;
everything else goes through `pydicom.dcmread`. Values are pydicom's in both cases, and a value that many images of a
study share is converted once.

A walk of our own has two reasons. It takes a ninth of the time of pydicom's `specific_tags` (benchmark `import`), with
which a study would be read at a quarter of dcm2niix's speed. And it is stricter: tags must ascend and lengths must fit,
so a damaged length is noticed and does not swallow the elements behind it.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.tag import BaseTag

PIXEL_DATA = 0x7FE0_0010
UNDEFINED_LENGTH = 0xFFFF_FFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
_CHARACTER_SET = 0x0008_0005
_START_BYTES = 1 << 14  # a classic header has 4 to 12 kB
_LARGEST_VALUE = 1 << 20  # of an element that is asked for
_DEFER_BYTES = 4096
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_head = struct.Struct("<HH2sH").unpack_from
_long_length = struct.Struct("<I").unpack_from
_item_head = struct.Struct("<HHI").unpack_from

Values = Mapping[int, Any]
Raw = tuple[bytes, bytes]  # VR and value


class _Malformed:
    """Stands for a value that is there and can't be understood; absent ones are not in the mapping at all."""

    def __repr__(self) -> str:
        return "MALFORMED"


MALFORMED = _Malformed()


class _NeedMoreError(Exception):
    """The part of the file that was read ends within the header."""


class _UnusualError(Exception):
    """An encoding that is legal and not walked here."""


@dataclass(frozen=True)
class Pixels:
    """Where an image's stored values lie in its file.

    Attributes:
        offset: of the first byte of the value of PixelData.
        length: in bytes; None when encapsulated.
        syntax: transfer syntax UID.
    """

    offset: int
    length: int | None
    syntax: str


@dataclass(frozen=True, eq=False)
class Header:
    """What one file says.

    Attributes:
        path: the file.
        syntax: transfer syntax UID.
        stored_class: SOP class of the file meta information.
        values: pydicom's value of every element asked for that is there, by tag; `MALFORMED` where it has none.
        pixels: where the image is; None when there is none.
    """

    path: Path
    syntax: str
    stored_class: str
    values: Values
    pixels: Pixels | None


@dataclass
class HeaderReader:
    """Reads headers of one input; remembers conversions, so it must not outlive the reading of it.

    Attributes:
        tags: the elements to take.
    """

    tags: frozenset[int]
    _converted: dict[tuple[int, bytes, bytes, bytes], Any] = field(default_factory=dict, repr=False)

    def read(self, path: Path) -> Header:
        """The header of a DICOM file.

        Raises:
            EOFError: the file ends before its pixels do.
            Exception: whatever a corrupt header makes pydicom raise.
        """
        size = path.stat().st_size
        with path.open("rb", buffering=0) as stream:
            start = stream.read(_START_BYTES)
            meta = _file_meta(start)
            if meta is not None and meta.syntax not in {IMPLICIT_LITTLE_ENDIAN, BIG_ENDIAN, DEFLATED}:
                try:
                    raw, pixels = self._walk_growing(stream, start, meta, size)
                except _UnusualError:
                    return self._through_pydicom(path, size)
                if pixels is not None and pixels.length is None:
                    _check_fragments(stream, pixels.offset)
                return Header(path, meta.syntax, meta.stored_class, self._values(raw), pixels)
        return self._through_pydicom(path, size)

    def _walk_growing(
        self, stream: BinaryIO, data: bytes, meta: "_Meta", size: int
    ) -> tuple[dict[int, Raw], Pixels | None]:
        """Walk the start of the file, and more of it as long as the header goes on."""
        while True:
            try:
                return self._walk(data, meta, size)
            except (_NeedMoreError, struct.error):
                if len(data) >= size:
                    raise EOFError from None
                data += stream.read(15 * len(data))

    def _walk(self, data: bytes, meta: "_Meta", size: int) -> tuple[dict[int, Raw], Pixels | None]:
        """Every wanted element before the pixels, as bytes, and where the pixels lie.

        Raises:
            EOFError: an element does not fit into the file.
            ValueError: the elements are not in order.
            _NeedMoreError: `data` ends earlier than the header, and than the file.
        """
        raw: dict[int, Raw] = {}
        position, last = meta.end, 0
        while position < size:
            group, element, vr, length = _head(data, position)
            tag = group << 16 | element
            position += 8
            if vr in _LONG:
                (length,) = _long_length(data, position)
                position += 4
            elif vr not in _SHORT:
                raise ValueError(f"no VR at element {tag:08x}")
            if tag <= last:
                raise ValueError("elements are not in order")
            last = tag
            if tag == PIXEL_DATA:
                return raw, _pixels(position, length, meta.syntax, size)
            if length == UNDEFINED_LENGTH:
                position = _skip_items(data, position, vr)
                continue
            end = position + length
            if end > size:
                raise EOFError
            if tag in self.tags:
                if end > len(data):
                    raise _NeedMoreError
                raw[tag] = (vr, data[position:end])
            position = end
        return raw, None

    def _values(self, raw: Mapping[int, Raw]) -> dict[int, Any]:
        charset = raw.get(_CHARACTER_SET, (b"", b""))[1]
        values: dict[int, Any] = {}
        for tag, (vr, content) in raw.items():
            key = (tag, vr, content, charset)
            if key not in self._converted:
                self._converted[key] = _convert(tag, vr, content, charset)
            values[tag] = self._converted[key]
        return values

    def _through_pydicom(self, path: Path, size: int) -> Header:
        """The slow way, for every other transfer syntax and for data sets that lack their preamble."""
        meta = read_file_meta_info(path)
        syntax = str(meta.get("TransferSyntaxUID", ""))
        stored_class = str(meta.get("MediaStorageSOPClassUID", ""))
        if not syntax:  # byte order and compression would be guesses
            raise ValueError("no transfer syntax")
        if syntax == DEFLATED:  # before the data set: inflating it could fill the memory
            return Header(path, syntax, stored_class, {}, None)
        dataset = dcmread(path, defer_size=_DEFER_BYTES, specific_tags=sorted(self.tags | {PIXEL_DATA}))
        found = dataset.get_item(PIXEL_DATA, keep_deferred=True)
        pixels = None
        if isinstance(found, RawDataElement):
            pixels = _pixels(found.value_tell, found.length, syntax, size)
        return Header(path, syntax, stored_class, values_of(dataset, self.tags), pixels)


def values_of(dataset: Dataset, tags: Iterable[int] | None = None) -> dict[int, Any]:
    """The values of a pydicom data set by tag."""
    wanted = dataset.keys() if tags is None else [tag for tag in tags if tag in dataset]
    values: dict[int, Any] = {}
    for tag in wanted:
        try:
            values[int(tag)] = dataset[tag].value
        except _CAN_NOT_CONVERT:
            values[int(tag)] = MALFORMED
    return values


_CAN_NOT_CONVERT = (
    ValueError,
    TypeError,
    OverflowError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    LookupError,
)


@dataclass(frozen=True)
class _Meta:
    """The file meta information, and where it ends."""

    syntax: str
    stored_class: str
    end: int


def _file_meta(data: bytes) -> _Meta | None:
    """The file meta information of a file with a preamble; None where pydicom has to look for it."""
    if data[128:132] != b"DICM" or len(data) < 144 or data[132:138] != b"\x02\0\0\0UL":
        return None
    end = 144 + _long_length(data, 140)[0]
    if end > len(data):
        return None
    texts: dict[int, str] = {}
    position = 144
    while position < end:
        group, element, vr, length = _head(data, position)
        position += 8
        if vr in _LONG:
            (length,) = _long_length(data, position)
            position += 4
        if group != 2 or vr not in _LONG | _SHORT or position + length > end:
            return None
        texts[element] = data[position : position + length].rstrip(b"\0 ").decode("ascii", errors="replace")
        position += length
    return _Meta(texts[0x10], texts.get(0x02, ""), end) if texts.get(0x10) else None


def _pixels(offset: int, length: int, syntax: str, size: int) -> Pixels:
    if length == UNDEFINED_LENGTH:
        return Pixels(offset, None, syntax)
    if offset + length > size:
        raise EOFError
    return Pixels(offset, length, syntax)


def data_set_offset(path: Path) -> int:
    """Where the data set begins, after the file meta information; 0 where there is none."""
    with path.open("rb") as stream:
        meta = _file_meta(stream.read(_START_BYTES))
    return meta.end if meta is not None else 0


def _check_fragments(stream: BinaryIO, position: int) -> None:
    """Raise EOFError when the fragments of encapsulated pixels do not end with their delimiter."""
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            raise EOFError
        group, element, length = _item_head(head, 0)
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            return
        if tag != _ITEM or length == UNDEFINED_LENGTH:
            raise EOFError
        position += 8 + length


def _skip_items(data: bytes, position: int, vr: bytes) -> int:
    """Where a sequence of undefined length ends."""
    if vr != b"SQ":
        raise _UnusualError  # UN: its items are in implicit VR
    while True:
        group, element, length = _item_head(data, position)
        tag = group << 16 | element
        position += 8
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise ValueError("no item in a sequence")
        position = _skip_elements(data, position) if length == UNDEFINED_LENGTH else position + length


def _skip_elements(data: bytes, position: int) -> int:
    """Where an item of undefined length ends."""
    while True:
        group, element, vr, length = _head(data, position)
        position += 8
        if group << 16 | element == _ITEM_END:
            return position
        if vr in _LONG:
            (length,) = _long_length(data, position)
            position += 4
        elif vr not in _SHORT:
            raise ValueError("no VR in an item")
        position = _skip_items(data, position, vr) if length == UNDEFINED_LENGTH else position + length


def _convert(tag: int, vr: bytes, content: bytes, charset: bytes) -> Any:
    """What pydicom makes of an element."""
    names = charset.decode("ascii", errors="replace").strip(" \0").split("\\") if charset else [""]
    raw = RawDataElement(BaseTag(tag), vr.decode("ascii"), len(content), content, 0, False, True)
    try:
        encodings: Sequence[str] = convert_encodings(names)
        return convert_raw_data_element(raw, encoding=list(encodings)).value
    except _CAN_NOT_CONVERT:
        return MALFORMED
