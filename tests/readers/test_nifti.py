import gzip
import zipfile

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import inspect_study, read_study
from prostate_alm.readers.nifti import LoadStudy, read_b_value_file, read_nifti_study, write_nifti_study
from prostate_alm.study import Geometry, Study, Volume

# A tilted plane, turned by 0.02°: there the quaternion of a NIfTI header, in RAS, rounds worst.
ROW = np.array([0.99999921, -0.00039861, -0.00119198])
COLUMN = np.cross([0.0, 0.31714683, 0.94837645], ROW)
ROTATION = np.stack([ROW, COLUMN / np.linalg.norm(COLUMN), np.cross(ROW, COLUMN) / np.linalg.norm(COLUMN)], axis=1)
AFFINE = np.eye(4)
AFFINE[:3, :3] = ROTATION @ np.diag([0.5, 0.6, 3.6])
AFFINE[:3, 3] = (-57.69, -112.72, 27.08)


@pytest.fixture
def study():
    rng = np.random.default_rng(0)

    def volume(shape, affine):
        return Volume(rng.normal(300, 100, shape).astype(np.float32), Geometry(shape, affine))

    coarse = AFFINE @ np.diag([3.0, 3.0, 1.0, 1.0])
    dwi = {float(b): volume((6, 7, 8), coarse) for b in (800, 50, 400)}
    return Study("k", volume((9, 10, 12), AFFINE), dwi, volume((6, 7, 8), coarse))


@pytest.fixture
def folder(study, tmp_path):
    write_nifti_study(study, tmp_path / "nifti")
    return tmp_path / "nifti"


def refusal(path):
    with pytest.raises(StudyRefusedError) as caught:
        read_study(path)
    return caught.value.reason


def inspected(path):
    error = inspect_study(path).refusal
    assert error is not None
    return error.reason


def load(path):
    image = nib.load(path)
    assert isinstance(image, Nifti1Image)
    return image


def rewrite(path, change):
    """Change a file's image and write it again."""
    image = load(path)
    change(image)
    nib.save(Nifti1Image(np.asarray(image.dataobj), None, image.header), path)


def test_what_is_written_reads_back_the_same(study, tmp_path):
    entry = write_nifti_study(study, tmp_path)
    assert entry == {"t2": "t2.nii.gz", "dwi": "dwi.nii.gz", "adc": "adc.nii.gz", "b_values": [50.0, 400.0, 800.0]}
    back = read_nifti_study(
        tmp_path / "t2.nii.gz", tmp_path / "dwi.nii.gz", b_values=[50, 400, 800], adc=tmp_path / "adc.nii.gz", key="p"
    )
    pairs = [(back.t2, study.t2), (back.adc, study.adc), *((back.dwi[b], study.dwi[b]) for b in (50, 400, 800))]
    for found, expected in pairs:
        assert np.array_equal(found.data, expected.data)
        assert np.abs(found.geometry.affine - expected.geometry.affine).max() < 1e-5
    assert (back.key, back.flags) == ("p", ())


def test_the_file_counts_right_and_anterior_where_the_study_counts_left_and_posterior(study, folder):
    affine = np.asarray(load(folder / "t2.nii.gz").affine)
    assert np.allclose(affine[:2], -study.t2.geometry.affine[:2], atol=1e-5)
    assert np.allclose(affine[2], study.t2.geometry.affine[2], atol=1e-5)
    assert nib.aff2axcodes(affine) == ("L", "P", "S")


def test_writing_twice_gives_the_same_bytes(study, folder, tmp_path):
    write_nifti_study(study, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_dicom_study_keeps_its_key_as_nifti(build, write, tmp_path):
    study = read_study(write(build.study()))
    write_nifti_study(study, tmp_path / "nifti")
    assert read_study(tmp_path / "nifti").key == study.key


def test_a_folder_or_zip_of_nifti_is_a_study(study, folder, tmp_path):
    (folder / "notes.txt").write_text("stray")
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in folder.iterdir():
            target.write(path, f"patient/{path.name}")
    for path in (folder, archive):
        read = read_study(path)
        assert np.array_equal(read.t2.data, study.t2.data)
        assert [(one.role, one.b_values) for one in read.series] == [("t2", ()), ("dwi", (50, 400, 800)), ("adc", ())]
        found = inspect_study(path)
        assert [str(one.role) for one in found.found if one.chosen] == ["axial T2", "DWI", "ADC"]
        assert found.skipped_files == 1


def test_uncompressed_files_read_alike(study, folder):
    for path in list(folder.glob("*.nii.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(read_study(folder).adc.data, study.adc.data)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t2.nii.gz", Reason.T2_MISSING),
        ("dwi.nii.gz", Reason.DWI_MISSING),
        ("dwi.bval", Reason.B_VALUE_UNKNOWN),
    ],
)
def test_a_missing_file_is_named(folder, name, reason):
    (folder / name).unlink()
    assert refusal(folder) is reason
    assert inspected(folder) is reason


def test_a_missing_adc_is_fitted_and_flagged(folder):
    (folder / "adc.nii.gz").unlink()
    assert read_study(folder).flags == inspect_study(folder).flags == (Reason.ADC_COMPUTED,)


def test_a_missing_adc_and_one_b_value(folder):
    (folder / "adc.nii.gz").unlink()
    image = load(folder / "dwi.nii.gz")
    nib.save(image.slicer[..., 2], folder / "dwi.nii.gz")
    (folder / "dwi.bval").write_text("800")
    assert refusal(folder) is Reason.ADC_MISSING
    assert inspected(folder) is Reason.ADC_MISSING


