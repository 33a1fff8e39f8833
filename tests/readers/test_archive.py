import os
import resource
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest

from prostate_alm.errors import Reason, StudyRefusedError, StudyUnavailableError
from prostate_alm.readers import inspect_study, read_study
from prostate_alm.readers.archive import Limits, open_input


def refusal(path, **arguments):
    with pytest.raises(StudyRefusedError) as caught:
        read_study(path, **arguments)
    inspected = inspect_study(path, **arguments).refusal
    assert inspected is not None
    assert inspected.reason is caught.value.reason
    return caught.value.reason


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder of our own for temporary files, so that a test sees what is left behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_zip_reads_as_its_folder_does_and_leaves_nothing_behind(build, write, tmp_path, temporary):
    folder = write(build.study())
    archive = build.zip(folder, tmp_path / "study.zip")
    assert read_study(archive).key == read_study(str(folder)).key
    assert not list(temporary.iterdir())


def test_members_of_the_same_name_are_all_read(build, write, tmp_path):
    folder = write(build.study())
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for index, path in enumerate(sorted(folder.iterdir())):
            target.write(path, f"{index}/image")
    assert read_study(archive).key == read_study(folder).key


def test_an_empty_zip_file_or_folder(tmp_path):
    archive = tmp_path / "empty.zip"
    zipfile.ZipFile(archive, "w").close()
    (tmp_path / "nothing.zip").touch()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    only_folder = tmp_path / "only_folder.zip"
    with zipfile.ZipFile(only_folder, "w") as target:
        target.mkdir("inner")
    for path in (archive, tmp_path / "nothing.zip", tmp_path / "folder", only_folder):
        assert refusal(path) is Reason.INPUT_EMPTY


def test_text_in_whatever_wrapping_is_unreadable(tmp_path):
    text = tmp_path / "study.txt"
    text.write_text("PK is how a zip starts, this is none")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(text, folder)
    archive = tmp_path / "text.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(text, "study.txt")
    for path in (text, folder, archive, tmp_path / "absent"):
        assert refusal(path) is Reason.INPUT_UNREADABLE


@pytest.fixture
def sound(build, write, tmp_path):
    """A zip that is a study: what is added to it is all there is to refuse."""
    return build.zip(write(build.study()), tmp_path / "study.zip")


@pytest.mark.parametrize(
    "name", ["../stray", "/stray", "a/../../stray", "C:\\stray", "..\\stray", "\\\\host\\share\\stray"]
)
def test_a_member_that_leads_out_of_the_zip_is_refused(sound, tmp_path, name):
    with zipfile.ZipFile(sound, "a") as target:
        target.writestr(name, b"text")
    assert refusal(sound) is Reason.INPUT_UNREADABLE
    assert not list(tmp_path.rglob("*stray"))


def test_a_link_in_a_zip_is_refused(sound):
    member = zipfile.ZipInfo("stray")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(sound, "a") as target:
        target.writestr(member, "/etc/passwd")
    assert refusal(sound) is Reason.INPUT_UNREADABLE


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_stored_and_deflated_members_are_read(sound, method):
    with zipfile.ZipFile(sound, "a", method) as target:
        target.writestr("stray", b"text" * 100)
    assert refusal(sound) is Reason.INPUT_UNREADABLE


def test_a_password_is_refused_and_said(sound):
    content = bytearray(sound.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    sound.write_bytes(content)
    with pytest.raises(StudyRefusedError, match="without a password"):
        read_study(sound)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.999])
def test_a_cut_off_zip_is_unreadable(build, write, tmp_path, keep):
    archive = build.zip(write(build.t2()), tmp_path / "study.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    assert refusal(archive) is Reason.INPUT_UNREADABLE


def test_a_changed_byte_in_a_member_is_noticed(build, write, tmp_path):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(write(build.study()).iterdir()):
            target.write(path, path.name)
    content = bytearray(archive.read_bytes())
    content[1000] ^= 0xFF
    archive.write_bytes(content)
    assert refusal(archive) is Reason.INPUT_UNREADABLE


@pytest.mark.parametrize("limits", [Limits(files=5), Limits(total_bytes=3000)])
def test_more_than_the_limits_is_too_large(build, write, tmp_path, limits):
    folder = write(build.t2())
    assert refusal(folder, limits=limits) is Reason.INPUT_TOO_LARGE
    assert refusal(build.zip(folder, tmp_path / "study.zip"), limits=limits) is Reason.INPUT_TOO_LARGE


def test_a_bomb_is_refused_before_it_is_expanded(tmp_path, temporary):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("image.dcm", bytes(2_000_000))
    assert archive.stat().st_size < 5000
    assert refusal(archive, limits=Limits(total_bytes=1_000_000)) is Reason.INPUT_TOO_LARGE
    assert not list(temporary.iterdir())


def test_a_directory_too_long_for_its_files_is_refused_unread(tmp_path, monkeypatch):
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for index in range(200):
            target.writestr(f"{index}", b"")
    monkeypatch.setattr(zipfile, "ZipFile", None)  # reading it would fail, not be too large
    assert refusal(archive, limits=Limits(files=5)) is Reason.INPUT_TOO_LARGE


def test_links_to_files_are_followed_and_links_to_folders_refused(build, write, tmp_path):
    folder = write(build.study())
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert read_study(linked).key == read_study(folder).key
    (linked / "more").symlink_to(folder)
    assert refusal(linked) is Reason.INPUT_UNREADABLE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_broken_link_is_refused_and_not_waited_for(build, write):
    folder = write(build.study())
    os.mkfifo(folder / "pipe")
    assert refusal(folder) is Reason.INPUT_UNREADABLE
    (folder / "pipe").unlink()
    (folder / "gone").symlink_to(folder / "nowhere")
    assert refusal(folder) is Reason.INPUT_UNREADABLE


def test_files_come_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "c/a"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text(name)
    with open_input(tmp_path / "f", Limits()) as files:
        assert [file.name for file in files] == ["a", "b", "c/a"]
        assert [Path(file.path).read_text() for file in files] == ["a", "b", "c/a"]


def test_a_full_disk_is_no_fault_of_the_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large", bytes(100_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StudyUnavailableError), open_input(path, Limits()):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with open_input(path, Limits()) as files:
        assert len(files) == 1
