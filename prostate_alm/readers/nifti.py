"""NIfTI in and out: ``t2``, four-dimensional ``dwi`` with its b-values, and ``adc``.

NIfTI counts millimetres in RAS, a `Study` in LPS: the flip of the first two axes is done here and nowhere else.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.adc import fit_adc
from prostate_alm.readers.boundary import raise_if_unavailable
from prostate_alm.readers.directions import directions_problem, read_b_vectors, trace_volume
from prostate_alm.readers.expansion import refuse_expansion
from prostate_alm.readers.geometry import refuse_implausible
from prostate_alm.readers.volume import content_key
from prostate_alm.study import Geometry, Matrix, Role, Series, Study, Volume

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LARGEST_B_VALUES = 64
_LARGEST_OFFSET = 1 << 24  # bytes of extensions before the voxels
_SAME_AFFINE_MM = 0.5  # near 180° the rounding of the qform's quaternion moves a corner by up to 0.1 mm


def read_nifti_study(
    t2: Path,
    dwi: Path,
    *,
    b_values: Sequence[float],
    adc: Path | None = None,
    key: str = "",
    b_vectors: Path | None = None,
) -> Study:
    """Read a study from NIfTI files.

    Args:
        t2: three-dimensional.
        dwi: four-dimensional, one volume for each b-value; three-dimensional for a single one.
        b_values: in s/mm², in the order of the volumes.
        adc: three-dimensional, in 1e-6 mm²/s; fitted from two or more b-values and flagged when None.
        key: pseudonym; empty takes one from the voxel values.
        b_vectors: ``.bvec`` file of `dwi`; with it b-values may repeat, and become their trace. Without one a
            repeat is taken for a slip.

    Raises:
        StudyRefusedError: a file that can't be read, a geometry that is not stated, or b-values that do not fit.
    """
    t2_volume = read_nifti_volume(t2, "t2")
    volumes = read_nifti_volumes(dwi, "dwi")
    refuse_b_values(b_values, len(volumes), b_vectors=b_vectors, repeats=b_vectors is not None)
    by_b = volumes_by_b_value(volumes, [float(b) for b in b_values])
    flags = () if adc is not None else (Reason.ADC_COMPUTED,)
    adc_volume = fit_adc(by_b) if adc is None else read_nifti_volume(adc, "adc")
    series = [Series(Role.T2, None, "t2"), Series(Role.DWI, None, "dwi", tuple(sorted(by_b)))]
    if adc is not None:
        series.append(Series(Role.ADC, None, "adc"))
    name = key or content_key([t2_volume, *(by_b[b] for b in sorted(by_b))])
    return Study(name, t2_volume, by_b, adc_volume, series=tuple(series), flags=flags)


def write_nifti_study(study: Study, folder: Path) -> dict[str, object]:
    """Write ``t2.nii.gz``, ``dwi.nii.gz`` with ``dwi.bval``, and ``adc.nii.gz``; float32, values unchanged.

    Returns:
        The file names, relative to `folder`, under ``t2``, ``dwi`` and ``adc``, and the list ``b_values``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    b_values = list(study.dwi)
    stack = np.stack([study.dwi[b].data for b in b_values], axis=-1)
    _write(folder / "t2.nii.gz", study.t2.data, study.t2.geometry)
    _write(folder / "dwi.nii.gz", stack, study.dwi[b_values[0]].geometry)
    _write(folder / "adc.nii.gz", study.adc.data, study.adc.geometry)
    (folder / "dwi.bval").write_text(" ".join(f"{b:g}" for b in b_values) + "\n", encoding="ascii")
    return {"t2": "t2.nii.gz", "dwi": "dwi.nii.gz", "adc": "adc.nii.gz", "b_values": b_values}


def read_b_value_file(path: Path) -> list[float]:
    """The b-values of a ``.bval`` file, in s/mm², in the order of the volumes.

    Raises:
        StudyRefusedError: it holds anything but finite numbers from 0 on.
    """
    try:
        values = [float(word) for word in path.read_text(encoding="ascii").split()[: _LARGEST_B_VALUES + 1]]
    except (ValueError, OSError) as error:
        raise_if_unavailable(error)
        values = []
    if not values or not all(math.isfinite(value) and value >= 0 for value in values):
        raise StudyRefusedError(
            Reason.B_VALUE_UNKNOWN,
            "`dwi.bval` must hold one number for each volume, in s/mm²; write it as dcm2niix does.",
        )
    return values


