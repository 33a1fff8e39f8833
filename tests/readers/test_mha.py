"""MHA as PI-CAI ships it: the voxels and grid are those that were written, and what is not stated is refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.mha import group_mha, read_mha_study

TILT = np.deg2rad(18.0)
DIRECTION = np.array([[1, 0, 0], [0, np.cos(TILT), np.sin(TILT)], [0, -np.sin(TILT), np.cos(TILT)]])


def save(path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int) -> np.ndarray:
    """Write noise ``[X, Y, Z]`` on an oblique grid and return it."""
    data = np.random.default_rng(seed).integers(1, 2000, shape).astype(np.int16)
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    image.SetSpacing(spacing)
    image.SetOrigin((-57.7, -82.4, -27.1))
    image.SetDirection(DIRECTION.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "10005_1000005_t2w.mha", (9, 10, 12), (0.5, 0.6, 3.6), 1)
    save(tmp_path / "10005_1000005_hbv.mha", (6, 7, 8), (2.0, 2.1, 3.6), 2)
    save(tmp_path / "10005_1000005_adc.mha", (6, 7, 8), (2.0, 2.1, 3.6), 3)
    save(tmp_path / "10005_1000005_sag.mha", (6, 7, 8), (2.0, 2.1, 3.6), 4)
    return tmp_path


def listed(folder: Path) -> list[SourceFile]:
    return [SourceFile(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*.mha"))]


def read(folder: Path, high_b: float | None = 1400.0):
    (files,) = group_mha(listed(folder)).values()
    return read_mha_study(files, high_b=high_b)


def refusal(folder: Path, high_b: float | None = 1400.0) -> Reason:
    with pytest.raises(StudyRefusedError) as caught:
        read(folder, high_b)
    assert "1000005" not in str(caught.value)
    return caught.value.reason


def test_a_study_has_the_voxels_and_the_grid_that_were_written(folder: Path) -> None:
    study = read(folder)
    assert np.array_equal(study.t2.data, save(folder / "again.mha", (9, 10, 12), (0.5, 0.6, 3.6), 1))
    assert list(study.dwi) == [1400.0]
    assert np.array_equal(study.dwi[1400.0].data, save(folder / "again.mha", (6, 7, 8), (2.0, 2.1, 3.6), 2))
    affine = np.eye(4)
    affine[:3, :3] = DIRECTION @ np.diag([0.5, 0.6, 3.6])
    affine[:3, 3] = (-57.7, -82.4, -27.1)
    assert np.allclose(study.t2.geometry.affine, affine, atol=1e-9)
    assert [(one.role, one.b_values) for one in study.series] == [("t2", ()), ("dwi", (1400.0,)), ("adc", ())]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_kind_of_voxel_reads_as_simpleitk_reads_it(folder: Path, kind: type, compressed: bool) -> None:
    path = folder / "10005_1000005_t2w.mha"
    image = sitk.GetImageFromArray(np.arange(3 * 4 * 5).reshape(5, 4, 3).astype(kind))
    image.SetDirection(DIRECTION.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=compressed)
    oracle, found = sitk.ReadImage(str(path)), read(folder).t2
    assert np.array_equal(found.data, sitk.GetArrayFromImage(oracle).transpose(2, 1, 0))
    assert np.allclose(found.geometry.direction.ravel(), oracle.GetDirection())


def test_two_studies_of_a_patient_in_one_folder_stay_apart(folder: Path) -> None:
    save(folder / "10005_1000006_T2W.mha", (9, 10, 12), (0.5, 0.6, 3.6), 5)
    assert {name: sorted(files) for name, files in group_mha(listed(folder)).items()} == {
        "10005_1000005": ["adc", "dwi", "t2"],
        "10005_1000006": ["t2"],
    }


@pytest.mark.parametrize("high_b", [None, 0.0, -800.0, float("nan"), 1e6])
def test_a_b_value_that_is_not_given_is_not_guessed(folder: Path, high_b: float | None) -> None:
    assert refusal(folder, high_b) is Reason.B_VALUE_UNKNOWN


@pytest.mark.parametrize(
    ("suffix", "reason"), [("t2w", Reason.T2_MISSING), ("hbv", Reason.DWI_MISSING), ("adc", Reason.ADC_MISSING)]
)
def test_a_missing_file_is_named(folder: Path, suffix: str, reason: Reason) -> None:
    (folder / f"10005_1000005_{suffix}.mha").unlink()
    assert refusal(folder) is reason


def test_two_files_for_one_role_are_ambiguous(folder: Path) -> None:
    (folder / "more").mkdir()
    save(folder / "more" / "10005_1000005_adc.mha", (6, 7, 8), (2.0, 2.1, 3.6), 6)
    assert refusal(folder) is Reason.SERIES_AMBIGUOUS


def change_header(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/hostname", Reason.INPUT_UNREADABLE),
        (b"Offset", b"Comment", Reason.GEOMETRY_INVALID),
        (b"TransformMatrix", b"Comment", Reason.GEOMETRY_INVALID),
        (b"ElementSpacing", b"Comment", Reason.GEOMETRY_INVALID),
        (b"DimSize = 9 10 12", b"DimSize = 90000 90000 90000", Reason.INPUT_TOO_LARGE),
        (b"DimSize = 9 10 12", b"DimSize = 9 10 14", Reason.INPUT_UNREADABLE),
        (b"DimSize = 9 10 12", b"DimSize = 9 10 11", Reason.INPUT_UNREADABLE),
        (b"TransformMatrix = 1 0 0", b"TransformMatrix = 1 1 0", Reason.GEOMETRY_INVALID),
        (b"ElementSpacing = 0.5 ", b"ElementSpacing = 50 ", Reason.GEOMETRY_INVALID),
        (b"ElementType = MET_SHORT", b"ElementType = MET_OTHER", Reason.INPUT_UNREADABLE),
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, old: bytes, new: bytes, reason: Reason) -> None:
    change_header(folder / "10005_1000005_t2w.mha", old, new)
    assert refusal(folder) is reason


def test_a_cut_off_file_is_unreadable(folder: Path) -> None:
    path = folder / "10005_1000005_adc.mha"
    path.write_bytes(path.read_bytes()[:-200])
    assert refusal(folder) is Reason.INPUT_UNREADABLE


def test_values_that_are_not_finite_are_refused(folder: Path) -> None:
    image = sitk.GetImageFromArray(np.full((8, 7, 6), np.nan, np.float32))
    sitk.WriteImage(image, str(folder / "10005_1000005_adc.mha"))
    assert refusal(folder) is Reason.PIXELS_UNREADABLE
