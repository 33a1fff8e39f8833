"""Importing: what is kept equals what the reader sees, what is not is listed, nothing is read twice."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from prostate_alm.datasets.cohort_import import import_dicom_cohort
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.import_report import ConflictKind, ImportReport
from prostate_alm.datasets.study_folders import locked
from prostate_alm.datasets.study_keys import StudyKey, default_keys_file, read_keys
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.datasets.synthetic.corpus import CasePlan, write_case
from prostate_alm.datasets.synthetic.layouts import Layout
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


def copy_study(folder: Path, to: Path, ignore: str = "") -> None:
    """The same images as another study."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(ignore))
    uid = generate_uid()
    for path in to.glob("*.dcm"):
        image = dcmread(path)
        image.StudyInstanceUID = uid
        image.save_as(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, a zip, files of a flat dump named by UID, one study without T2, one that no row names."""
    out = tmp_path_factory.mktemp("source")
    made = out / "dicom"
    synthesize_cohort(out, CohortPlan(2, 1, seed=9, difficulty="easy", format="dicom"))
    copy_study(made / "syn9-0000", made / "no_t2", ignore="03-*")
    (made / "syn9-0000").rename(made / "Doe_0")
    shutil.make_archive(str(made / "Doe_1"), "zip", made / "syn9-0001")
    shutil.rmtree(made / "syn9-0001")
    (made / "syn9-test-0000").rename(made / "dump")
    (made / "stray").mkdir()
    (made / "Doe_0" / "LIESMICH").write_text("no image")
    (made / ".Doe_0.77.partial").mkdir()
    uid = dcmread(made / "dump" / "03-0001.dcm", stop_before_pixels=True).StudyInstanceUID
    (out / "labels.csv").write_text(TABLE.format(uid=uid))
    return out


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImportReport]:
    """The cohort made of it, and its report."""
    out = tmp_path_factory.mktemp("imported") / "cohort"
    return out, import_dicom_cohort(source / "dicom", source / "labels.csv", out, workers=2, keep=["site"])


@pytest.fixture
def again(source: Path, imported: tuple[Path, ImportReport], tmp_path: Path) -> tuple[Path, Path]:
    """Copies of source and cohort, with the times of their files, for a test to change."""
    shutil.copytree(source, tmp_path / "source")
    shutil.copytree(imported[0], tmp_path / "cohort")
    shutil.copy2(default_keys_file(imported[0]), tmp_path / "cohort.keys.csv")
    return tmp_path / "source", tmp_path / "cohort"


def rerun(source: Path, out: Path) -> ImportReport:
    return import_dicom_cohort(source / "dicom", source / "labels.csv", out, keep=["site"])


def keys_of(out: Path) -> Mapping[str, StudyKey]:
    return {key.study: key for key in read_keys(default_keys_file(out))}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def times_in(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_the_datalist_holds_what_the_reader_sees(source: Path, imported: tuple[Path, ImportReport]) -> None:
    out, report = imported
    assert (report.found, report.kept) == (4, 3)
    assert [record.skipped_files for record in report.studies] == [1, 0, 0, 0]
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
        (ConflictKind.PATIENT_ID_SHARED, [2, 5]),
        (ConflictKind.PATIENT_IDS_DIFFER, [2, 3]),
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
    copy_study(source / "dicom" / "no_t2", source / "dicom" / "new")
    (source / "labels.csv").write_text("\n".join([head, "new,New,0,training,,south", *rows[2::-1]]) + "\n")
    report = rerun(source, out)
    assert [study.index for study in report.studies] == [0, 1, 2, 5]
    assert report.folders_without_row == 1
    assert {name: keys_of(out)[name] for name in keys} == keys
    after = times_in(out)
    assert {name: time for name, time in after.items() if name.startswith("studies/")} == {
        name: time for name, time in before.items() if name.startswith("studies/")
    }
    (source / "labels.csv").write_text("\n".join([head, *rows[:1]]) + "\n")
    assert rerun(source, out).folders_without_row == 4
    assert len(read_datalist(out / "datalist.json").training) == 1
    assert import_dicom_cohort(source / "dicom", source / "labels.csv", out, prune=True).folders_without_row == 0
    assert names_in(out / "studies") == [keys["Doe_0"].study_key]
    assert names_in(out / "excluded") == []


def test_a_finished_study_stays_when_its_files_are_gone(again: tuple[Path, Path]) -> None:
    """A disk that is not mounted must not cost a study that took an hour to label."""
    source, out = again
    shutil.rmtree(source / "dicom" / "Doe_0")
    before, entries = times_in(out), read_datalist(out / "datalist.json").training
    report = rerun(source, out)
    assert read_datalist(out / "datalist.json").training == entries
    assert {name: before[name] for name in before if name.startswith("studies/")}.items() <= times_in(out).items()
    assert (report.kept, report.rows_without_study) == (3, [6])
    assert (ConflictKind.SOURCE_GONE, [2]) in [(one.kind, one.lines) for one in report.conflicts]
    report = import_dicom_cohort(source / "dicom", source / "labels.csv", out, strict=True)
    assert (ConflictKind.SOURCE_GONE_OUTDATED, [2]) in [(one.kind, one.lines) for one in report.conflicts]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that can't be read: of Linux")
def test_a_bad_sector_is_no_fault_of_the_study(again: tuple[Path, Path]) -> None:
    source, out = again
    path = sorted((source / "dicom" / "Doe_0").iterdir())[7]
    content, before = path.read_bytes(), times_in(out)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # its first page is never mapped: EIO
    with pytest.raises(CohortError, match=r"^study s[0-9a-f]{12} could not .*Input/output error") as error:
        rerun(source, out)
    assert "Doe" not in str(error.value)
    assert times_in(out) == before
    path.unlink()
    path.write_bytes(content)
    assert rerun(source, out).kept == 3


@pytest.mark.parametrize("name", ["t2.nii.gz", "import.json"])
def test_a_finished_study_that_was_damaged_is_imported_again(again: tuple[Path, Path], name: str) -> None:
    source, out = again
    path = out / "studies" / keys_of(out)["Doe_0"].study_key / name
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    assert rerun(source, out).kept == 3
    assert path.read_bytes() == content


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


def test_a_folder_that_holds_none_of_the_studies_takes_none_away(again: tuple[Path, Path]) -> None:
    source, out = again
    before = times_in(out)
    shutil.rmtree(source / "dicom")
    (source / "dicom").mkdir()
    with pytest.raises(CohortError, match="nothing was changed"):
        rerun(source, out)
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


def test_one_person_under_two_patient_ids_is_told_and_kept_together(again: tuple[Path, Path]) -> None:
    """In training and in test by the table; the folds and sides that are drawn keep the two together."""
    source, out = again
    for number, study in enumerate(("Doe_0", "dump")):
        for path in (source / "dicom" / study).glob("*.dcm"):
            image = dcmread(path)
            image.PatientName, image.PatientID, image.PatientBirthDate = "Quux^Zebedee", f"77{number}", "19330217"
            image.save_as(path)
    (source / "dicom" / "Doe_0").rename(source / "dicom" / "dump" / "Doe_0")
    table = (source / "labels.csv").read_text()
    first = dcmread(next((source / "dicom" / "dump" / "Doe_0").glob("*.dcm"))).StudyInstanceUID
    (source / "labels.csv").write_text(table.replace("Doe_0,", f"{first},", 1))
    report = rerun(source, out)
    (told,) = [one for one in report.conflicts if one.kind is ConflictKind.PERSON_SHARED]
    assert told.lines == [2, 4]
    assert "in training and in test" in told.message
    datalist = read_datalist(out / "datalist.json")
    assert {entry.person for entry in datalist.training} == {datalist.test[0].person}
    text = "".join(path.read_text() for path in out.rglob("*.[jh]*") if path.suffix in {".json", ".html"})
    assert not any(secret in text.casefold() for secret in ("quux", "zebedee", "19330217"))
    assert "one name and birth date" in text
    shutil.rmtree(source / "dicom" / "dump" / "Doe_0")
    rerun(source, out)
    assert read_datalist(out / "datalist.json") == datalist


def start(source: Path, out: Path) -> "subprocess.Popen[str]":
    """The command with two workers, in a group of its own as from a terminal."""
    command = [sys.executable, "-m", "prostate_alm.cli", "cohort", "import", "--workers", "2"]
    command += ["--dicom", str(source / "dicom"), "--labels", str(source / "labels.csv"), "--out", str(out)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for_a_study_at_work(process: "subprocess.Popen[str]", out: Path) -> None:
    while process.poll() is None and not list(out.glob("studies/.*.partial")):
        time.sleep(0.01)


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_and_killed_imports_go_on_to_the_same_cohort(
    source: Path, imported: tuple[Path, ImportReport], tmp_path: Path
) -> None:
    out = tmp_path / "cohort"
    shutil.copy2(default_keys_file(imported[0]), default_keys_file(out))
    interrupted = start(source, out)
    wait_for_a_study_at_work(interrupted, out)
    os.killpg(interrupted.pid, signal.SIGINT)
    printed, _ = interrupted.communicate()
    assert interrupted.returncode == 130
    assert "the same command goes on" in printed
    assert "Traceback" not in printed
    assert not (out / "datalist.json").exists()
    assert not list(out.rglob(".*.partial"))
    shutil.rmtree(next((out / "studies").iterdir()))
    killed = start(source, out)
    wait_for_a_study_at_work(killed, out)
    killed.kill()
    killed.communicate()
    report = rerun(source, out)
    assert contents(out) == contents(imported[0])
    assert report == imported[1]


def test_two_imports_into_one_folder_are_refused(again: tuple[Path, Path]) -> None:
    source, out = again
    with locked(out), pytest.raises(CohortError, match="another import is at work"):
        rerun(source, out)


def test_what_dcm2niix_and_picai_write_is_imported_and_a_wrong_b_value_is_not(tmp_path: Path) -> None:
    """An MHA file states no b-value: the table gives it; a NIfTI file states its own, and is not overruled."""
    nifti, mha = (
        write_case(CasePlan(number, 5, layout, "siemens", None), tmp_path / "dicom")
        for number, layout in ((1, Layout.NIFTI), (2, Layout.MHA))
    )
    (tmp_path / "dicom" / mha.plan.key).rename(tmp_path / "dicom" / "images")
    table = f"study,patient,label,high_b\n{nifti.plan.key},p1,0,\n10002_1000002,p2,1,{mha.high_b:g}\n"
    (tmp_path / "labels.csv").write_text(table)
    labels, out = tmp_path / "labels.csv", tmp_path / "out"
    report = import_dicom_cohort(tmp_path / "dicom", labels, out)
    assert [(study.kept, study.b_values) for study in report.studies] == [
        (True, list(nifti.studies[0].dwi)),
        (True, [mha.high_b]),
    ]
    labels.write_text(table.replace("p1,0,", "p1,0,1234"))
    assert import_dicom_cohort(tmp_path / "dicom", labels, out).excluded_by_reason == {"B_VALUE_UNKNOWN": 1}


def test_the_same_images_under_two_patients_are_found(again: tuple[Path, Path]) -> None:
    source, out = again
    copy_study(source / "dicom" / "Doe_0", source / "dicom" / "twin")
    with (source / "labels.csv").open("a") as table:
        table.write("twin,Other,1,test,,north\n")
    (found,) = rerun(source, out).near_duplicates
    keys = keys_of(out)
    assert (found.first, found.second) == (keys["Doe_0"].study_key, keys["twin"].study_key)
    assert (found.kind, found.same_patient, found.labels_differ, found.splits_differ) == (
        "identical",
        False,
        True,
        True,
    )


@pytest.mark.parametrize(("strict", "kept"), [(False, 3), (True, 2)])
def test_a_poor_image_is_kept_and_flagged_unless_strict(again: tuple[Path, Path], *, strict: bool, kept: int) -> None:
    """Contrast agent in a chosen series: the image is poor for the purpose, and it is of the right thing."""
    source, out = again
    for path in (source / "dicom" / "dump").glob("03-*.dcm"):
        image = dcmread(path)
        image.ContrastBolusAgent = "agent"
        image.save_as(path)
    report = import_dicom_cohort(source / "dicom", source / "labels.csv", out, strict=strict)
    study = report.studies[2]
    assert (report.kept, study.reason) == (kept, Reason.CONTRAST_GIVEN if strict else None)
    assert (Reason.CONTRAST_GIVEN in study.flags) is not strict
    assert study.montage is not None
    assert (out / study.montage).is_file()


def test_a_cohort_of_nothing_is_an_error_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "dicom" / "A1").mkdir(parents=True)
    (tmp_path / "labels.csv").write_text("study,patient,label\nA1,p1,1\n")
    with pytest.raises(CohortError, match="none of 1 studies"):
        import_dicom_cohort(tmp_path / "dicom", tmp_path / "labels.csv", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "import_report.json").read_text())
    assert report["studies"][0]["reason"] == "INPUT_EMPTY"
    with pytest.raises(ArgumentError, match="folder"):
        import_dicom_cohort(tmp_path / "labels.csv", tmp_path / "labels.csv", tmp_path / "out")
    for out in (tmp_path / "dicom" / "out", tmp_path):
        with pytest.raises(ArgumentError, match="apart"):
            import_dicom_cohort(tmp_path / "dicom", tmp_path / "labels.csv", out)
