"""A label table is refused by line and column."""

from pathlib import Path

import pytest

from prostate_alm.datasets.label_table import read_label_table
from prostate_alm.errors import CohortError


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_rows_keep_further_columns_with_numbers_as_numbers(tmp_path: Path) -> None:
    text = "study,patient,label,psa,site,age,note\nA1,p1,1,4.5,007,63,\nA2,p2,0,,nan,1e5,x\n"
    first, second = read_label_table(write(tmp_path, text, encoding="utf-8-sig"))
    assert (first.study, first.patient, first.label, first.split) == ("A1", "p1", "1", "training")
    assert first.columns() == {"psa": 4.5, "site": "007", "age": 63}
    assert second.columns() == {"site": "nan", "age": "1e5", "note": "x"}


def test_an_empty_split_is_training(tmp_path: Path) -> None:
    rows = read_label_table(write(tmp_path, "study,patient,label,split\nA1,p1,1,\nA2,p2,0,test\n"))
    assert [row.split for row in rows] == ["training", "test"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study,label\nA1,1\n", "lacks the column `patient`"),
        ("study,patient,label\n", "no rows"),
        ("study,patient,label\nA1,p1,yes\n", "line 2, column `label`"),
        ("study,patient,label\nA1,,1\n", "line 2, column `patient`"),
        ("study,patient,label\n../A1,p1,1\n", "line 2, column `study`"),
        ("study,patient,label\nA1,p1,1\nA1,p2,0\n", "line 3: this `study`"),
        ("study,patient,label,split\nA1,p1,1,training\nA2,p1,0,test\n", "line 3: this `patient`"),
        ("study,patient,label,split\nA1,p1,1,validation\n", "column `split`"),
        ("study,patient,label,t2\nA1,p1,1,x\n", "column `t2`"),
        ("study,patient,label\nA1,p1,1,4\n", "more cells"),
    ],
)
def test_a_wrong_table_is_refused_where_it_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CohortError, match=words):
        read_label_table(write(tmp_path, text))


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="UTF-8"):
        read_label_table(write(tmp_path, "study,patient,label\nA1,Müller,1\n", encoding="latin-1"))
