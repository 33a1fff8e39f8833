"""Several volumes of one b-value: the trace, where nothing speaks against it; as from DICOM, whoever converted it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from prostate_alm.datasets.synthetic.corpus import CasePlan, write_case
from prostate_alm.datasets.synthetic.exports import with_rows_turned
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.errors import Reason
from prostate_alm.readers import SeriesChoice, examine_study, inspect_study, read_study
from prostate_alm.readers.directions import directions_problem

DWI_GRID = np.diag([-2.0, -2.0, 3.0, 1.0])
TETRAHEDRON = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
B_VALUES = (0, 0, 50, 800, 800, 800)


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    image = Nifti1Image(data.astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code="scanner")
    nib.save(image, path)


def write_vectors(path: Path, vectors: Sequence[Sequence[float]]) -> None:
    path.write_text("\n".join(" ".join(f"{part:g}" for part in row) for row in np.array(vectors).T) + "\n")


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, (8, 9, 12, len(B_VALUES)))


@pytest.fixture
def folder(tmp_path: Path, stack: np.ndarray) -> Path:
    """T2, and diffusion of two volumes at b 0, one at b 50 and three at b 800, as dcm2niix names them."""
    rng = np.random.default_rng(1)
    save(tmp_path / "t2_tse_tra_20110707_4.nii.gz", rng.integers(1, 900, (30, 30, 12)), np.diag([-0.5, -0.5, 3.0, 1.0]))
    save(tmp_path / "ep2d_diff_20110707_6.nii.gz", stack, DWI_GRID)
    (tmp_path / "ep2d_diff_20110707_6.bval").write_text(" ".join(str(b) for b in B_VALUES))
    return tmp_path


def vectors_at_800(*three: Sequence[float]) -> list[Sequence[float]]:
    return [(0, 0, 0), (0, 0, 0), (0, 0, 0), *three]


def reasons(folder: Path) -> set[Reason | None]:
    """Why it is refused by its headers, and why with its voxels."""
    refusals = inspect_study(folder).refusal, examine_study(folder)[0].refusal
    return {refusal and refusal.reason for refusal in refusals}


X, Y, Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)


@pytest.mark.parametrize(
    "vectors",
    [
        None,
        vectors_at_800(X, Y, Z),
        vectors_at_800((2 / 3, 2 / 3, -1 / 3), (2 / 3, -1 / 3, 2 / 3), (-1 / 3, 2 / 3, 2 / 3)),
        vectors_at_800(*[(0, 0, 0)] * 3),  # repeats of a trace, or what dcm2niix knows no direction of
        vectors_at_800(X, X, (-1, 0, 0)),  # repeats of one direction: averages that were kept apart
    ],
)
def test_repeats_become_their_geometric_mean(
    folder: Path, stack: np.ndarray, vectors: list[Sequence[float]] | None
) -> None:
    if vectors is not None:
        write_vectors(folder / "ep2d_diff_20110707_6.bvec", vectors)
    study = read_study(folder)
    assert list(study.dwi) == [0, 50, 800]
    assert np.allclose(study.dwi[0].data, np.sqrt(np.prod(stack[..., :2], axis=-1)), rtol=1e-6)
    assert np.array_equal(study.dwi[50].data, stack[..., 2])
    assert np.allclose(study.dwi[800].data, np.cbrt(np.prod(stack[..., 3:], axis=-1)), rtol=1e-6)
    assert [one.b_values for one in study.series if one.role == "dwi"] == [(0, 50, 800)]


@pytest.mark.parametrize(
    "vectors",
    [
        vectors_at_800(X, Y, Y),
        vectors_at_800(X, Y, (0, 0, 0)),  # two directions and a trace?
        vectors_at_800(X, Y, (0, 0, 0.5)),
        vectors_at_800(X, Y, Z)[1:],
        [*vectors_at_800(X, Y, Z), (0, 0, 0)],
    ],
)
def test_what_is_no_trace_is_refused(folder: Path, vectors: list[Sequence[float]]) -> None:
    write_vectors(folder / "ep2d_diff_20110707_6.bvec", vectors)
    assert reasons(folder) == {Reason.B_VALUE_UNKNOWN}


@pytest.mark.parametrize("text", ["", "0 0 0 1 0 0\n0 0 0 0 1 0\n0 0 0 0 0 nan\n", "a b c", "0 0 0 1 0 0\n"])
def test_a_file_of_no_vectors_is_refused(folder: Path, text: str) -> None:
    (folder / "ep2d_diff_20110707_6.bvec").write_text(text)
    assert reasons(folder) == {Reason.B_VALUE_UNKNOWN}


@pytest.mark.parametrize("text", ["0 0 50 800 800", "0 0 50 800 800 800 800"])
def test_another_number_of_b_values_than_volumes_is_refused(folder: Path, text: str) -> None:
    (folder / "ep2d_diff_20110707_6.bval").write_text(text)
    assert reasons(folder) == {Reason.B_VALUE_UNKNOWN}


def test_only_what_repeats_has_to_make_a_trace() -> None:
    assert directions_problem([0, 50, 800], np.array([(0, 0, 0), X, X], dtype=float)) is None
    tetrahedron = np.array([(0, 0, 0), *TETRAHEDRON]) / np.sqrt([1, 3, 3, 3, 3])[:, None]
    assert directions_problem([0, 800, 800, 800, 800], tetrahedron) is None
    assert directions_problem([0, 800, 800, 800], tetrahedron[:4]) is not None  # one of four was lost


def test_one_b_value_in_two_files_is_no_repeat(folder: Path) -> None:
    """Two acquisitions, of which a person has to name one; as of two DICOM series."""
    (folder / "ep2d_diff_20110707_6.nii.gz").unlink()
    for number, b in ((10, "50"), (11, "800"), (12, "800")):
        save(folder / f"diff_20110707_{number}.nii.gz", np.full((8, 9, 12), 100 + number), DWI_GRID)
        (folder / f"diff_20110707_{number}.bval").write_text(b)
    assert reasons(folder) == {Reason.SERIES_AMBIGUOUS}


def test_one_b_value_in_two_files_that_a_person_named_is_no_repeat(folder: Path) -> None:
    save(folder / "again_20110707_8.nii.gz", np.full((8, 9, 12, 2), 7), DWI_GRID)
    (folder / "again_20110707_8.bval").write_text("0 1200")
    assert inspect_study(folder, series=SeriesChoice(dwi="8")).refusal is None
    refusal = examine_study(folder, series=SeriesChoice(dwi="6+8"))[0].refusal
    assert refusal is not None
    assert refusal.reason is Reason.SERIES_AMBIGUOUS


def test_typed_b_values_may_not_repeat_without_their_vectors(folder: Path, stack: np.ndarray) -> None:
    """``t2``, ``dwi`` and ``dwi.bval`` may be written by hand: 800 800 may be a slip."""
    for old, new in (("t2_tse_tra_20110707_4", "t2"), ("ep2d_diff_20110707_6", "dwi")):
        (folder / f"{old}.nii.gz").rename(folder / f"{new}.nii.gz")
    (folder / "ep2d_diff_20110707_6.bval").rename(folder / "dwi.bval")
    assert reasons(folder) == {Reason.B_VALUE_UNKNOWN}
    write_vectors(folder / "dwi.bvec", vectors_at_800(X, Y, Y))
    assert reasons(folder) == {Reason.B_VALUE_UNKNOWN}
    write_vectors(folder / "dwi.bvec", vectors_at_800(X, Y, Z))
    study = read_study(folder)
    assert np.allclose(study.dwi[800].data, np.cbrt(np.prod(stack[..., 3:], axis=-1)), rtol=1e-6)
    found = inspect_study(folder)
    assert [one.b_values for one in found.chosen if one.role == "dwi"] == [(0, 50, 800)]


@pytest.mark.parametrize("layout", [Layout.DIRECTIONS_ONLY, Layout.DIRECTIONS_AND_TRACE])
@pytest.mark.parametrize("vendor", ["siemens", "philips", "siemens_xa"])
def test_what_dcm2niix_makes_of_directions_is_the_study_of_the_dicom(
    layout: Layout, vendor: str, tmp_path: Path
) -> None:
    case = write_case(CasePlan(3, 1, layout, vendor), tmp_path / "case")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    command = [dcm2niix.bin, "-f", "%p_%t_%s", "-z", "n", "-o", str(theirs), str(case.path)]
    subprocess.run(command, check=True, capture_output=True)
    ours, converted = with_rows_turned(read_study(case.path)), read_study(theirs)
    assert [one.number for one in converted.series][:2] == [one.number for one in ours.series][:2]
    assert list(converted.dwi) == list(ours.dwi)
    for b, volume in ours.dwi.items():
        assert converted.dwi[b].geometry.is_close(volume.geometry)
        assert np.allclose(converted.dwi[b].data, volume.data, rtol=1e-5)
