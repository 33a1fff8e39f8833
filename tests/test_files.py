"""Files are written whole or not at all."""

import pytest

from prostate_alm.files import replacing


def test_the_new_content_takes_the_place_of_the_old_at_the_end(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [OSError("no space left"), KeyboardInterrupt()])
def test_where_writing_fails_the_old_content_stays_and_nothing_beside_it(tmp_path, fault):
    path = tmp_path / "report.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise fault

    with pytest.raises(type(fault)):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_stands_in_the_way_is_told(tmp_path):
    (tmp_path / "report.txt").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "report.txt") as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]
