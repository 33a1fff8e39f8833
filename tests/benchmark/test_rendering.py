"""Rendered tables, read back by other means: the csv module, a split of the Markdown, a count of TeX's braces."""

import csv
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.benchmark.rendering import p_text, to_csv, to_latex, to_markdown, write_table
from prostate_alm.benchmark.table import (
    Caption,
    Cell,
    CellKey,
    Choice,
    Column,
    ResultTable,
    Row,
    bold_cells,
    table_layout,
    underlined_cells,
)

FPR, AUC = (100, "fpr@tpr=0.98"), (100, "auc")


def table_1():
    """Table 1 with six results, one of them failed."""
    return table_layout(1).filled(
        {
            ("BCE", *FPR): Cell(value=50.04, low=46.0, high=53.2),
            ("ALM + BCE", *FPR): Cell(value=44.4, low=41.0, high=48.0, p_value=0.00002, p_adjusted=0.00016),
            ("BCE", *AUC): Cell(value=91.0),
            ("ALM + BCE", *AUC): Cell(value=90.0, p_value=0.04, p_adjusted=0.32, note="9 of 10 | runs_done"),
            ("MBAUC", *AUC): Cell(value=95.0),
            ("S-ML", *FPR): Cell(failed=True, note="loss is NaN"),
        },
        caption=Caption(command="prostate-alm benchmark 1 --budget smoke", commit="0123abc"),
    )


def tiny(**fields):
    """A table of one cell."""
    return ResultTable(
        number=1,
        title=fields.pop("title", "tiny"),
        columns=(Column(ratio=None, metric="auc", title="AUC", better="higher"),),
        rows=(Row(method=fields.pop("method", "B")),),
        cells=((Cell(value=50.0, **fields),),),
    )


def markdown_rows(text, heading):
    """{method: cells} of the first grid below a heading."""
    grid = re.split(r"\n\n", text.split(heading)[1].strip())[0].splitlines()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in grid]
    assert len({len(row) for row in rows}) == 1
    return {row[0]: row[1:] for row in rows}


def test_markdown_shows_ours_beside_the_papers():
    rows = markdown_rows(to_markdown(table_1()), "#### Class ratio 1:100")
    assert rows["Method"] == ["FPR @ 98% TPR ↓", "FPR @ 95% TPR ↓", "FPR @ 92% TPR ↓", "AUC ↑"]
    assert rows["BCE"] == [
        "50.0 [46.0, 53.2] (56.0)", "not run (45.0)", "not run (29.0)", "**91.0** (91.2)",
    ]  # fmt: skip
    assert rows["ALM + BCE"][0] == r"**<u>44.4</u>**\*† [41.0, 48.0] (52.0)"
    assert rows["ALM + BCE"][3] == r"90.0\* (93.1)<sup>3</sup>"
    assert rows["MBAUC"][3] == "<u>95.0</u> (74.0)"
    assert rows["S-ML"][0] == "failed (59.0)<sup>1</sup>"
    assert len(rows) == 2 + 17


def test_markdown_gives_p_values_notes_and_caption():
    text = to_markdown(table_1())
    p_values = markdown_rows(text, "Holm-adjusted in parentheses:")
    assert p_values["ALM + BCE"] == ["&lt; 0.001 (&lt; 0.001)", "–", "–", "0.040 (0.320)"]
    assert text.count("Holm-adjusted in parentheses:") == 1  # 1:200 has none
    assert "\n1. loss is NaN\n2. Paper: Table 10 prints 78.3.\n3. 9 of 10 \\| runs_done\n" in text
    assert "- Command: prostate-alm benchmark 1 --budget smoke\n- Commit: 0123abc\n- Data: not recorded\n" in text


def test_markdown_says_what_was_chosen_and_how_large_the_constraint_was():
    chosen = Choice(method="ALM + BCE", ratio=100, settings={"mu": 1e-05, "learning_rate": 0.002}, share=0.38)
    other = Choice(method="BCE", ratio=200, settings={}, share=None)
    text = to_markdown(table_1().model_copy(update={"choices": (chosen, other)}))
    parts = text.split("#### Class ratio 1:200")
    assert markdown_rows(parts[0], "share of the training loss:") == {
        "Method": ["chosen", "share"], ":---": ["---:", "---:"], "ALM + BCE": ["mu 1e-05, learning_rate 0.002", "0.4 %"]
    }  # fmt: skip
    assert markdown_rows(parts[1], "share of the training loss:") == {
        "Method": ["chosen", "share"], ":---": ["---:", "---:"], "BCE": ["–", "–"]
    }  # fmt: skip


@pytest.mark.parametrize("number", range(1, 17))
def test_every_form_has_every_cell(number):
    table = table_layout(number)
    count = len(table.rows) * len(table.columns)
    assert to_markdown(table).count("not run (") == count
    assert to_latex(table).count("not run ") == count
    assert len(list(csv.DictReader(to_csv(table).splitlines()))) == count


