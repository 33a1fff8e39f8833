"""Studies that come image by image: when they are complete, and what happens to late, repeated and false images."""

import shutil
from datetime import UTC, datetime, timedelta

import pydicom
import pytest
from pydicom.uid import UID, EncapsulatedPDFStorage

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Basis
from prostate_alm.service.instances import Failure, read_instance_file
from prostate_alm.service.receptions import Receptions
from prostate_alm.service.settings import CompletenessRule
from prostate_alm.service.tables import JobState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SAGITTAL, T2, DWI, ADC = "02", "03", "04", "05"
RULE = CompletenessRule(quiet_seconds=30, incomplete_seconds=600)


@pytest.fixture
def core(core_factory):
    return core_factory(complete=RULE, retention_hours=1, queue_size=2)


@pytest.fixture
def series(dicom_folders):
    """The files of a patient's series, by their number."""

    def files(*numbers, patient=0):
        return [
            path for path in sorted(dicom_folders[patient].iterdir()) if path.name[:2] in (numbers or (path.name[:2],))
        ]

    return files


@pytest.fixture
def bring(core, tmp_path):
    """Send files in one request; returns what became of each."""

    def request(receptions, files, *, at, token="scanner", whole=True):
        inbox, results = receptions.inbox(token, lambda: at), []
        for file in files:
            copy = shutil.copy(file, core.storage.root / "part")
            results.append(inbox.take(read_instance_file(copy), copy))
        inbox.close(whole=whole)
        return results

    return request


def later(at, seconds):
    return at + timedelta(seconds=seconds)


def test_a_study_is_handed_on_when_all_series_are_there_and_nothing_new_comes(core, series, bring):
    receptions = Receptions(core)
    assert set(bring(receptions, series(T2, DWI), at=NOON)) == {None}
    assert receptions.close_ripe(later(NOON, 29)) == []
    bring(receptions, series(ADC, SAGITTAL), at=later(NOON, 25))
    assert receptions.close_ripe(later(NOON, 54.9)) == []
    (job_id,) = receptions.close_ripe(later(NOON, 55))
    job = core.queue.find(job_id)
    assert (job.source, job.state, job.received, job.supersedes) == ("stow", JobState.QUEUED, later(NOON, 55), None)
    assert job.identity.study_uid == pydicom.dcmread(series(T2)[0]).StudyInstanceUID
    images = list((core.storage.input_of(job_id) / "dicom").iterdir())
    assert sorted(path.read_bytes() for path in images) == sorted(
        path.read_bytes() for path in series(SAGITTAL, T2, DWI, ADC)
    )
    assert receptions.close_ripe(later(NOON, 9999)) == []


@pytest.mark.parametrize("missing", [T2, DWI, ADC])
def test_a_study_that_stays_incomplete_fails_safe_and_keeps_its_images(core, series, bring, missing):
    receptions = Receptions(core)
    bring(receptions, series(*({T2, DWI, ADC} - {missing})), at=NOON)
    assert receptions.close_ripe(later(NOON, 599)) == []
    (job_id,) = receptions.close_ripe(later(NOON, 600))
    job = core.queue.find(job_id)
    assert (job.state, job.shown.basis, job.shown.reasons) == (
        JobState.DONE, Basis.FAILSAFE, (Reason.STUDY_INCOMPLETE,),
    )  # fmt: skip
    assert job.pixels
    assert any((core.storage.input_of(job_id) / "dicom").iterdir())


def test_a_late_image_makes_a_new_job_of_the_whole_study(core, series, bring):
    receptions = Receptions(core)
    *early, late = series(T2, DWI, ADC)
    bring(receptions, early[:-1], at=NOON)
    (first,) = receptions.close_ripe(later(NOON, 600))
    bring(receptions, [*early[-1:], late], at=later(NOON, 900))
    assert receptions.close_ripe(later(NOON, 929)) == []
    (second,) = receptions.close_ripe(later(NOON, 930))
    job = core.queue.find(second)
    assert (job.supersedes, job.state) == (first, JobState.QUEUED)
    assert len(list((core.storage.input_of(second) / "dicom").iterdir())) == len(early) + 1
    assert core.queue.find(first).shown.reasons == (Reason.STUDY_INCOMPLETE,)


def test_sending_again_changes_nothing(core, series, bring):
    receptions = Receptions(core)
    files = series(T2, DWI, ADC)
    bring(receptions, files, at=NOON)
    assert set(bring(receptions, files[:5], at=later(NOON, 10))) == {None}
    (job_id,) = receptions.close_ripe(later(NOON, 30))
    assert set(bring(receptions, files, at=later(NOON, 60))) == {None}
    assert receptions.close_ripe(later(NOON, 9999)) == []
    assert core.queue.find(job_id).supersedes is None


