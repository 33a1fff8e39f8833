"""NIfTI as dcm2niix writes it: roles by sidecar, name and grid; a tie is refused, a hand's choice is taken."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from prostate_alm.errors import Reason
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.image_files import examine_image_files
from prostate_alm.readers.inspection import Inspection
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.study import Study

NAME = "DOE_JANE"
DWI_GRID = np.diag([-2.0, -2.0, 3.0, 1.0])
T2_GRID = np.diag([-0.5, -0.5, 3.0, 1.0])


def save(path: Path, shape: tuple[int, ...], affine: np.ndarray, seed: int = 1) -> None:
    """A NIfTI file of noise whose qform states the grid."""
    data = np.random.default_rng(seed).integers(1, 1000, shape).astype(np.int16)
    image = Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code="scanner")
    nib.save(image, path)


def sagittal() -> np.ndarray:
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = -0.5, -0.5, 3.6, 1.0
    return affine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What dcm2niix makes of ProstateX-0000, with its default names."""
    save(tmp_path / f"{NAME}_t2_tse_sag_20110707_3.nii.gz", (30, 30, 12), sagittal())
    save(tmp_path / f"{NAME}_t2_tse_tra_20110707_4.nii.gz", (30, 30, 12), T2_GRID)
    save(tmp_path / f"{NAME}_ep2d_diff_tra_20110707_6.nii.gz", (8, 9, 12, 3), DWI_GRID)
    save(tmp_path / f"{NAME}_ep2d_diff_tra_20110707_7_ADC.nii.gz", (8, 9, 12), DWI_GRID, seed=7)
    save(tmp_path / f"{NAME}_ep2d_diff_tra_CALC_BVAL_20110707_8.nii.gz", (8, 9, 12), DWI_GRID, seed=8)
    for stem, values in (("6", "50 400 800"), ("7_ADC", "800"), ("CALC_BVAL_20110707_8", "1000")):
        stems = [p.name[: -len(".nii.gz")] for p in tmp_path.glob(f"*{stem}.nii.gz")]
        (tmp_path / f"{stems[0]}.bval").write_text(values + "\n")
    return tmp_path


def examine(folder: Path, series: SeriesChoice | None = None) -> tuple[Inspection, Study | None]:
    files = [SourceFile(p.relative_to(folder).as_posix(), p) for p in sorted(folder.rglob("*")) if p.is_file()]
    answer = examine_image_files(files, series=series)
    assert answer is not None
    refusal = answer[0].refusal
    assert NAME not in f"{answer!r} {refusal}"
    return answer


def reason(folder: Path, series: SeriesChoice | None = None) -> Reason:
    refusal = examine(folder, series)[0].refusal
    assert refusal is not None
    return refusal.reason


def chosen(study: Study | None) -> list[tuple[str, int | None, tuple[float, ...]]]:
    assert study is not None
    return [(str(one.role), one.number, one.b_values) for one in study.series]


