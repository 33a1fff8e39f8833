"""Each vendor's files, classic and enhanced: dcm2niix and our reader see the volumes they were made of."""

import subprocess
from pathlib import Path

import dcm2niix
import numpy as np
import pydicom
import pytest
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from prostate_alm.datasets.synthetic.corpus import Case, CasePlan, write_case
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.datasets.synthetic.vendors import VENDORS
from prostate_alm.readers import read_study
from prostate_alm.study import Geometry, Role

NAMES = [vendor.name for vendor in VENDORS]
# dcm2niix takes GE's 10⁹ + b for b 0, and an isotropic frame of Philips for b 2000.
B_VALUES_LOST = {("ge", Layout.MULTI_B), ("ge", Layout.ENHANCED), ("philips", Layout.ENHANCED)}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def written(tmp_path: Path, layout: Layout, vendor: str) -> Case:
    return write_case(CasePlan(3, 5, layout, vendor), tmp_path)


def converted(case: Case, out: Path) -> None:
    """Enhanced files one by one: converted together, dcm2niix 1.0.20260724 mixes up their rescale slopes."""
    out.mkdir()
    enhanced = case.plan.layout is Layout.ENHANCED
    for path in sorted(case.path.iterdir()) if enhanced else [case.path]:
        single = ["-s", "y"] if enhanced else []
        command = [dcm2niix.bin, "-f", "%s", "-z", "n", *single, "-o", str(out), str(path)]
        subprocess.run(command, check=True, capture_output=True)


def loaded(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values ``[X, Y, Z(, B)]`` and LPS affine, with the rows turned back that dcm2niix turns around."""
    image = Nifti1Image.from_filename(path)
    affine = RAS_TO_LPS @ np.asarray(image.affine, dtype=float)
    affine[:3, 3] += affine[:3, 1] * (image.shape[1] - 1)
    affine[:3, 1] *= -1
    return np.asarray(image.get_fdata()[:, ::-1], dtype=np.float64), affine


def same_place(affine: NDArray[np.float64], geometry: Geometry) -> bool:
    return Geometry(geometry.shape, affine).is_close(geometry, tolerance_mm=0.02)


@pytest.mark.parametrize("vendor", NAMES)
@pytest.mark.parametrize("layout", [Layout.MULTI_B])
def test_dcm2niix_sees_the_same_volumes(tmp_path: Path, layout: Layout, vendor: str) -> None:
    case = written(tmp_path, layout, vendor)
    (study,) = case.studies
    converted(case, tmp_path / "converted")
    (t2,), (dwi,), (adc,) = (case.series[role] for role in (Role.T2, Role.DWI, Role.ADC))
    for number, volume in ((t2, study.t2), (adc, study.adc)):
        values, affine = loaded(tmp_path / "converted" / f"{number}.nii")
        assert np.abs(values - volume.data).max() < 1e-3
        assert same_place(affine, volume.geometry)
    values, affine = loaded(tmp_path / "converted" / f"{dwi}.nii")
    made = np.stack([study.dwi[b].data for b in study.dwi], axis=-1)
    if values.ndim == 3:  # dcm2niix leaves the b-values of Siemens' and GE's enhanced files one above the other
        values = np.stack(np.split(values, len(study.dwi), axis=2), axis=-1)
    assert np.abs(values - made).max() < 1e-3
    assert same_place(affine, study.adc.geometry)
    if (vendor, layout) not in B_VALUES_LOST:
        b_values = [float(b) for b in (tmp_path / "converted" / f"{dwi}.bval").read_text().split()]
        assert b_values == list(study.dwi)


@pytest.mark.parametrize("vendor", NAMES)
def test_our_reader_sees_the_same_volumes(tmp_path: Path, vendor: str) -> None:
    case = written(tmp_path, Layout.MULTI_B, vendor)
    (study,) = case.studies
    again = read_study(case.path)
    assert np.array_equal(again.t2.data, study.t2.data)
    assert np.array_equal(again.adc.data, study.adc.data)
    assert [b for b in again.dwi if np.array_equal(again.dwi[b].data, study.dwi[b].data)] == list(study.dwi)
    assert np.abs(again.t2.geometry.affine - study.t2.geometry.affine).max() < 1e-5


@pytest.mark.parametrize(
    ("vendor", "tag", "content"),
    [
        ("siemens", 0x0019_100C, b"800 "),
        ("ge", 0x0043_1039, [1_000_001_000, 8, 0, 0]),
        ("philips", 0x2001_1003, 800.0),
        ("siemens_xa", 0x0018_9087, 1000.0),
    ],
)
def test_each_vendor_keeps_the_b_value_in_its_own_tag(tmp_path: Path, vendor: str, tag: int, content: object) -> None:
    case = written(tmp_path, Layout.MULTI_B, vendor)
    last = max(path for path in case.path.iterdir() if path.name.startswith("04-"))
    image = pydicom.dcmread(last)
    value = image[tag].value
    assert (list(value) if isinstance(content, list) else value) == content
    others = {0x0019_100C, 0x0043_1039, 0x2001_1003, 0x0018_9087} - {tag}
    assert not others & set(image.keys())


def test_slice_thickness_is_not_the_gap_between_slices(tmp_path: Path) -> None:
    image = pydicom.dcmread(written(tmp_path, Layout.MULTI_B, "philips").path / "03-0001.dcm")
    assert image.SliceThickness < image.SpacingBetweenSlices