@pytest.mark.parametrize("answered", [False, True])
def test_another_image_under_a_known_uid_is_refused_and_the_study_fails_safe(core, series, bring, tmp_path, answered):
    receptions = Receptions(core)
    files = series(T2, DWI, ADC)
    bring(receptions, files, at=NOON)
    if answered:
        assert len(receptions.close_ripe(later(NOON, 30))) == 1
    image = pydicom.dcmread(files[0])
    image.PixelData = image.PixelData[2:] + b"\1\0"
    image.save_as(tmp_path / "other.dcm")
    assert bring(receptions, [tmp_path / "other.dcm"], at=later(NOON, 40)) == [Failure.DUPLICATE]
    (job_id,) = receptions.close_ripe(later(NOON, 70))
    assert core.queue.find(job_id).shown.reasons == (Reason.SLICE_DUPLICATE,)
    kept = core.storage.input_of(job_id) / "dicom" / read_instance_file(files[0]).file_name
    assert kept.read_bytes() == files[0].read_bytes()


def test_what_is_no_mr_image_is_taken_and_not_kept(core, series, bring, tmp_path):
    receptions = Receptions(core)
    document = pydicom.dcmread(series(T2)[0])
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    document.save_as(tmp_path / "document.dcm")
    assert bring(receptions, [tmp_path / "document.dcm"], at=NOON) == [None]
    assert receptions.close_ripe(later(NOON, 9999)) == []


def test_a_study_is_not_closed_while_its_images_arrive(core, series):
    receptions = Receptions(core)
    inbox = receptions.inbox("scanner", lambda: later(NOON, 700))
    for file in series(T2, DWI, ADC):
        copy = shutil.copy(file, core.storage.root / "part")
        inbox.take(read_instance_file(copy), copy)
        assert receptions.close_ripe(later(NOON, 9999)) == []
    inbox.close(whole=True)
    assert receptions.close_ripe(later(NOON, 729)) == []
    assert len(receptions.close_ripe(later(NOON, 730))) == 1


def incomplete(core, jobs):
    return [core.queue.find(job_id).shown.reasons for job_id in jobs] == [(Reason.STUDY_INCOMPLETE,)]


def test_a_study_of_which_a_request_broke_off_is_not_whole_though_it_looks_so(core, series, bring):
    receptions = Receptions(core)
    files = series(T2, DWI, ADC)
    bring(receptions, files, at=NOON, whole=False)
    assert receptions.close_ripe(later(NOON, 599)) == []
    assert incomplete(core, receptions.close_ripe(later(NOON, 600)))


def test_the_whole_study_sent_again_heals_it_and_part_of_it_does_not(core, series, bring):
    receptions = Receptions(core)
    files = series(T2, DWI, ADC)
    bring(receptions, files[:-2], at=NOON, whole=False)
    bring(receptions, files[-2:], at=later(NOON, 10))
    assert receptions.close_ripe(later(NOON, 300)) == []
    bring(receptions, files, at=later(NOON, 300))
    (job_id,) = receptions.close_ripe(later(NOON, 330))
    assert core.queue.find(job_id).state is JobState.QUEUED


def test_a_kill_in_the_middle_of_a_request_leaves_the_study_broken(core, series):
    inbox = Receptions(core).inbox("scanner", lambda: NOON)
    for file in series(T2, DWI, ADC):
        copy = shutil.copy(file, core.storage.root / "part")
        inbox.take(read_instance_file(copy), copy)
    after_the_restart = Receptions(core)
    assert after_the_restart.close_ripe(later(NOON, 599)) == []
    assert incomplete(core, after_the_restart.close_ripe(later(NOON, 600)))


def in_two_requests(core, receptions, files):
    """Half of the images each, in turn."""
    boxes = [receptions.inbox("scanner", lambda: NOON) for _ in range(2)]
    for number, file in enumerate(files):
        copy = shutil.copy(file, core.storage.root / "part")
        boxes[number % 2].take(read_instance_file(copy), copy)
    return boxes


def test_one_of_two_requests_at_a_time_that_breaks_off_breaks_the_study(core, series):
    receptions = Receptions(core)
    first, second = in_two_requests(core, receptions, series(T2, DWI, ADC))
    first.close(whole=False)
    second.close(whole=True)
    assert receptions.close_ripe(later(NOON, 599)) == []
    assert incomplete(core, receptions.close_ripe(later(NOON, 600)))


