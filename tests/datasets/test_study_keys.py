"""Keys are drawn once, stay, and lie in a file of their own."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prostate_alm.datasets.label_table import LabelRow
from prostate_alm.datasets.study_keys import StudyKey, assign_keys, default_keys_file, read_keys
from prostate_alm.errors import CohortError


def assign(path: Path, **patient_of: str) -> dict[str, StudyKey]:
    rows = [LabelRow(study=study, patient=patient, label="0") for study, patient in patient_of.items()]
    return {key.study: key for key in assign_keys(path, rows)}


def test_keys_stay_when_rows_are_added_reordered_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    first = assign(path, a="x", b="y")
    second = assign(path, c="x", b="y", a="x")
    assert {name: second[name] for name in first} == first
    assert (second["c"].index, second["c"].patient_key) == (2, first["a"].patient_key)
    assert assign(path, d="z")["d"].index == 3
    assert [key.study for key in read_keys(path)] == ["a", "b", "c", "d"]


def test_a_corrected_patient_keeps_the_studys_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    first, second = assign(path, a="x", b="y"), assign(path, a="y", b="y")
    assert second["a"].study_key == first["a"].study_key
    assert second["a"].patient_key == first["b"].patient_key


def test_keys_are_random_and_say_nothing(tmp_path: Path) -> None:
    first, second = (assign(tmp_path / name, a="x")["a"] for name in ("one.csv", "two.csv"))
    assert first.study_key != second.study_key
    assert first.patient_key != second.patient_key
    assert "'x'" not in repr(first)


def test_the_file_is_private_and_not_written_again_without_need(tmp_path: Path) -> None:
    path = default_keys_file(tmp_path / "cohort")
    assert path == tmp_path / "cohort.keys.csv"
    assign(path, a='comma, and "quotes"; and a semicolon')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    before = path.stat().st_mtime_ns
    assert assign(path, a='comma, and "quotes"; and a semicolon')["a"].index == 0
    assert path.stat().st_mtime_ns == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_cohorts_that_share_a_file_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda n: assign(path, **{f"study{n}": f"patient{n}"}), range(40)))
    kept = {key.study: key for key in read_keys(path)}
    assert kept == {study: key for one in drawn for study, key in one.items()}
    assert len({key.index for key in kept.values()}) == 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study,label\na,1\n", "line 1 .*header"),
        ("study_key;index\n", "line 1 .*header"),
        ("0,s0123456789ab,p0123456789ab,a\n", "line 2 .*5 cells"),
        ("0,../x,p0123456789ab,a,x\n", "line 2 .*`study_key`"),
        ("-1,s0123456789ab,p0123456789ab,a,x\n", "line 2 .*`index`"),
        ("0,s0123456789ab,p0123456789ab,a,x\n1,s1123456789ab,p1123456789ab,b,x\n", "a patient two keys"),
        ("0,s0123456789ab,p0123456789ab,a,x\n1,s1123456789ab,p0123456789ab,b,y\n", "two patients one"),
        ("0,s0123456789ab,p0123456789ab,a,x\n0,s1123456789ab,p0123456789ab,b,x\n", "`index` twice"),
        ("0,s0123456789ab,p0123456789ab,a,x\n1,s0123456789ab,p0123456789ab,b,x\n", "`study_key` twice"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "keys.csv"
    head = "" if text.startswith("study") else "index,study_key,patient_key,study,patient\n"
    path.write_text(head + text)
    with pytest.raises(CohortError, match=words):
        assign(path, a="x")
    assert path.read_text() == head + text