def test_the_default_names_give_the_study(folder: Path) -> None:
    inspection, study = examine(folder)
    assert chosen(study) == [("t2", 4, ()), ("dwi", 6, (50, 400, 800)), ("adc", 7, ())]
    assert [(one.number, str(one.role)) for one in inspection.found] == [
        (3, "other"), (4, "axial T2"), (6, "DWI"), (7, "ADC"), (8, "calculated b"),
    ]  # fmt: skip
    assert study is not None
    stack = np.asarray(nib.load(next(folder.glob("*_6.nii.gz"))).dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    assert np.array_equal(study.dwi[400.0].data, stack[..., 1])


def test_series_of_one_b_value_are_joined(folder: Path) -> None:
    next(folder.glob("*_6.nii.gz")).unlink()
    for number, b in ((9, 50), (10, 800)):
        save(folder / f"diff_20110707_{number}.nii.gz", (8, 9, 12), DWI_GRID, seed=number)
        (folder / f"diff_20110707_{number}.bval").write_text(str(b))
    assert chosen(examine(folder)[1])[1:3] == [("dwi", 9, (50,)), ("dwi", 10, (800,))]
    save(folder / "diff_20110707_11.nii.gz", (8, 9, 12), DWI_GRID, seed=11)
    (folder / "diff_20110707_11.bval").write_text("800")
    assert reason(folder) is Reason.SERIES_AMBIGUOUS  # one b-value twice, as of two DICOM series


def test_a_sidecar_outranks_the_name(folder: Path) -> None:
    """A T1 that is called T2, and an ADC whose name does not say so."""
    save(folder / "t2_extra_12.nii.gz", (30, 30, 12), np.diag([-0.4, -0.4, 3.0, 1.0]))
    (folder / "t2_extra_12.json").write_text(json.dumps({"EchoTime": 0.01, "RepetitionTime": 0.6}))
    (path,) = folder.glob("*_7_ADC.nii.gz")
    path.rename(folder / "map_20110707_7.nii.gz")
    (folder / "map_20110707_7.bval").write_text("800")
    (folder / "map_20110707_7.json").write_text(json.dumps({"ImageType": ["DERIVED", "ADC"], "PatientName": NAME}))
    assert chosen(examine(folder)[1]) == [("t2", 4, ()), ("dwi", 6, (50, 400, 800)), ("adc", 7, ())]


@pytest.mark.parametrize(
    ("stem", "shape", "affine", "b_values"),
    [
        ("t2_repeat_14", (30, 30, 12), T2_GRID, ""),
        ("diff_15", (8, 9, 12, 2), DWI_GRID, "50 800"),
        ("again_16_ADC", (8, 9, 12), DWI_GRID, "800"),
    ],
)
def test_a_tie_is_refused(folder: Path, stem: str, shape: tuple[int, ...], affine: np.ndarray, b_values: str) -> None:
    save(folder / f"{stem}.nii.gz", shape, affine)
    if b_values:
        (folder / f"{stem}.bval").write_text(b_values)
    assert reason(folder) is Reason.SERIES_AMBIGUOUS


def test_a_person_settles_a_tie(folder: Path) -> None:
    save(folder / "t2_repeat_20110707_14.nii.gz", (30, 30, 12), T2_GRID, seed=14)
    _, study = examine(folder, SeriesChoice(t2="14"))
    assert chosen(study)[0] == ("t2", 14, ())
    assert study is not None
    assert study.flags == (Reason.SERIES_NAMED_BY_HAND,)
    assert reason(folder, SeriesChoice(t2="99")) is Reason.SERIES_NOT_FOUND


def test_what_is_missing_is_named(folder: Path) -> None:
    for pattern, expected in (("*_7_ADC.nii.gz", None), ("*_6.nii.gz", Reason.ADC_MISSING)):
        (path,) = folder.glob(pattern)
        path.unlink()
        if expected is None:
            study = examine(folder)[1]
            assert study is not None
            assert study.flags == (Reason.ADC_COMPUTED,)
    assert reason(folder) is Reason.DWI_MISSING
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    save(folder / "diff_15.nii.gz", (8, 9, 12, 2), DWI_GRID)
    (folder / "diff_15.bval").write_text("50 800")
    assert reason(folder) is Reason.T2_MISSING


TRACE = ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]
PLAIN = {"EchoTime": 0.1, "RepetitionTime": 4.0, "ImageType": ["ORIGINAL", "PRIMARY", "M"]}


def add(
    folder: Path, number: int, sidecar: dict[str, object], grid: np.ndarray = T2_GRID, b: int | None = None
) -> None:
    """One more file, of the size of the T2 or of the DWI."""
    shape = (30, 30, 12) if grid is not DWI_GRID else (8, 9, 12)
    save(folder / f"extra_{number}.nii.gz", shape, grid, seed=number)
    (folder / f"extra_{number}.json").write_text(json.dumps({"SeriesNumber": number, **sidecar}))
    if b is not None:
        (folder / f"extra_{number}.bval").write_text(str(b))


