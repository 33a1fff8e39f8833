"""MetaImage as the PI-CAI challenge ships it: ``<patient>_<study>_t2w.mha``, ``_adc.mha`` and ``_hbv.mha``.

MetaImage counts millimetres in LPS, as a `Study` does. The b-value of ``_hbv`` stands in no file of the challenge, so
it has to be given; whether that image was acquired or calculated can't be told.
"""

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.expansion import refuse_expansion
from prostate_alm.readers.geometry import refuse_implausible
from prostate_alm.readers.volume import content_key
from prostate_alm.study import Geometry, Matrix, Role, Series, Study, Volume

SUFFIXES = {"t2w": "t2", "hbv": "dwi", "adc": "adc"}
_NAME = re.compile(r"(?P<study>.+)_(?P<suffix>[a-z0-9]+)\.mha", re.IGNORECASE)
_LARGEST_B_VALUE = 10_000.0
_HEADER_BYTES = 8192
_DATA_FILE = re.compile(rb"^ElementDataFile[ \t]*=[^\r\n]*\r?\n", re.MULTILINE)
_ALIASES = {"Position": "Offset", "Origin": "Offset", "Rotation": "TransformMatrix", "Orientation": "TransformMatrix"}
_KINDS = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def group_mha(files: Sequence[SourceFile]) -> dict[str, dict[str, Path]]:
    """The files of each study by its name ``<patient>_<study>``, each by role: ``t2``, ``dwi``, ``adc``.

    Other suffixes (``_sag``, ``_cor``) are left aside.

    Raises:
        StudyRefusedError: a study has two files for one role.
    """
    studies: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in files:
        named = _NAME.fullmatch(PurePosixPath(file.name).name)
        role = SUFFIXES.get(named["suffix"].lower()) if named else None
        if named is None or role is None:
            continue
        roles = studies[named["study"]]
        if role in roles:
            raise StudyRefusedError(
                Reason.SERIES_AMBIGUOUS, f"one study has two MHA files for its {role}; leave the one to be used."
            )
        roles[role] = file.path
    return dict(studies)


def read_mha_study(files: Mapping[str, Path], *, high_b: float | None) -> Study:
    """Read one study.

    Args:
        files: by role, ``t2``, ``dwi`` (the high-b image) and ``adc``.
        high_b: b-value of the high-b image in s/mm²; None refuses.

    Raises:
        StudyRefusedError: a file is missing or can't be read, its geometry is not stated, or the b-value is unknown.
    """
    for role, reason in (("t2", Reason.T2_MISSING), ("dwi", Reason.DWI_MISSING), ("adc", Reason.ADC_MISSING)):
        if role not in files:
            suffix = next(suffix for suffix, of in SUFFIXES.items() if of == role)
            raise StudyRefusedError(reason, f"there is no `*_{suffix}.mha` beside the other MHA files; add it.")
    if high_b is None or not 0 < high_b <= _LARGEST_B_VALUE:
        raise StudyRefusedError(
            Reason.B_VALUE_UNKNOWN,
            "an MHA file does not state the b-value of `*_hbv.mha`; give it in the label table's column `high_b` or by"
            " `--high-b`, in s/mm².",
        )
    t2, dwi, adc = (_read(files[role], role) for role in ("t2", "dwi", "adc"))
    series = (
        Series(Role.T2, None, "t2w"),
        Series(Role.DWI, None, "hbv", (float(high_b),)),
        Series(Role.ADC, None, "adc"),
    )
    return Study(content_key([t2, dwi]), t2, {float(high_b): dwi}, adc, series=series)


def _read(path: Path, role: str) -> Volume:
    """One volume on its grid; fewer voxels than the header says, which ITK takes in silence, are refused."""
    header, start = _header(path, role)
    shape = _shape(header, role)
    refuse_expansion(math.prod(shape), path.stat().st_size, f"`{role}`")
    geometry = Geometry(shape, _affine(header, role))
    refuse_implausible(geometry, f"`{role}`")
    kind = _KINDS.get(header.get("ElementType", ""))
    if kind is None or header.get("ElementDataFile") != "LOCAL" or header.get("BinaryData", "True") != "True":
        raise _unreadable(role)
    order = ">" if header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False")) == "True" else "<"
    expected = math.prod(shape) * np.dtype(kind).itemsize
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(2 * expected + _HEADER_BYTES)  # deflated noise is hardly longer than itself
    if header.get("CompressedData", "False") == "True":
        content = _inflate(content, expected, role)
    if len(content) != expected:
        raise _unreadable(role)
    data = np.frombuffer(content, np.dtype(kind).newbyteorder(order)).reshape(shape, order="F").astype(np.float32)
    if not np.isfinite(data).all():
        raise StudyRefusedError(Reason.PIXELS_UNREADABLE, f"`{role}` holds values that are not finite; write it again.")
    return Volume(data, geometry)


def _header(path: Path, role: str) -> tuple[dict[str, str], int]:
    """The header's fields, and where the voxels begin."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    last = _DATA_FILE.search(head)  # the header's last line
    if last is None:
        raise _unreadable(role)
    lines = head[: last.end()].decode("ascii", errors="replace").splitlines()
    fields = (line.partition("=") for line in lines)
    return {_ALIASES.get(name.strip(), name.strip()): value.strip() for name, _, value in fields}, last.end()


def _shape(header: Mapping[str, str], role: str) -> tuple[int, int, int]:
    size = [int(n) for n in _numbers(header, "DimSize", role)]
    if len(size) != 3 or min(size) < 2 or header.get("ElementNumberOfChannels", "1") != "1":
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, f"`{role}` has size {size}; one grey-scale volume of slices is expected."
        )
    return size[0], size[1], size[2]


def _inflate(content: bytes, expected: int, role: str) -> bytes:
    """The voxels of a zlib stream that ends where they do."""
    stream = zlib.decompressobj()
    try:
        voxels = stream.decompress(content, expected + 1)
    except zlib.error:
        raise _unreadable(role) from None
    if not stream.eof:
        raise _unreadable(role)
    return voxels


def _affine(header: Mapping[str, str], role: str) -> Matrix:
    """Voxel to LPS mm. TransformMatrix lists the axes one after the other."""
    matrix, spacing, origin = (
        np.array(_numbers(header, name, role)) for name in ("TransformMatrix", "ElementSpacing", "Offset")
    )
    if (matrix.size, spacing.size, origin.size) != (9, 3, 3) or spacing.min() <= 0:
        raise _no_grid(role, "no whole grid in its header")
    axes = matrix.reshape(3, 3).T
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise _no_grid(role, "axes that are not perpendicular")
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = origin
    return affine


def _numbers(header: Mapping[str, str], name: str, role: str) -> list[float]:
    try:
        numbers = [float(word) for word in header[name].split()]
    except (KeyError, ValueError):
        raise _no_grid(role, f"no usable {name} in its header") from None
    if not all(math.isfinite(number) for number in numbers):
        raise _no_grid(role, f"no usable {name} in its header")
    return numbers


def _no_grid(role: str, problem: str) -> StudyRefusedError:
    return StudyRefusedError(Reason.GEOMETRY_INVALID, f"`{role}` has {problem}; convert it again from DICOM.")


def _unreadable(role: str) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.INPUT_UNREADABLE, f"`{role}` can't be read as an MHA file with its voxels inside; write it again."
    )
