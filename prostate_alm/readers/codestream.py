"""The size that a compressed image states in its own bytes: a decoder makes room for it, whatever the header says."""

import struct

_START_OF_IMAGE = b"\xff\xd8"
_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC and SIZ of JPEG 2000 (ISO/IEC 15444-1 A.5.1)
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie among the start-of-frame markers (ISO/IEC 10918-1 B.1.1.3)
_JPEG_LS = 0xF7
_BOX_BYTES = 256  # of a JP2 file that wraps the codestream


def coded_size(frame: bytes) -> tuple[int, int]:
    """Rows and columns of a frame of the JPEG family.

    Raises:
        ValueError: it states none.
    """
    if frame.startswith(_START_OF_IMAGE):
        return _jpeg_size(frame)
    start = frame.find(_START_OF_CODESTREAM, 0, _BOX_BYTES)
    if start < 0 or len(frame) < start + 24:
        raise ValueError("no image of the JPEG family")
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        length, _, rows, columns = struct.unpack_from(">HBHH", frame, position + 2)
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == _JPEG_LS:
            return rows, columns
        position += 2 + length
    raise ValueError("no size in a JPEG image")
