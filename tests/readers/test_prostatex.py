"""The real study ProstateX-0000 against measured values and against dcm2niix."""

import os
import shutil
import subprocess
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from pydicom import dcmread

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import inspect_study, read_study
from prostate_alm.readers.adc import fit_adc


@pytest.fixture(scope="module")
def folder():
    data = os.environ.get("PROSTATE_ALM_DATA")
    if not data:
        pytest.skip("PROSTATE_ALM_DATA does not name the folder with prostatex/ProstateX-0000")
    return Path(data) / "prostatex" / "ProstateX-0000"


@pytest.fixture(scope="module")
def study(folder):
    return read_study(folder)


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def images(folder, number):
    return sorted(folder.glob(f"*/{number}.000000-*/*.dcm"))


def test_the_series_found_and_chosen(folder):
    found = inspect_study(folder)
    assert found.refusal is None
    assert {one.number: str(one.role) for one in found.found} == {
        3: "other",
        4: "axial T2",
        5: "other",
        6: "DWI",
        7: "ADC",
        8: "calculated b",
        9: "other",
    }
    assert [(one.role, one.number, one.b_values) for one in found.chosen] == [
        ("t2", 4, ()),
        ("dwi", 6, (50, 400, 800)),
        ("adc", 7, ()),
    ]
    assert "b 1000 was calculated" in next(one.why for one in found.found if one.number == 8)


_DWI_GRID = ((84, 128, 19), (2, 2, 3.0), (-45.69, -112.72, -16.95))


@pytest.mark.parametrize(
    ("name", "grid", "mean", "largest"),
    [
        ("t2", ((384, 384, 19), (0.5, 0.5, 3.0), (-57.69, -82.36, -27.08)), 221.727, 1118),
        (50, _DWI_GRID, 33.742, 983),
        (400, _DWI_GRID, 21.074, 415),
        (800, _DWI_GRID, 15.226, 315),
        ("adc", _DWI_GRID, 487.185, 3265),
    ],
)
def test_the_volumes_agree_with_an_independent_measurement(study, name, grid, mean, largest):
    volume = getattr(study, name) if isinstance(name, str) else study.dwi[name]
    shape, spacing, origin = grid
    assert volume.geometry.shape == shape
    assert tuple(round(value, 3) for value in volume.geometry.spacing) == spacing
    assert tuple(round(value, 2) for value in volume.geometry.origin) == origin
    assert round(float(volume.data.mean(dtype=np.float64)), 3) == mean
    assert volume.data.max() == largest


def test_the_facts_of_the_acquisition(study):
    assert (study.acquisition.vendor, study.acquisition.model) == ("SIEMENS", "Skyra")
    assert study.acquisition.field_strength == 3
    assert study.t2.frame_of_reference == study.adc.frame_of_reference != ""


@pytest.mark.parametrize(("number", "role"), [(4, "t2"), (6, "dwi"), (7, "adc")])
def test_dcm2niix_puts_every_voxel_at_the_same_place(folder, study, tmp_path, number, role):
    source = images(folder, number)[0].parent
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "volume", "-o", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    image = nib.load(next(tmp_path.glob("*.nii")))
    assert isinstance(image, Nifti1Image)
    theirs = np.asarray(image.dataobj, dtype=np.float32).reshape(*image.shape[:3], -1)
    ours = [*study.dwi.values()] if role == "dwi" else [getattr(study, role)]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine  # RAS to LPS
    to_ours = np.linalg.inv(ours[0].geometry.affine) @ affine
    steps = np.rint(to_ours)
    assert np.abs(to_ours - steps).max() < 0.01  # of a voxel: they differ by flipped axes at most
    index = np.indices(image.shape[:3]).reshape(3, -1)
    i, j, k = (steps[:3, :3] @ index + steps[:3, 3:]).astype(int)
    for number_of_b, volume in enumerate(ours):
        assert np.array_equal(volume.data[i, j, k], theirs[..., number_of_b].ravel())


def test_a_fit_agrees_with_the_scanners_map(study):
    fitted = fit_adc(study.dwi).data
    both = (fitted > 0) & (study.adc.data > 0)
    assert np.corrcoef(fitted[both], study.adc.data[both])[0, 1] > 0.995


def test_the_zip_is_the_folder(folder, study, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", folder)
    again = read_study(archive)
    assert again.key == study.key
    assert np.array_equal(again.t2.geometry.affine, study.t2.geometry.affine)


def test_jpeg_lossless_is_the_same_study(build, copy, study, tmp_path):
    for path in images(copy, 4):
        image = dcmread(path)
        build.jpeg_lossless(image, tmp_path / "frame.dcm")
        image.save_as(path, enforce_file_format=True)
    again = read_study(copy)
    assert np.array_equal(again.t2.data, study.t2.data)
    assert np.array_equal(again.t2.geometry.affine, study.t2.geometry.affine)


@pytest.mark.parametrize(("number", "index"), [(4, 9), (6, 30), (6, 0), (6, 56), (7, 8)])
def test_a_removed_slice_is_refused(copy, number, index):
    images(copy, number)[index].unlink()
    with pytest.raises(StudyRefusedError) as caught:
        read_study(copy)
    assert caught.value.reason is Reason.SLICE_MISSING


@pytest.mark.parametrize(("numbers", "reason"), [((4,), Reason.T2_MISSING), ((6,), Reason.DWI_MISSING)])
def test_a_removed_series_is_refused(copy, numbers, reason):
    for number in numbers:
        shutil.rmtree(images(copy, number)[0].parent)
    with pytest.raises(StudyRefusedError) as caught:
        read_study(copy)
    assert caught.value.reason is reason


def test_without_the_adc_one_is_fitted(copy):
    shutil.rmtree(images(copy, 7)[0].parent)
    assert read_study(copy).flags == (Reason.ADC_COMPUTED,)