@pytest.mark.parametrize(
    "changes",
    [
        {"InversionTime": 0.22},
        {"ScanningSequence": "SE_IR"},
        {"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        {"ScanOptions": "PFP_FS"},
        {"ContrastBolusIngredient": "GADOLINIUM"},
    ],
)
def test_no_lesser_t2_comes_before_a_plain_one(folder: Path, changes: dict[str, object]) -> None:
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    add(folder, 14, PLAIN)
    add(folder, 15, {**PLAIN, **changes})
    assert chosen(examine(folder)[1])[0] == ("t2", 14, ())


def test_t2_acquired_differently_are_ambiguous(folder: Path) -> None:
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    add(folder, 14, PLAIN)
    add(folder, 15, {**PLAIN, "EchoTime": 0.07}, np.diag([-0.3, -0.3, 3.0, 1.0]))
    assert reason(folder) is Reason.SERIES_AMBIGUOUS


@pytest.mark.parametrize("calculated", [{"SequenceName": "ep_b50_1400"}, {"ImageType": TRACE}])
def test_a_calculated_b_value_is_not_joined(folder: Path, calculated: dict[str, object]) -> None:
    next(folder.glob("*_6.nii.gz")).unlink()
    for number, b in ((10, 50), (11, 800)):
        add(folder, number, {"ImageType": TRACE, "SequenceName": f"ep_b{b}t"}, DWI_GRID, b)
    add(folder, 12, calculated, DWI_GRID, 1400)
    assert chosen(examine(folder)[1])[1:3] == [("dwi", 10, (50,)), ("dwi", 11, (800,))]


def test_what_may_be_calculated_is_refused(folder: Path) -> None:
    next(folder.glob("*_6.nii.gz")).unlink()
    for number, b in ((10, 50), (11, 800)):
        add(folder, number, {"ImageType": TRACE}, DWI_GRID, b)
    assert reason(folder) is Reason.SERIES_AMBIGUOUS
    add(folder, 11, {"ImageType": TRACE, "SequenceName": "ep_b500t"}, DWI_GRID, 800)
    assert reason(folder, SeriesChoice(dwi="10+11")) is Reason.B_VALUE_UNKNOWN


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"t2": "3"}, Reason.SERIES_NOT_FOUND),  # sagittal
        ({"t2": "7"}, Reason.SERIES_NOT_FOUND),
        ({"t2": "20"}, Reason.SERIES_NOT_FOUND),
        ({"dwi": "7"}, Reason.SERIES_NOT_FOUND),
        ({"dwi": "8"}, Reason.SERIES_NOT_FOUND),
        ({"adc": "4"}, Reason.SERIES_NOT_FOUND),
        ({"adc": "21"}, Reason.SERIES_NOT_FOUND),
        ({"adc": "22"}, Reason.GEOMETRY_INVALID),
    ],
)
def test_physics_and_grid_outrank_a_name(folder: Path, names: dict[str, str], expected: Reason) -> None:
    add(folder, 20, {"EchoTime": 0.0017, "RepetitionTime": 0.004})
    add(folder, 21, {"ImageType": ["DERIVED", "FA"]}, DWI_GRID)
    add(folder, 22, {"ImageType": ["DERIVED", "ADC"]}, np.diag([-1.0, -1.0, 3.0, 1.0]))
    assert reason(folder, SeriesChoice(**names)) is expected


def test_nothing_of_a_sidecar_that_names_the_patient_is_shown(folder: Path) -> None:
    canary = "Zyzzyva"
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    texts = {
        "Manufacturer": f"Siemens of {canary}",
        "ManufacturersModelName": f"{canary} 1",
        "SeriesDescription": canary,
    }
    add(folder, 14, {**PLAIN, **texts})
    (folder / f"{NAME}_t2_tse_sag_20110707_3.json").write_text(json.dumps({"PatientName": f"{canary}^Max"}))
    inspection, study = examine(folder)
    assert study is not None
    assert canary not in f"{inspection!r} {study.series} {study.acquisition}"
    assert study.acquisition.vendor == "Siemens of ***"


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("PatientID", Reason.MULTIPLE_PATIENTS),
        ("PatientName", Reason.MULTIPLE_PATIENTS),
        ("StudyInstanceUID", Reason.MULTIPLE_STUDIES),
    ],
)
def test_sidecars_of_two_patients_or_studies_are_refused(folder: Path, element: str, expected: Reason) -> None:
    t2, dwi = f"{NAME}_t2_tse_tra_20110707_4.json", f"{NAME}_ep2d_diff_tra_20110707_6.json"
    (folder / t2).write_text(json.dumps({element: NAME}))
    (folder / dwi).write_text(json.dumps({element: NAME}))
    assert examine(folder)[0].refusal is None
    (folder / dwi).write_text(json.dumps({element: f"{NAME}2"}))
    assert reason(folder) is expected