@pytest.mark.parametrize("text", ["50 400", "50 400 400", "50 400 -800", "50 400 nan", "50 400 high", ""])
def test_b_values_that_do_not_fit_are_refused(folder, text):
    (folder / "dwi.bval").write_text(text)
    assert refusal(folder) is Reason.B_VALUE_UNKNOWN


def test_b_values_are_sorted_with_their_volumes(study, folder):
    (folder / "dwi.bval").write_text("800 50\n400")
    read = read_study(folder)
    assert list(read.dwi) == [50, 400, 800]
    assert np.array_equal(read.dwi[800].data, study.dwi[50].data)
    assert read_b_value_file(folder / "dwi.bval") == [800, 50, 400]


def test_b_0_alone_is_no_dwi(folder):
    nib.save(load(folder / "dwi.nii.gz").slicer[..., 0], folder / "dwi.nii.gz")
    (folder / "dwi.bval").write_text("0")
    assert refusal(folder) is Reason.DWI_MISSING


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.99])
def test_a_cut_off_file_is_unreadable(folder, keep):
    path = folder / "t2.nii.gz"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert refusal(folder) is Reason.INPUT_UNREADABLE


def test_values_that_are_not_finite_are_refused(folder):
    image = load(folder / "adc.nii.gz")
    data = np.array(image.get_fdata(), dtype=np.float32)
    data[1, 2, 3] = np.nan
    nib.save(Nifti1Image(data, image.affine), folder / "adc.nii.gz")
    assert refusal(folder) is Reason.PIXELS_UNREADABLE


def _flip_qform(image):
    image.set_qform(image.affine @ np.diag([-1, -1, 1, 1]), code="scanner", update_affine=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.set_sform(None, code="unknown", update_affine=False),
        lambda image: image.header.set_xyzt_units("meter"),
        lambda image: image.set_sform(image.affine + np.eye(4, k=1), code="scanner"),  # shear
        _flip_qform,
    ],
    ids=["no orientation", "metres", "shear", "two orientations"],
)
def test_an_orientation_that_is_not_stated_is_refused(folder, change):
    rewrite(folder / "t2.nii.gz", change)
    assert refusal(folder) is Reason.GEOMETRY_INVALID


def test_a_quaternion_that_rounds_differently_is_accepted(study, folder):
    rewrite(folder / "t2.nii.gz", lambda image: image.set_qform(image.affine, code="scanner", update_affine=False))
    assert np.allclose(read_study(folder).t2.geometry.affine, study.t2.geometry.affine, atol=1e-5)


def test_a_t2_of_several_volumes_is_refused(folder):
    (folder / "t2.nii.gz").write_bytes((folder / "dwi.nii.gz").read_bytes())
    assert refusal(folder) is Reason.GEOMETRY_INVALID


def test_a_size_that_is_claimed_is_refused_before_memory_is_taken(folder):
    image = Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4))
    content = bytearray(image.to_bytes())
    content[42:48] = np.array([32_000, 32_000, 32_000], "<i2").tobytes()
    (folder / "t2.nii.gz").write_bytes(gzip.compress(content))
    assert refusal(folder) is Reason.INPUT_TOO_LARGE


@pytest.mark.parametrize("twin", ["inner/t2.nii.gz", "T2.nii"])
def test_two_files_for_one_role_are_ambiguous(folder, twin):
    (folder / twin).parent.mkdir(exist_ok=True)
    (folder / twin).write_bytes((folder / "t2.nii.gz").read_bytes())
    assert refusal(folder) is Reason.SERIES_AMBIGUOUS


def test_dicom_beside_nifti_is_ambiguous(build, folder):
    build.write(build.t2(), folder)
    assert refusal(folder) is Reason.SERIES_AMBIGUOUS


def test_a_datalist_entry_gets_its_study_and_keeps_the_rest(study, folder):
    entry = {
        "t2": str(folder / "t2.nii.gz"),
        "dwi": str(folder / "dwi.nii.gz"),
        "adc": folder / "adc.nii.gz",
        "b_values": [50, 400, 800],
        "study": "patient-7",
        "label": 1,
        "index": 3,
    }
    loaded = LoadStudy()(entry)
    assert loaded["study"].key == "patient-7"
    assert np.array_equal(loaded["study"].adc.data, study.adc.data)
    assert (loaded["label"], loaded["index"], loaded["t2"]) == (1, 3, entry["t2"])
    assert entry["study"] == "patient-7"
    del entry["adc"], entry["study"]
    loaded = LoadStudy()(entry)
    assert loaded["study"].flags == (Reason.ADC_COMPUTED,)
    assert loaded["study"].key


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StudyRefusedError, match="T2_MISSING"):
        read_nifti_study(tmp_path / "t2.nii", tmp_path / "dwi.nii", b_values=[50, 800])


def test_files_of_two_folders_are_no_study(folder):
    (folder / "visit").mkdir()
    (folder / "dwi.nii.gz").rename(folder / "visit" / "dwi.nii.gz")
    assert refusal(folder) is Reason.MULTIPLE_STUDIES


@pytest.mark.parametrize("factor", [1e-3, 10.0])
def test_another_unit_than_mm_is_refused(folder, factor):
    def rescale(image):
        image.set_sform(np.diag([factor, factor, factor, 1.0]) @ image.affine, code="scanner")

    rewrite(folder / "t2.nii.gz", rescale)
    assert refusal(folder) is Reason.GEOMETRY_INVALID
