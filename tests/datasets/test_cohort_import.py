"""Importing: what is kept equals what the reader sees, what is not is listed, nothing is read twice."""

import json
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from prostate_alm.datasets.cohort_import import import_dicom_cohort
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.import_report import ConflictKind, ImportReport
from prostate_alm.datasets.study_keys import StudyKey, default_keys_file, read_keys
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.errors import ArgumentError, CohortError, Reason
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import LoadStudy

TABLE = """study,patient,label,split,t2_series,site
Doe_0,Doe,0,training,3,north
Doe_1,Doe,1,training,,south
{uid},Roe,0,test,,north
no_t2,Poe,1,test,,north
absent,Poe,1,test,,north
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, a zip, files of a flat dump named by UID, one study without T2, one that no row names."""
    out = tmp_path_factory.mktemp("source")
    made = out / "dicom"
    synthesize_cohort(out, CohortPlan(2, 1, seed=9, difficulty="easy", format="dicom"))
    shutil.copytree(made / "syn9-0000", made / "no_t2", ignore=shutil.ignore_patterns("03-*"))
    (made / "syn9-0000").rename(made / "Doe_0")
    shutil.make_archive(str(made / "Doe_1"), "zip", made / "syn9-0001")
    shutil.rmtree(made / "syn9-0001")
    (made / "syn9-test-0000").rename(made / "dump")
    (made / "stray").mkdir()
    (made / ".Doe_0.77.partial").mkdir()
    uid = dcmread(made / "dump" / "03-0001.dcm", stop_before_pixels=True).StudyInstanceUID
    (out / "labels.csv").write_text(TABLE.format(uid=uid))
    return out


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImportReport]:
    """The cohort made of it, and its report."""
    out = tmp_path_factory.mktemp("imported") / "cohort"
    return out, import_dicom_cohort(source / "dicom", source / "labels.csv", out, workers=2)