def test_an_unreadable_number_of_the_paper_is_told_from_one_it_lacks():
    table = table_layout(16)
    rows = markdown_rows(to_markdown(table), "#### Class ratio 1:2")
    assert rows["ALM + BCE"][3] == "not run (?)<sup>1</sup>"
    assert "(–)" in to_markdown(tiny())


def test_standard_deviations_and_stars_of_the_paper_are_shown():
    filled = table_layout(10).filled({("BCE", 100, "auc_mean"): Cell(value=81.0, sd=2.25)})
    rows = markdown_rows(to_markdown(filled), "#### Class ratio 1:100")
    assert rows["BCE"] == ["81.0 ± 2.2 (82.0 ± 2.6)", "not run (91.2)"]
    rows = markdown_rows(to_markdown(table_layout(12)), "#### Class ratio 1:200")
    assert (rows["ALM + BCE"], rows["ALM + S-ML"]) == (["not run (86.7)"], [r"not run (87.9\*)"])


def test_csv_reads_back_as_the_table():
    table = table_1()
    records: dict[CellKey, dict[str, str]] = {
        (record["method"], int(record["ratio"]), record["metric"]): record
        for record in csv.DictReader(to_csv(table).splitlines())
    }
    for key, cell in table.named_cells():
        record = records[key]
        fields = {name: record[name] or None for name in ("value", "low", "high", "sd", "p_value", "p_adjusted")}
        paper = {name: record[f"paper{name}"] or None for name in ("", "_sd", "_star")}
        read = Cell.model_validate(
            {
                **fields,
                **{f"paper{name}": value for name, value in paper.items()},
                "failed": record["status"] == "failed",
                "note": record["note"],
                "paper_note": record["paper_note"],
            }
        )
        assert read == cell
        assert record["status"] == cell.status
        assert record["bold"] == str(key in bold_cells(table))
        assert record["underlined"] == str(key in underlined_cells(table))
        assert record["commit"] == "0123abc"
    assert records["ALM + BCE", 100, "auc"]["baseline"] == "BCE"


def test_latex_shows_ours_beside_the_papers():
    text = to_latex(table_1())
    assert (
        r"ALM + BCE & \textbf{\underline{44.4}}*$\dagger$~[41.0, 48.0] \textcolor{gray}{(52.0)} & not run "
        r"\textcolor{gray}{(34.0)} & not run \textcolor{gray}{(21.0)} & 90.0* \textcolor{gray}{(93.1)}"
        r"\textsuperscript{3} \\" in text
    )
    assert r"\textsuperscript{3}~9 of 10 \textbar{} runs\_done\par" in text
    assert r"& \textbf{91.0} \textcolor{gray}{(91.2)} \\" in text
    assert r"& \underline{95.0} \textcolor{gray}{(74.0)} \\" in text
    assert "benchmark 1 -{}-budget smoke" in text
    assert r"ALM + BCE & \textless{} 0.001 (\textless{} 0.001) & -- & -- & 0.040 (0.320) \\" in text
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:paper-1-100", "tab:paper-1-200"]


def check_latex(text):
    """Braces and dollars balance, environments nest, and each row of a tabular has the columns it declares."""
    bare = re.sub(r"\\[\\{}$&%#_]", "", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    open_environments = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        for line in rows:
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


@pytest.mark.parametrize("number", range(1, 17))
def test_latex_is_well_formed(number):
    check_latex(to_latex(table_layout(number)))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text(alphabet="\\&%$#_{}~^<>|-*`", max_size=12)
)
def test_no_note_breaks_the_markup(note, title):
    table = tiny(note=note, title=title, method=f"B {title}")
    check_latex(to_latex(table))
    assert not re.search(r"(?<!\\)%", to_latex(table).partition("\n")[2])
    grid = [line for line in to_markdown(table).splitlines() if line.startswith("| ")]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in grid] == [3, 3, 3]


def test_files_are_written_whole_or_not_at_all(tmp_path):
    paths = write_table(table_layout(1), tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"table-01.{end}" for end in paths}
    assert ResultTable.model_validate_json(paths["json"].read_bytes()) == table_layout(1)
    before = paths["md"].read_text()
    # a folder in the way of the temporary file makes the writing fail half way
    (tmp_path / "new" / f".table-01.md.{os.getpid()}.tmp").mkdir()
    with pytest.raises(IsADirectoryError):
        write_table(table_1(), tmp_path / "new")
    assert paths["md"].read_text() == before


@pytest.mark.parametrize(
    ("p_value", "shown"), [(0.00099, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (0.0, "< 0.001")]
)
def test_p_values(p_value, shown):
    assert p_text(p_value) == shown
