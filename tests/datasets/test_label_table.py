"""A label table is refused by line and column."""

from pathlib import Path

import pytest

from prostate_alm.datasets.label_table import read_label_table
from prostate_alm.errors import CohortError
from prostate_alm.readers import SeriesChoice


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_only_columns_that_are_asked_for_are_taken_over(tmp_path: Path) -> None:
    text = "study,patient,label,psa,initials,mrn,fold\nA1,p1,1,4.5,JD,123456,0\nA2,p2,0,5,seen on 1.2.2024,p2,1\n"
    assert read_label_table(write(tmp_path, text)).left_out == ("psa", "initials", "mrn")
    table = read_label_table(write(tmp_path, text), keep=["psa"])
    assert [row.columns() for row in table.rows] == [{"psa": 4.5, "fold": 0}, {"psa": 5, "fold": 1}]
    assert table.left_out == ("initials", "mrn")
    with pytest.raises(CohortError, match="no column `age`"):
        read_label_table(write(tmp_path, text), keep=["age"])


def test_kept_columns_have_numbers_as_numbers(tmp_path: Path) -> None:
    text = "study,patient,label,psa,site,age,grade\nA1,p1,1,4.5,007,63,\nA2,p2,0,,nan,1e5,3+4\n"
    keep = ("psa", "site", "age", "grade")
    table = read_label_table(write(tmp_path, text, encoding="utf-8-sig"), keep)
    first, second = table.rows
    assert (first.study, first.patient, first.label, first.split, first.line) == ("A1", "p1", "1", "training", 2)
    assert first.columns() == {"psa": 4.5, "site": "007", "age": 63}
    assert second.columns() == {"site": "nan", "age": "1e5", "grade": "3+4"}
    assert table.left_out == ()


def test_series_and_b_value_may_be_named_by_hand(tmp_path: Path) -> None:
    text = "study,patient,label,t2_series,dwi_series,high_b\nA1,p1,1,4,6+8,\nA2,p2,0,,,1400\n"
    first, second = read_label_table(write(tmp_path, text)).rows
    assert first.series_choice() == SeriesChoice(t2="4", dwi="6+8")
    assert (first.high_b, second.high_b, second.series_choice()) == (None, 1400.0, None)
    assert first.columns() == {}


@pytest.mark.parametrize("column", ["words", "note"])
def test_free_text_is_not_kept(tmp_path: Path, column: str) -> None:
    rows = "".join(f"A{n},p{n},1,word{n},north,seen by Dr Grey\n" for n in range(21))
    table = write(tmp_path, f"study,patient,label,words,site,note\n{rows}")
    assert read_label_table(table, ["site"]).rows[0].columns() == {"site": "north"}
    assert read_label_table(table).rows[20].line == 22
    with pytest.raises(CohortError, match=f"column `{column}`"):
        read_label_table(table, [column])


@pytest.mark.parametrize(
    "cell", ["2024-01-31", "20240131", "31.1.2024", "1/31/24", "31-Jan-2024", "März 2024", "1.2.840.113.1", "A1", "p1"]
)
def test_a_cell_that_tells_who_or_when_is_refused_without_its_value(tmp_path: Path, cell: str) -> None:
    with pytest.raises(CohortError, match=r"line 3 .* column `extra`") as caught:
        read_label_table(write(tmp_path, f"study,patient,label,extra\nA2,p2,0,north\nA1,p1,1,{cell}\n"), ["extra"])
    assert f"{cell}" not in str(caught.value).replace("UID", "").replace("line 3", "")


@pytest.mark.parametrize("cell", ["1950.25", "4.5", "2012", "20246", "T2c", "3.1", "january"])
def test_a_number_or_word_that_is_no_date_is_kept(tmp_path: Path, cell: str) -> None:
    (row,) = read_label_table(write(tmp_path, f"study,patient,label,extra\nA1,p1,1,{cell}\n"), ["extra"]).rows
    assert str(row.columns()["extra"]) == cell


def test_an_age_may_be_a_patients_number_by_chance(tmp_path: Path) -> None:
    (row,) = read_label_table(write(tmp_path, "study,patient,label,age\n7,63,1,63\n"), ["age"]).rows
    assert row.columns() == {"age": 63}