class LoadStudy:
    """Add the `Study` of a datalist entry under ``study``, the hash of its voxels under ``content``; keep the others.

    An entry holds absolute paths under ``t2``, ``dwi`` and, if there is one, ``adc``, and the list ``b_values``.
    A string that already stands under ``study`` becomes the key.
    """

    def __call__(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Read the entry's files.

        Raises:
            StudyRefusedError: as `read_nifti_study`.
        """
        adc, key = entry.get("adc"), entry.get("study")
        study = read_nifti_study(
            Path(entry["t2"]),
            Path(entry["dwi"]),
            b_values=entry["b_values"],
            adc=Path(adc) if adc else None,
            key=key if isinstance(key, str) else "",
        )
        return {**entry, "study": study, "content": content_of(study)}


def content_of(study: Study) -> str:
    """Hash of the voxels of T2 and DWI: 12 hexadecimal digits, the same whatever the study is called."""
    return content_key([study.t2, *(study.dwi[b] for b in sorted(study.dwi))])


def volumes_by_b_value(volumes: Sequence[Volume], b_values: Sequence[float]) -> dict[float, Volume]:
    """Volumes on one grid by their b-values, those of one b-value as their geometric mean."""
    return {
        b: trace_volume([volume for volume, its in zip(volumes, b_values, strict=True) if its == b])
        for b in dict.fromkeys(b_values)
    }


def refuse_b_values(
    b_values: Sequence[float], volumes: int, *, b_vectors: Path | None, repeats: bool, name: str = "`dwi`"
) -> None:
    """Raise for b-values that do not fit the volumes of their file, and for directions that make no trace.

    Args:
        b_values: in s/mm², in the order of the volumes.
        volumes: how many the file has.
        b_vectors: the ``.bvec`` file beside it.
        repeats: whether a b-value may stand for several volumes.
        name: what messages call the file.

    Raises:
        StudyRefusedError: not one usable b-value for each volume, or none above 0; one that repeats and may not; a
            ``.bvec`` file of another length, or that can't be read.
    """
    usable = all(math.isfinite(b) and b >= 0 for b in b_values)
    if not usable or len(b_values) != volumes or (len(set(b_values)) < volumes and not repeats):
        hint = "" if repeats else " distinct"
        raise StudyRefusedError(
            Reason.B_VALUE_UNKNOWN,
            f"{name} has {volumes} volumes and {len(b_values)} b-values; give one{hint} b-value for each"
            f"{'' if repeats else ', or the `dwi.bvec` of its directions'}.",
        )
    if max(b_values) <= 0:
        raise StudyRefusedError(Reason.DWI_MISSING, f"no b-value of {name} is above 0; send a diffusion-weighted one.")
    problem = directions_problem(b_values, read_b_vectors(b_vectors)) if b_vectors else None
    if problem:
        raise StudyRefusedError(Reason.B_VALUE_UNKNOWN, f"{name}: {problem}; convert its whole series again.")


def read_nifti_volume(path: Path, role: str) -> Volume:
    """The one volume of a file.

    Raises:
        StudyRefusedError: as `read_nifti_volumes`, or it holds several.
    """
    volumes = read_nifti_volumes(path, role)
    refuse_several(len(volumes), role)
    return volumes[0]


def refuse_several(volumes: int, role: str) -> None:
    """Raise for a file of several volumes where one is expected.

    Raises:
        StudyRefusedError: there are several.
    """
    if volumes != 1:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, f"`{role}` has {volumes} volumes in one file; one is expected."
        )


def read_nifti_volumes(path: Path, role: str) -> list[Volume]:
    """Every volume of a file, on its grid in LPS.

    Raises:
        StudyRefusedError: the file can't be read, is too large, or does not state its geometry.
    """
    image = _open(path, role)
    geometry, volumes = _grid(image, role)
    data = _voxels(image, role).reshape(*geometry.shape, volumes)
    return [Volume(data[..., index], geometry) for index in range(volumes)]


def read_nifti_grid(path: Path, role: str) -> tuple[Geometry, int]:
    """The grid of a file and how many volumes lie on it, from its header alone.

    Raises:
        StudyRefusedError: as `read_nifti_volumes`.
    """
    return _grid(_open(path, role), role)


def _grid(image: Nifti1Image, role: str) -> tuple[Geometry, int]:
    shape = image.shape
    if len(shape) not in (3, 4) or min(shape[:2]) < 2 or shape[2] < 2 or (len(shape) == 4 and shape[3] < 1):
        raise StudyRefusedError(Reason.GEOMETRY_INVALID, f"`{role}` has shape {shape}; a volume of slices is expected.")
    volumes = shape[3] if len(shape) == 4 else 1
    if volumes > _LARGEST_B_VALUES:
        raise StudyRefusedError(Reason.INPUT_TOO_LARGE, f"`{role}` has shape {shape}; it is larger than any study.")
    geometry = Geometry((shape[0], shape[1], shape[2]), _affine(image, role))
    refuse_implausible(geometry, f"`{role}`")
    return geometry, volumes


def _open(path: Path, role: str) -> Nifti1Image:
    if not path.is_file():
        missing = {"t2": Reason.T2_MISSING, "dwi": Reason.DWI_MISSING}.get(role, Reason.ADC_MISSING)
        raise StudyRefusedError(missing, f"the file of `{role}` is not there; check the path.")
    try:
        image = _image(path)
    except _NoNiftiError:
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, f"`{role}` is no NIfTI file; convert it, e.g. with dcm2niix."
        ) from None
    except Exception as error:  # whatever a corrupt header makes nibabel raise
        raise_if_unavailable(error)
        raise _unreadable(role, error) from None
    refuse_expansion(math.prod(image.shape), path.stat().st_size, f"`{role}`")
    return image


class _NoNiftiError(Exception):
    """The file begins as no single-file NIfTI does."""


def _image(path: Path) -> Nifti1Image:
    """As `nib.load`, but without the header's extensions: they state a length of their own, which could be gigabytes.

    Raises:
        _NoNiftiError: neither NIfTI-1 nor NIfTI-2.
        Exception: whatever a corrupt header makes nibabel raise.
    """
    with ImageOpener(str(path)) as stream:
        start = stream.read(Nifti2Header.template_dtype.itemsize)
    for kind in (Nifti1Image, Nifti2Image):
        block = start[: kind.header_class.template_dtype.itemsize]
        if int.from_bytes(block[:4], "little") == len(block) or int.from_bytes(block[:4], "big") == len(block):
            break
    else:
        raise _NoNiftiError
    header = kind.header_class(block)
    if not 0 <= header.get_data_offset() <= _LARGEST_OFFSET:
        raise ValueError
    return kind(ArrayProxy(str(path), header.copy()), header.get_best_affine(), header)


def _voxels(image: Nifti1Image, role: str) -> NDArray[np.float32]:
    try:
        data = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # a truncated or corrupt file fails in gzip, zlib or numpy
        raise_if_unavailable(error)
        raise _unreadable(role, error) from None
    if not np.isfinite(data).all():
        raise StudyRefusedError(Reason.PIXELS_UNREADABLE, f"`{role}` holds values that are not finite; write it again.")
    return data


def _unreadable(role: str, error: Exception) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.INPUT_UNREADABLE, f"`{role}` can't be read as NIfTI ({type(error).__name__}); write the file again."
    )


def _affine(image: Nifti1Image, role: str) -> Matrix:
    """Voxel to LPS mm; refused unless the header states one perpendicular grid in mm."""
    header = image.header
    stated = int(header["sform_code"]) or int(header["qform_code"])
    units = str(header.get_xyzt_units()[0])
    affine = np.asarray(image.affine, dtype=np.float64)
    axes = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    if not stated or _affines_disagree(image) or units not in {"mm", "unknown"} or not np.isfinite(affine).all():
        problem = "does not state one orientation in mm (sform, qform, units)"
    elif np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        problem = "has axes that are not perpendicular"
    else:
        return _RAS_TO_LPS @ affine
    raise StudyRefusedError(Reason.GEOMETRY_INVALID, f"`{role}` {problem}; convert it again from DICOM.")


def _affines_disagree(image: Nifti1Image) -> bool:
    """Whether the header states two affines, sform and qform, that put a corner at two places."""
    header: Any = image.header  # its stubs mix what `coded` returns
    if not (int(header["sform_code"]) and int(header["qform_code"])):
        return False
    try:
        difference = np.subtract(header.get_sform(), header.get_qform())
    except (ValueError, HeaderDataError):  # an impossible quaternion
        return True
    corner = np.append(np.array(image.shape[:3]) - 1, 1.0)
    return not np.abs(difference @ corner).max() <= _SAME_AFFINE_MM


def _write(path: Path, data: NDArray[np.float32], geometry: Geometry) -> None:
    image = Nifti1Image(data, _RAS_TO_LPS @ geometry.affine, dtype=np.float32)
    image.header.set_xyzt_units("mm", "unknown")
    image.set_sform(image.affine, code="scanner")
    image.set_qform(None, code="unknown")  # its quaternion could not hold the affine to 1e-5
    nib.save(image, path)
