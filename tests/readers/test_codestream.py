"""The size in the coded bytes, against encoders that are not ours; a frame larger than its header is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpeg_ls import encode
from openjpeg.utils import encode_array

from prostate_alm.readers.codestream import coded_size

IMAGE = np.random.default_rng(0).integers(0, 4000, (37, 52), np.uint16)
JPEG_LS = bytes(encode(IMAGE))
JPEG_2000 = encode_array(IMAGE, photometric_interpretation=2)
# a comment, tables, and the start of a frame of 8 bits (ISO/IEC 10918-1 B.2.2) of 300 rows and 200 columns
BASELINE = bytes.fromhex("ffd8 fffe0004 6869 ffff c40003 00 ffc0000b 08 012c 00c8 01 011100 ffd9".replace(" ", ""))


@pytest.mark.parametrize("frame", [JPEG_LS, JPEG_2000, b"\0" * 80 + JPEG_2000])
def test_the_size_is_what_the_encoder_was_given(frame):
    assert coded_size(frame) == (37, 52)


def test_the_tables_before_a_frame_are_skipped():
    assert coded_size(BASELINE) == (300, 200)


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xd8", b"\xff\xd8\0\0" * 9, JPEG_2000[:20], BASELINE[:12], b"GIF89a" * 50]
)
def test_a_frame_that_states_none_is_refused(frame):
    with pytest.raises(ValueError, match=r"JPEG|size"):
        coded_size(frame)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51"]))
def test_whatever_comes_it_ends(content, start):
    try:
        rows, columns = coded_size(start + content)
    except ValueError:
        return
    assert isinstance(rows, int)
    assert isinstance(columns, int)