def test_a_study_may_have_any_name_that_stays_below_the_folder(tmp_path: Path) -> None:
    text = "study,patient,label\n1.2.840.1,p1,1\nMüller^Eva (2),p2,0\nsite1/A 17,p3,0\n"
    rows = read_label_table(write(tmp_path, text)).rows
    assert [row.study for row in rows] == ["1.2.840.1", "Müller^Eva (2)", "site1/A 17"]
    assert "Müller" not in repr(rows)


def test_an_empty_split_is_training(tmp_path: Path) -> None:
    rows = read_label_table(write(tmp_path, "study,patient,label,split\nA1,p1,1,\nA2,p2,0,test\n")).rows
    assert [row.split for row in rows] == ["training", "test"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study,label\nA1,1\n", "lacks the column `patient`"),
        ("study,patient,label\n", "no rows"),
        ("study,patient,label\nA1,p1,yes\n", "line 2 .* column `label`"),
        ("study,patient,label\nA1,,1\n", "line 2 .* column `patient`"),
        ("study,patient,label\n../A1,p1,1\n", "line 2 .* column `study`"),
        ("study,patient,label\n/A1,p1,1\n", "line 2 .* column `study`"),
        ("study,patient,label,t2_series\nA1,p1,1,3+4\n", "line 2 .* `t2`"),
        ("study,patient,label,high_b\nA1,p1,1,high\n", "line 2 .* column `high_b`"),
        ("study,patient,label\nA1,p1,1\nA1,p2,0\n", "line 3 .* this `study` .* line 2"),
        ("study,patient,label,split\nA1,p1,1,training\nA2,p1,0,test\n", "line 3 .* this `patient`"),
        ("study,patient,label,split\nA1,p1,1,validation\n", "column `split`"),
        ("study,patient,label,Split,split\nA1,p1,1,test,\n", "column 4 .* another has too"),
        ("study,patient,label,psa,PSA\nA1,p1,1,4,5\n", "column 4 .* another has too"),
        ("study,patient,label,splits\nA1,p1,1,test\n", "column 4 .* almost `split`"),
        ("study,patient,label,t2_serie\nA1,p1,1,4\n", "column 4 .* almost `t2_series`"),
        ("study;patient;need\nA1;p1;1\n", "lacks the column `label`; it has study, patient, need"),
        ("study,patient,label\nA1,p1,1,4\n", "more cells"),
        ("study,patient,label\na,P 1,0\nb,p1,1\n", "line 3 .*spaces or capitals"),
        ("study,patient,label\na,p\u200b1,0\n", "line 2 .*`patient`.*invisible"),
        ("study,patient,label,t2_series\na,p1,0,4.0\n", "line 2 .*decimal point"),
    ],
)
def test_a_wrong_table_is_refused_where_it_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CohortError, match=words):
        read_label_table(write(tmp_path, text))


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="UTF-8"):
        read_label_table(write(tmp_path, "study,patient,label\nA1,Müller,1\n", encoding="latin-1"))


@pytest.mark.parametrize("between", [";", "\t", ","])
def test_a_table_as_excel_saves_it_is_read(tmp_path: Path, between: str) -> None:
    text = "Study ;PATIENT;Label;Split;T2-Series;High B;;\r\nA,1;p1;1;test;4;1400;;\r\n;;;;;;;\r\n\r\nA2;p2;0\r\n"
    table = write(tmp_path, text.replace(",", "").replace(";", between), encoding="utf-8-sig")
    first, second = read_label_table(table).rows
    assert (first.study, first.split, first.high_b, first.series_choice()) == ("A1", "test", 1400.0, SeriesChoice("4"))
    assert (second.patient, second.split, second.line) == ("p2", "training", 5)


def test_a_table_without_headers_is_refused_without_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="lacks the column `study`") as caught:
        read_label_table(write(tmp_path, "A1,Doe^Jane,1\nA2,Roe^Max,0\n"))
    assert "Doe" not in str(caught.value)


def test_names_in_two_normal_forms_are_one(tmp_path: Path) -> None:
    first, second = read_label_table(write(tmp_path, "study,patient,label\nA1,M\u00fcller,1\nA2,Mu\u0308ller,1\n")).rows
    assert first.patient == second.patient


def test_a_name_of_the_datalist_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="`t2`"):
        read_label_table(write(tmp_path, "study,patient,label,t2\nA1,p1,1,x\n"), ["t2"])