def test_a_patients_number_in_a_name_is_no_series_number(tmp_path: Path) -> None:
    save(tmp_path / "847362_T2.nii.gz", (30, 30, 12), T2_GRID)
    save(tmp_path / "847362_T2b.nii.gz", (30, 30, 12), T2_GRID)
    save(tmp_path / "847362_DWI.nii.gz", (8, 9, 12, 3), DWI_GRID)
    (tmp_path / "847362_DWI.bval").write_text("50 400 800\n")
    assert "847362" not in f"{examine(tmp_path)!r} {examine(tmp_path)[0].refusal}"
    inspection, study = examine(tmp_path, SeriesChoice(t2="847362_T2"))
    assert study is not None
    assert "847362" not in f"{inspection!r} {study.series}"


FINE = np.diag([-0.3, -0.3, 3.0, 1.0])


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        ({"ScanOptions": "FS"}, {"EchoTime": 0.08, "RepetitionTime": 1.3}),  # a HASTE wins over the fat-suppressed TSE
        ({"SeriesDescription": "t2_local"}, {}),
        ({"EchoTime": 0.05}, {}),
    ],
)
def test_no_coarser_t2_wins_where_a_finer_one_may_be_right(
    folder: Path, fine: dict[str, object], coarse: dict[str, object]
) -> None:
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    add(folder, 14, {**PLAIN, **fine}, FINE)
    add(folder, 15, {**PLAIN, **coarse})
    assert reason(folder) is Reason.SERIES_AMBIGUOUS
    assert chosen(examine(folder, SeriesChoice(t2="14"))[1])[0] == ("t2", 14, ())


@pytest.mark.parametrize(
    "fat", [{"SeriesDescription": "FAT: Ax T2 IDEAL"}, {"ImageType": ["DERIVED", "FAT"]}, {"ImageType": ["R", "SE"]}]
)
def test_a_fat_or_real_image_is_no_t2(folder: Path, fat: dict[str, object]) -> None:
    next(folder.glob("*tra_20110707_4.nii.gz")).unlink()
    add(folder, 14, {**PLAIN, **fat})
    assert reason(folder) is Reason.T2_MISSING


def test_coarser_diffusion_does_not_win_by_a_higher_b_value(folder: Path) -> None:
    save(folder / "pelvis_15.nii.gz", (8, 9, 12, 2), np.diag([-4.0, -4.0, 6.0, 1.0]))
    (folder / "pelvis_15.bval").write_text("0 1000")
    assert reason(folder) is Reason.SERIES_AMBIGUOUS


def test_directions_do_not_win_over_the_trace(folder: Path) -> None:
    save(folder / "dti_15.nii.gz", (8, 9, 12, 3), DWI_GRID)
    (folder / "dti_15.bval").write_text("0 1000 1000")
    assert reason(folder) is Reason.SERIES_AMBIGUOUS


def test_a_map_beside_two_acquisitions_on_its_grid_is_nobodys(folder: Path) -> None:
    save(folder / "diff_20110707_15.nii.gz", (8, 9, 12, 2), DWI_GRID, seed=15)
    (folder / "diff_20110707_15.bval").write_text("50 1000")
    _, study = examine(folder)
    assert chosen(study)[1:] == [("dwi", 15, (50, 1000))]
    assert study is not None
    assert study.flags == (Reason.ADC_COMPUTED,)
    assert chosen(examine(folder, SeriesChoice(adc="7"))[1])[2] == ("adc", 7, ())


def test_a_weighted_image_that_is_called_adc_is_no_map(folder: Path) -> None:
    next(folder.glob("*_6.nii.gz")).unlink()
    add(folder, 10, {"ImageType": TRACE, "SequenceName": "ep_b50t"}, DWI_GRID, 50)
    called = {"ImageType": TRACE, "SequenceName": "ep_b800t", "SeriesDescription": "DWI ADC b800"}
    add(folder, 11, called, DWI_GRID, 800)
    assert chosen(examine(folder)[1])[1:3] == [("dwi", 10, (50,)), ("dwi", 11, (800,))]
