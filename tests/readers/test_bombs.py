"""A small file that would grow to gigabytes is refused, and costs less than 200 MB of memory until it is."""

import gzip
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from pydicom.uid import JPEGLSLossless

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import read_study
from prostate_alm.readers.expansion import FREE_VOXELS, VOXELS_PER_BYTE, refuse_expansion

MEGABYTES = 200
WATCH = """
import json, sys
from pathlib import Path
import SimpleITK, nibabel
from prostate_alm.errors import StudyRefusedError
from prostate_alm.readers import read_study

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before = peak()
try:
    read_study(Path(sys.argv[1]))
    reason = "none"
except StudyRefusedError as error:
    reason = error.reason
print(json.dumps({"reason": reason, "kilobytes": peak() - before}))
"""


def nifti_head(shape, *, kind: type = np.uint8, offset=352, extension=b"\0\0\0\0"):
    """Header and extension flag of an image of which nothing else is there."""
    image = Nifti1Image(np.zeros((2, 2, 2), kind), np.diag([0.5, 0.5, 3.0, 1.0]))
    image.header.set_data_shape(shape)
    image.header.set_xyzt_units("mm")
    image.header["magic"], image.header["vox_offset"], image.header["sform_code"] = b"n+1", offset, 1
    return image.header.binaryblock + extension


def deflated(content):
    """Blocks that can stand behind each other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)


def zeros(path, head, megabytes):
    """A head, and zeros behind it, packed as tight as can be; the end, which nobody should reach, is missing."""
    path.write_bytes(b"\x1f\x8b\x08" + bytes(7) + deflated(head) + deflated(bytes(1 << 20)) * megabytes)


def write_nifti(folder, t2):
    t2(folder / "t2.nii.gz")
    (folder / "dwi.nii.gz").write_bytes(gzip.compress(nifti_head((40, 40, 10, 2))))
    (folder / "dwi.bval").write_text("50 800")


def slice_bomb(folder):
    """A gigabyte of one volume, in one megabyte."""
    write_nifti(folder, lambda path: zeros(path, nifti_head((1024, 1024, 1000)), 1000))


def under_the_limit(folder):
    """As many voxels as are free, scaled, so that they are read as float64."""
    head = bytearray(nifti_head((512, 512, 32), kind=np.int16))
    head[112:120] = struct.pack("<ff", 1.5, 2.0)
    write_nifti(folder, lambda path: zeros(path, bytes(head), 16))


def extension_bomb(folder):
    """An extension that says it is a gigabyte long."""
    head = nifti_head((40, 40, 10), offset=1024, extension=b"\1\0\0\0" + struct.pack("<ii", 1 << 30, 4))
    write_nifti(folder, lambda path: zeros(path, head, 1025))


def negative_extension(folder):
    """An extension of a negative length reads to the end of the file."""
    head = nifti_head((40, 40, 10), offset=1024, extension=b"\1\0\0\0" + struct.pack("<ii", -16, 4))
    write_nifti(folder, lambda path: zeros(path, head, 1000))


def far_voxels(folder):
    """Voxels that begin after a terabyte."""
    write_nifti(folder, lambda path: zeros(path, nifti_head((40, 40, 10), offset=1 << 40), 500))


def liar(folder):
    """A header that claims a terabyte with nothing behind it."""
    write_nifti(folder, lambda path: path.write_bytes(gzip.compress(nifti_head((32_000, 32_000, 1000)))))


def inflated_zip(folder):
    """A zip of one file of 400 MB."""
    archive = zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("t2.nii", "w", force_zip64=True) as member:
        for _ in range(400):
            member.write(bytes(1 << 20))


def lzma_zip(folder):
    """A member that wants a dictionary of gigabytes."""
    with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", bytes(1 << 20))
    content = bytearray((folder / "study.zip").read_bytes())
    start = content.index(b"\x5d\x00\x00")  # the properties of LZMA, and the dictionary's size
    content[start + 1 : start + 5] = struct.pack("<I", 0xFFFF_FFFF)
    (folder / "study.zip").write_bytes(content)


def many_members(folder):
    """Too many empty files."""
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        for number in range(25_000):
            archive.writestr(f"{number}", b"")


def mha_bomb(folder):
    """A MetaImage of a gigabyte, deflated."""
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = True\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 0.3 0.3 0.3\nDimSize = 1000 1000 1000\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    packed = b"\x78\x9c" + deflated(bytes(1 << 20)) * 1000
    for suffix in ("t2w", "adc", "hbv"):
        (folder / f"1_1_{suffix}.mha").write_bytes(head.encode() + packed)


TOO_LARGE, BROKEN = Reason.INPUT_TOO_LARGE, Reason.INPUT_UNREADABLE
BOMBS = {
    slice_bomb: TOO_LARGE,
    under_the_limit: BROKEN,
    extension_bomb: BROKEN,
    negative_extension: BROKEN,
    far_voxels: BROKEN,
    liar: TOO_LARGE,
    inflated_zip: TOO_LARGE,
    lzma_zip: BROKEN,
    many_members: TOO_LARGE,
    mha_bomb: Reason.B_VALUE_UNKNOWN,
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_before_it_goes_off(bomb, tmp_path):
    bomb(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 << 20
    packed = list(tmp_path.glob("*.zip"))
    path = packed[0] if packed else tmp_path
    run = subprocess.run([sys.executable, "-c", WATCH, str(path)], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["reason"] == BOMBS[bomb]
    assert found["kilobytes"] < MEGABYTES * 1000


def test_an_mha_bomb_is_refused_too_when_its_b_value_is_known(tmp_path):
    mha_bomb(tmp_path)
    with pytest.raises(StudyRefusedError, match="voxels"):
        read_study(tmp_path, high_b=800.0)


def test_what_an_acquired_image_packs_into_is_read():
    refuse_expansion(FREE_VOXELS, 1, "`t2`")
    refuse_expansion(4 * FREE_VOXELS, 4 * FREE_VOXELS // VOXELS_PER_BYTE + 1, "`t2`")
    for voxels, packed in (
        (FREE_VOXELS + 1, 1),
        (4 * FREE_VOXELS, 4 * FREE_VOXELS // VOXELS_PER_BYTE - 1),
        (2**28, 2**32),
    ):
        with pytest.raises(StudyRefusedError) as caught:
            refuse_expansion(voxels, packed, "`t2`")
        assert caught.value.reason is Reason.INPUT_TOO_LARGE


def test_a_frame_that_is_larger_than_its_header_says_is_refused(build, write):
    """The decoder would make room for the larger one, and hand out its corner as the image."""
    images = build.t2(size=(72, 60))
    for image in images:
        image.compress(JPEGLSLossless, generate_instance_uid=False)
        image.Rows = 64
    with pytest.raises(StudyRefusedError) as caught:
        read_study(write([*images, *build.dwi(), *build.adc()]))
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
