"""A datalist is checked by field, and its entries are ready to load."""

import json
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import CohortError


def make_entry(index: int, folder: Path, **changes: Any) -> dict[str, Any]:
    entry = {"index": index, "study": f"s{index}", "patient": f"p{index}", "label": index % 2, "b_values": [50, 800]}
    for name in ("t2", "dwi", "adc"):
        entry[name] = f"studies/{index}/{name}.nii.gz"
        (folder / entry[name]).parent.mkdir(parents=True, exist_ok=True)
        (folder / entry[name]).touch()
    return entry | changes


def write(folder: Path, **sections: list[dict[str, Any]]) -> Path:
    path = folder / "datalist.json"
    path.write_text(json.dumps({"schema_version": 1, "name": "c", **sections}), encoding="utf-8")
    return path


def test_entries_have_absolute_paths_and_keep_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, training=[make_entry(0, tmp_path, vendor="A")], test=[make_entry(1, tmp_path)])
    (entry,) = read_datalist(path).entries("training")
    assert Path(entry["dwi"]).is_absolute()
    assert Path(entry["dwi"]).is_file()
    assert entry["vendor"] == "A"
    assert read_datalist(path).entries("test")[0]["index"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 2}, "label"),
        ({"index": 0}, "index"),
        ({"study": "s0"}, "study"),
        ({"patient": "p0"}, "training and in test"),
        ({"t2": "studies/none.nii.gz"}, "not there"),
        ({"b_values": []}, "b_values"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write(tmp_path, training=[make_entry(0, tmp_path)], test=[make_entry(1, tmp_path) | changes])
    with pytest.raises(CohortError, match=words):
        read_datalist(path)


def test_a_missing_datalist_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="cohort import"):
        read_datalist(tmp_path / "datalist.json")