@pytest.fixture
def again(source: Path, imported: tuple[Path, ImportReport], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of source and cohort, with the times of their files, for a test to change."""
    shutil.copytree(source, tmp_path / "source")
    shutil.copytree(imported[0], tmp_path / "cohort")
    shutil.copy2(default_keys_file(imported[0]), tmp_path / "cohort.keys.csv")
    return tmp_path / "source", tmp_path / "cohort"


def rerun(source: Path, out: Path) -> ImportReport:
    return import_dicom_cohort(source / "dicom", source / "labels.csv", out)


def keys_of(out: Path) -> Mapping[str, StudyKey]:
    return {key.study: key for key in read_keys(default_keys_file(out))}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def times_in(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_the_datalist_holds_what_the_reader_sees(source: Path, imported: tuple[Path, ImportReport]) -> None:
    out, report = imported
    assert (report.found, report.kept) == (4, 3)
    datalist = read_datalist(out / "datalist.json")
    training, test = datalist.entries("training"), datalist.entries("test")
    keys = keys_of(out)
    assert [entry["study"] for entry in training] == [keys[name].study_key for name in ("Doe_0", "Doe_1")]
    assert [entry["index"] for entry in [*training, *test]] == [0, 1, 2]
    assert training[0]["patient"] == training[1]["patient"] != test[0]["patient"]
    assert (training[0]["vendor"], training[0]["field_strength"]) == ("SIEMENS", 3.0)
    assert [entry["site"] for entry in training] == ["north", "south"]
    read, kept = read_study(source / "dicom" / "Doe_0"), LoadStudy()(training[0])["study"]
    assert np.array_equal(read.t2.data, kept.t2.data)
    assert np.array_equal(read.dwi[max(read.dwi)].data, kept.dwi[max(kept.dwi)].data)
    assert read.adc.geometry.is_close(kept.adc.geometry)
    found = LoadStudy()(test[0])["study"]
    assert np.array_equal(read_study(source / "dicom" / "dump").t2.data, found.t2.data)


def test_every_study_row_and_input_is_accounted_for(imported: tuple[Path, ImportReport]) -> None:
    out, report = imported
    excluded = [study for study in report.studies if not study.kept]
    assert [(one.key, one.reason) for one in excluded] == [(keys_of(out)["no_t2"].study_key, Reason.T2_MISSING)]
    assert report.excluded_by_reason == {"T2_MISSING": 1}
    assert report.rows_without_study == [6]
    assert report.studies_without_row == 1
    assert [(one.kind, one.lines) for one in report.conflicts] == [
        (ConflictKind.LABELS_DIFFER, [2, 3]),
        (ConflictKind.PATIENT_REPEATED, [5, 6]),
    ]
    assert ImportReport.model_validate_json((out / "import_report.json").read_bytes()) == report


def test_each_study_carries_its_series_and_the_figure_of_every_gate(imported: tuple[Path, ImportReport]) -> None:
    out, report = imported
    by_hand, by_rule = report.studies[0], report.studies[1]
    assert [(one.number, one.named_by_hand) for one in by_hand.series] == [(3, True), (4, True), (5, True)]
    assert Reason.SERIES_NAMED_BY_HAND in by_hand.flags
    assert Reason.SERIES_NAMED_BY_HAND not in by_rule.flags
    assert {Reason.ADC_OUT_OF_RANGE, Reason.MOTION_SUSPECTED} <= {gate.reason for gate in by_rule.quality}
    entry = read_datalist(out / "datalist.json").entries("training")[1]
    assert entry["quality"] == [gate.model_dump(mode="json") for gate in by_rule.quality]
    assert set(entry.get("flags", [])) == {gate.reason.value for gate in by_rule.quality if not gate.passed}


def test_only_the_keys_file_knows_the_names_and_it_is_private(imported: tuple[Path, ImportReport]) -> None:
    out, _ = imported
    keys = default_keys_file(out)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert keys.read_text().startswith("index,study_key,patient_key,study,patient\n0,s")
    for path in out.rglob("*"):
        assert not any(name in path.name for name in ("Doe", "Roe", "no_t2"))
        if path.suffix == ".json":
            assert not any(name in path.read_text() for name in ("Doe", "Roe", "no_t2"))


def test_a_second_run_touches_nothing(again: tuple[Path, Path]) -> None:
    source, out = again
    before = times_in(out)
    rerun(source, out)
    assert times_in(out) == before


def test_rows_may_be_reordered_added_and_removed(again: tuple[Path, Path]) -> None:
    source, out = again
    head, *rows = (source / "labels.csv").read_text().splitlines()
    before, keys = times_in(out), keys_of(out)
    shutil.copytree(source / "dicom" / "no_t2", source / "dicom" / "new")
    (source / "labels.csv").write_text("\n".join([head, "new,New,0,training,,south", *rows[2::-1]]) + "\n")
    report = rerun(source, out)
    assert [study.index for study in report.studies] == [0, 1, 2, 5]
    assert {name: keys_of(out)[name] for name in keys} == keys
    after = times_in(out)
    assert {name: time for name, time in after.items() if name.startswith("studies/")} == {
        name: time for name, time in before.items() if name.startswith("studies/")
    }
    assert not (out / "excluded" / keys["no_t2"].study_key).exists()
    (source / "labels.csv").write_text("\n".join([head, *rows[:1]]) + "\n")
    rerun(source, out)
    assert names_in(out / "studies") == [keys["Doe_0"].study_key]


def test_only_what_changed_is_imported_again(again: tuple[Path, Path]) -> None:
    source, out = again
    before, keys = times_in(out), keys_of(out)
    table = (source / "labels.csv").read_text()
    (source / "labels.csv").write_text(table.replace("training,3,north", "training,2,north"))
    for path in (source / "dicom" / "dump").glob("04-*.dcm"):
        path.unlink()
    report = rerun(source, out)
    assert report.excluded_by_reason == {"SERIES_NOT_FOUND": 1, "DWI_MISSING": 1, "T2_MISSING": 1}
    assert names_in(out / "studies") == [keys["Doe_1"].study_key]
    kept = f"studies/{keys['Doe_1'].study_key}/t2.nii.gz"
    assert times_in(out)[kept] == before[kept]


def test_a_cohort_without_its_keys_or_with_those_of_another_is_refused(again: tuple[Path, Path]) -> None:
    source, out = again
    keys = default_keys_file(out)
    keys.rename(out.parent / "elsewhere.csv")
    before = times_in(out)
    with pytest.raises(CohortError, match="name the file with `--keys`"):
        rerun(source, out)
    keys.write_text("index,study_key,patient_key,study,patient\n0,s0123456789ab,p0123456789ab,a,b\n")
    with pytest.raises(CohortError, match="of another cohort"):
        rerun(source, out)
    with pytest.raises(CohortError, match="outside"):
        import_dicom_cohort(source / "dicom", source / "labels.csv", out, keys=out / "keys.csv")
    assert times_in(out) == before


def test_an_adc_in_tenths_of_its_unit_is_rescaled_and_flagged(again: tuple[Path, Path]) -> None:
    source, out = again
    for path in (source / "dicom" / "dump").glob("05-*.dcm"):
        image = dcmread(path)
        image.PixelData = (image.pixel_array // 10).astype(image.pixel_array.dtype).tobytes()
        image.save_as(path)
    (before,) = (LoadStudy()(entry)["study"] for entry in read_datalist(out / "datalist.json").entries("test"))
    report = rerun(source, out)
    (entry,) = read_datalist(out / "datalist.json").entries("test")
    assert "ADC_RESCALED" in entry["flags"]
    assert Reason.ADC_RESCALED not in report.studies[0].flags
    assert np.abs(LoadStudy()(entry)["study"].adc.data - before.adc.data).max() < 10  # what the last digit lost


def test_a_cohort_of_nothing_is_an_error_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "dicom" / "A1").mkdir(parents=True)
    (tmp_path / "labels.csv").write_text("study,patient,label\nA1,p1,1\n")
    with pytest.raises(CohortError, match="none of 1 studies"):
        import_dicom_cohort(tmp_path / "dicom", tmp_path / "labels.csv", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "import_report.json").read_text())
    assert report["studies"][0]["reason"] == "INPUT_EMPTY"
    with pytest.raises(ArgumentError, match="folder"):
        import_dicom_cohort(tmp_path / "labels.csv", tmp_path / "labels.csv", tmp_path / "out")