def test_two_requests_at_a_time_that_end_well_make_a_whole_study(core, series):
    receptions = Receptions(core)
    for box in in_two_requests(core, receptions, series(T2, DWI, ADC)):
        box.close(whole=True)
    assert len(receptions.close_ripe(later(NOON, 30))) == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_request_breaks_the_study_it_was_for_or_all_that_are_open(core, series, bring, named):
    receptions = Receptions(core)
    bring(receptions, series(T2, DWI, ADC), at=NOON)
    bring(receptions, series(T2, DWI, ADC, patient=1), at=NOON)
    receptions.break_open("another sender", None)
    uid = read_instance_file(series(T2)[0]).study
    receptions.break_open("scanner", uid if named else None)
    whole = receptions.close_ripe(later(NOON, 30))
    assert [core.queue.find(job_id).identity.study_uid != uid for job_id in whole] == [True] * named


def test_a_restart_loses_no_study(core_factory, series, bring):
    core = core_factory(complete=RULE)
    bring(Receptions(core), series(T2, DWI, ADC), at=NOON)
    again = core_factory(complete=RULE)
    again.storage.clear_incoming()
    receptions = Receptions(again)
    receptions.sweep(later(NOON, 1))
    (job_id,) = receptions.close_ripe(later(NOON, 30))
    assert again.queue.find(job_id).state is JobState.QUEUED


def test_senders_and_studies_do_not_mix(core, series, bring):
    receptions = Receptions(core)
    bring(receptions, series(T2, DWI), at=NOON, token="a")
    bring(receptions, series(ADC), at=NOON, token="b")
    bring(receptions, series(T2, DWI, ADC, patient=1), at=NOON, token="a")
    (job_id,) = receptions.close_ripe(later(NOON, 30))
    assert core.queue.find(job_id).identity.study_uid == pydicom.dcmread(series(T2, patient=1)[0]).StudyInstanceUID


def test_studies_wait_while_the_queue_is_full_and_the_oldest_goes_first(core, send, series, bring):
    receptions = Receptions(core)
    bring(receptions, series(T2, DWI, ADC, patient=1), at=later(NOON, 1))
    bring(receptions, series(T2, DWI, ADC), at=NOON)
    send("one")
    send("two")
    assert receptions.close_ripe(later(NOON, 31)) == []
    assert core.queue.claim("f" * 32, later(NOON, 31), 10) is not None
    (job_id,) = receptions.close_ripe(later(NOON, 32))
    assert core.queue.find(job_id).identity.study_uid == pydicom.dcmread(series(T2)[0]).StudyInstanceUID


def test_studies_whose_images_were_deleted_fail_safe_and_hold_up_no_other(core, series, bring):
    receptions = Receptions(core)
    bring(receptions, series(T2), at=NOON)
    bring(receptions, series(T2, patient=1), at=NOON)
    for folder in (core.storage.root / "receptions").iterdir():
        shutil.rmtree(folder)
    jobs = receptions.close_ripe(later(NOON, 600))
    assert [core.queue.find(job_id).shown.reasons for job_id in jobs] == [(Reason.STUDY_INCOMPLETE,)] * 2
    assert len(set(jobs)) == 2


def test_two_patients_in_one_study_are_handed_on_to_be_refused(core, series, bring, tmp_path):
    receptions = Receptions(core)
    image = pydicom.dcmread(series(T2)[0])
    image.PatientID = image.PatientName = "somebody else"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    image.save_as(tmp_path / "stranger.dcm")
    bring(receptions, [*series(T2), tmp_path / "stranger.dcm"], at=NOON)
    (job_id,) = receptions.close_ripe(later(NOON, 30))
    assert core.queue.find(job_id).state is JobState.QUEUED


def test_images_and_rows_go_after_their_time_and_no_uid_stays(core, series, bring):
    receptions = Receptions(core)
    bring(receptions, series(T2), at=NOON)
    receptions.sweep(later(NOON, 3601))
    assert len(receptions.close_ripe(later(NOON, 3602))) == 1
    receptions.sweep(later(NOON, 3603))
    assert list((core.storage.root / "receptions").iterdir()) == []
    bring(receptions, series(T2, DWI, ADC), at=later(NOON, 4000))
    (job_id,) = receptions.close_ripe(later(NOON, 4030))
    assert core.queue.find(job_id).supersedes is None
