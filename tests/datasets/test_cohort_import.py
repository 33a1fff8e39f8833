"""Importing: what is kept equals what the reader sees, what is not is listed, nothing is read twice."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from prostate_alm.datasets.cohort_import import import_dicom_cohort
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.errors import ArgumentError, CohortError, Reason
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import LoadStudy


@pytest.fixture(scope="module")
def dicom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training patients and one unseen one; one is a zip."""
    out = tmp_path_factory.mktemp("cohort")
    synthesize_cohort(out, CohortPlan(2, 1, seed=9, difficulty="easy", format="dicom"))
    shutil.make_archive(str(out / "dicom" / "syn9-0001"), "zip", out / "dicom" / "syn9-0001")
    shutil.rmtree(out / "dicom" / "syn9-0001")
    return out


@pytest.fixture
def with_faults(dicom_cohort: Path, tmp_path: Path) -> Path:
    """The same cohort with a study that lacks T2, one without a row, a row without a study."""
    shutil.copytree(dicom_cohort, tmp_path / "in")
    for path in (tmp_path / "in" / "dicom" / "syn9-0000").glob("03-*.dcm"):
        path.unlink()
    (tmp_path / "in" / "dicom" / "stray").mkdir()
    (tmp_path / "in" / "dicom" / ".syn9-0000.77.partial").mkdir()
    with (tmp_path / "in" / "labels.csv").open("a") as file:
        file.write("absent,absent,0,training,normal,0,0,0,,vendor_a,HFS\n")
    return tmp_path / "in"


def test_the_datalist_holds_what_the_reader_sees(dicom_cohort: Path, tmp_path: Path) -> None:
    report = import_dicom_cohort(dicom_cohort / "dicom", dicom_cohort / "labels.csv", tmp_path, workers=2)
    assert (report.found, report.kept, report.excluded) == (3, 3, [])
    datalist = read_datalist(tmp_path / "datalist.json")
    training, test = datalist.entries("training"), datalist.entries("test")
    assert [entry["study"] for entry in training] == ["syn9-0000", "syn9-0001"]
    assert test[0]["study"] == "syn9-test-0000"
    assert training[0]["vendor"].startswith("vendor_")
    assert training[0]["field_strength"] == 3.0
    read, kept = read_study(dicom_cohort / "dicom" / "syn9-0000"), LoadStudy()(training[0])["study"]
    assert np.array_equal(read.t2.data, kept.t2.data)
    assert np.array_equal(read.dwi[max(read.dwi)].data, kept.dwi[max(kept.dwi)].data)
    assert read.adc.geometry.is_close(kept.adc.geometry)


def test_an_adc_in_tenths_of_its_unit_is_rescaled_and_flagged(dicom_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(dicom_cohort, tmp_path / "in")
    for path in (tmp_path / "in" / "dicom" / "syn9-0000").glob("*.dcm"):
        image = dcmread(path)
        if "ADC" in image.ImageType:
            image.PixelData = (image.pixel_array // 10).astype(image.pixel_array.dtype).tobytes()
            image.save_as(path)
    import_dicom_cohort(tmp_path / "in" / "dicom", dicom_cohort / "labels.csv", tmp_path / "out")
    entries = read_datalist(tmp_path / "out" / "datalist.json").entries("training")
    flags = {entry["study"]: entry.get("flags", []) for entry in entries}
    assert flags == {"syn9-0000": ["ADC_RESCALED"], "syn9-0001": []}
    before, kept = read_study(dicom_cohort / "dicom" / "syn9-0000"), LoadStudy()(entries[0])["study"]
    assert np.abs(kept.adc.data - before.adc.data).max() < 10  # what the last digit lost


def test_what_can_not_be_kept_is_listed_with_its_reason(with_faults: Path, tmp_path: Path) -> None:
    report = import_dicom_cohort(with_faults / "dicom", with_faults / "labels.csv", tmp_path / "out")
    assert (report.found, report.kept) == (3, 2)
    assert [(excluded.study, excluded.reason) for excluded in report.excluded] == [("syn9-0000", Reason.T2_MISSING)]
    assert report.excluded_by_reason == {"T2_MISSING": 1}
    assert report.labels_without_study == ["absent"]
    assert report.studies_without_label == ["stray"]
    assert json.loads((tmp_path / "out" / "import_report.json").read_text())["kept"] == 2
    entries = read_datalist(tmp_path / "out" / "datalist.json").entries("training")
    assert [(entry["study"], entry["index"]) for entry in entries] == [("syn9-0001", 1)]


def test_an_unchanged_study_is_not_read_again_and_a_changed_one_is(with_faults: Path, tmp_path: Path) -> None:
    out, arguments = tmp_path / "out", (with_faults / "dicom", with_faults / "labels.csv")
    import_dicom_cohort(*arguments, out)
    kept = [out / "studies" / key / "t2.nii.gz" for key in ("syn9-0001", "syn9-test-0000")]
    before = [path.stat().st_mtime_ns for path in kept]
    (with_faults / "dicom" / "syn9-test-0000" / "06-0001.dcm").unlink()
    import_dicom_cohort(*arguments, out)
    after = [path.stat().st_mtime_ns for path in kept]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_study_that_became_unreadable_is_no_longer_kept(with_faults: Path, tmp_path: Path) -> None:
    out, arguments = tmp_path / "out", (with_faults / "dicom", with_faults / "labels.csv")
    import_dicom_cohort(*arguments, out)
    for path in (with_faults / "dicom" / "syn9-test-0000").glob("04-*.dcm"):
        path.unlink()
    report = import_dicom_cohort(*arguments, out)
    assert report.excluded_by_reason == {"T2_MISSING": 1, "DWI_MISSING": 1}
    assert not (out / "studies" / "syn9-test-0000").exists()


def test_a_cohort_of_nothing_is_an_error_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "dicom" / "A1").mkdir(parents=True)
    (tmp_path / "labels.csv").write_text("study,patient,label\nA1,p1,1\n")
    with pytest.raises(CohortError, match="none of 1 studies"):
        import_dicom_cohort(tmp_path / "dicom", tmp_path / "labels.csv", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "import_report.json").read_text())
    assert report["excluded"][0]["study"] == "A1"
    with pytest.raises(ArgumentError, match="folder"):
        import_dicom_cohort(tmp_path / "labels.csv", tmp_path / "labels.csv", tmp_path / "out")


def test_a_study_that_lies_there_twice_is_refused(with_faults: Path, tmp_path: Path) -> None:
    (with_faults / "dicom" / "stray.zip").touch()
    with pytest.raises(CohortError, match="as a folder and as a zip"):
        import_dicom_cohort(with_faults / "dicom", with_faults / "labels.csv", tmp_path / "out")
