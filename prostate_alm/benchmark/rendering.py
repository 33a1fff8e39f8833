"""A table of results as Markdown, CSV and LaTeX: ours beside the paper's.

A result that is missing is said in words ("not run", "failed"), never left out. Everything is in percent.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prostate_alm.benchmark.table import (
    Cell,
    CellKey,
    Choice,
    Column,
    ResultTable,
    Row,
    bold_cells,
    underlined_cells,
)
from prostate_alm.files import replacing
from prostate_alm.parcel import write_json

SIGNIFICANT = 0.05
NO_NUMBER = "–"
UNREADABLE = "?"

LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "→": r"$\to$",
    "…": r"\dots{}", "†": r"$\dagger$", "µ": r"$\mu$", "μ": r"$\mu$", "ρ": r"$\rho$", "δ": r"$\delta$",
    "λ": r"$\lambda$", "β": r"$\beta$", "γ": r"$\gamma$",
}  # fmt: skip


@dataclass(frozen=True)
class _Marks:
    """What is marked in a table: `footnotes` by cell are numbers in `notes`, from 1."""

    bold: frozenset[CellKey]
    underlined: frozenset[CellKey]
    footnotes: Mapping[CellKey, tuple[int, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Text:
    """One cell's parts as plain text."""

    value: str
    stars: str
    spread: str
    paper: str


def to_markdown(table: ResultTable) -> str:
    """The table for a reader of Markdown on GitHub, a part for each class ratio.

    A cell reads: ours with its interval, and the paper's number in parentheses.
    """
    marks = _marks(table)
    lines = [f"### Table {table.number}. {_markdown(table.title)}", "", _markdown_legend(table), ""]
    for ratio in table.ratios():
        columns = [column for column in table.columns if column.ratio == ratio]
        if ratio is not None:
            lines += [f"#### Class ratio 1:{ratio}", ""]
        lines += [*_markdown_results(table, columns, marks), ""]
        if rows := _compared_rows(table, columns):
            lines += ["p-values against the baseline, Holm-adjusted in parentheses:", ""]
            lines += [*_markdown_p_values(table, rows, columns), ""]
        if choices := [choice for choice in table.choices if choice.ratio == ratio]:
            judged = "patients" if ratio is None else "images"
            lines += [f"Chosen on validation {judged}, and the constraint's share of the training loss:", ""]
            lines += [*_markdown_choices(choices), ""]
    lines += [f"{place}. {_markdown(note)}" for place, note in enumerate(marks.notes, start=1)]
    lines += ["", *(f"- {_markdown(note)}" for note in table.notes)]
    lines += ["", *(f"- {name.capitalize()}: {_markdown(text)}" for name, text in table.caption)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def to_csv(table: ResultTable) -> str:
    """The table as tidy data: a line for each cell, with all its fields, its marks and the caption."""
    marks = _marks(table)
    columns = {(column.ratio, column.metric): column for column in table.columns}
    pairs = {row.method: row.pair for row in table.rows}
    records = [
        {
            "table": table.number,
            "method": key[0],
            "baseline": pairs[key[0]],
            **columns[key[1:]].model_dump(exclude={"decimals"}),
            "status": cell.status,
            **cell.model_dump(exclude={"failed"}),
            "bold": key in marks.bold,
            "underlined": key in marks.underlined,
            **dict(table.caption),
        }
        for key, cell in table.named_cells()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_latex(table: ResultTable) -> str:
    r"""The table for a LaTeX article with the packages booktabs and xcolor, a float for each class ratio.

    It wants a text width of 17 cm where every cell has all its parts. The paper's numbers are grey, in parentheses.
    The labels are ``tab:paper-N`` or, with class ratios, ``tab:paper-N-RATIO``.
    """
    marks = _marks(table)
    floats = [_latex_float(table, ratio, marks) for ratio in table.ratios()]
    return "% needs \\usepackage{booktabs,xcolor}\n" + "\n".join(floats)


def write_table(table: ResultTable, folder: Path) -> dict[str, Path]:
    """Write the table in every form, each file whole or not at all.

    Args:
        table: the results.
        folder: made if it isn't there.

    Returns:
        ``table-01.md`` and its like, by suffix: "md", "csv", "tex", and "json" from which the table can be read back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {suffix: folder / f"table-{table.number:02d}.{suffix}" for suffix in ("md", "csv", "tex", "json")}
    for suffix, render in (("md", to_markdown), ("csv", to_csv), ("tex", to_latex)):
        write_text(paths[suffix], render(table))
    write_json(paths["json"], table)
    return paths


def p_text(p_value: float) -> str:
    """A p-value for a reader.

    >>> p_text(0.0312), p_text(0.00004), p_text(1.0)
    ('0.031', '< 0.001', '1.000')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def chosen_text(settings: Mapping[str, object]) -> str:
    """Settings that a search chose.

    >>> chosen_text({"mu": 1e-05, "learning_rate": 0.002})
    'mu 1e-05, learning_rate 0.002'
    """
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in settings.items()) or NO_NUMBER  # fmt: skip


def share_text(percent: float | None) -> str:
    """A share of the loss.

    >>> share_text(0.423), share_text(27.94), share_text(None)
    ('0.4 %', '28 %', '–')
    """
    if percent is None:
        return NO_NUMBER
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def write_text(path: Path, text: str) -> None:
    """Write so that `path` holds either the old content or the whole new one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _marks(table: ResultTable) -> _Marks:
    notes: dict[str, int] = {}
    footnotes: dict[CellKey, tuple[int, ...]] = {}
    ratios = table.ratios()
    # numbered as they are met: a class ratio after the other
    for key, cell in sorted(table.named_cells(), key=lambda named: ratios.index(named[0][1])):
        said = [cell.note, f"Paper: {cell.paper_note}" if cell.paper_note else ""]
        footnotes[key] = tuple(notes.setdefault(note, len(notes) + 1) for note in said if note)
    return _Marks(bold_cells(table), underlined_cells(table), footnotes, tuple(notes))


def _text(cell: Cell, column: Column) -> _Text:
    def shown(number: float) -> str:
        return f"{number:.{column.decimals}f}"

    value = cell.status if cell.value is None else shown(cell.value)
    spread = "" if cell.sd is None else f" ± {shown(cell.sd)}"
    spread += "" if cell.low is None or cell.high is None else f" [{shown(cell.low)}, {shown(cell.high)}]"
    if cell.paper is None:
        return _Text(value, _stars(cell), spread, UNREADABLE if cell.paper_note else NO_NUMBER)
    paper = shown(cell.paper) + ("" if cell.paper_sd is None else f" ± {shown(cell.paper_sd)}")
    return _Text(value, _stars(cell), spread, paper + ("*" if cell.paper_star else ""))


def _stars(cell: Cell) -> str:
    marks = ((cell.p_value, "*"), (cell.p_adjusted, "†"))
    return "".join(mark for p_value, mark in marks if p_value is not None and p_value <= SIGNIFICANT)


def _legend(table: ResultTable) -> str:
    """What the numbers and marks mean, for those marks that the table may have."""
    cells = [cell for _, cell in table.named_cells()]
    sentences = ["In percent: ours, in parentheses the paper's."]
    if any(cell.low is not None for cell in cells):
        sentences.append("Brackets hold 95% intervals.")
    if any(cell.sd is not None or cell.paper_sd is not None for cell in cells):
        sentences.append("± is the standard deviation over runs.")
    if any(row.pair for row in table.rows) and any(row.pair is None for row in table.rows):
        sentences.append("Bold: the better of a baseline and its constrained rows.")
    sentences.append("Underlined: the best of the column.")
    if any(cell.p_value is not None or cell.paper_star is not None for cell in cells):
        tests = sum(cell.p_value is not None for cell in cells)
        sentences.append(
            f"*: p ≤ 0.05 against the baseline; †: also after Holm's correction over the {tests} tests of this table."
        )
    if any(cell.paper is None for cell in cells):
        sentences.append(f"{NO_NUMBER}: not in the paper; {UNREADABLE}: unreadable in our copy of it.")
    return " ".join(sentences)


def _compared_rows(table: ResultTable, columns: list[Column]) -> list[Row]:
    """Rows that have a p-value in one of the columns."""
    return [
        row
        for row in table.rows
        if any(table.cell(row.method, column.ratio, column.metric).p_value is not None for column in columns)
    ]


def _p_values(cell: Cell) -> str:
    if cell.p_value is None:
        return NO_NUMBER
    return p_text(cell.p_value) + ("" if cell.p_adjusted is None else f" ({p_text(cell.p_adjusted)})")


def _lines(
    table: ResultTable, rows: list[Row], columns: list[Column], show: Callable[[CellKey, Cell, Column], str]
) -> list[list[str]]:
    """A list of shown cells for each row."""
    return [
        [
            show((row.method, column.ratio, column.metric), table.cell(row.method, column.ratio, column.metric), column)
            for column in columns
        ]
        for row in rows
    ]


def _markdown(text: str) -> str:
    """Plain text with what Markdown would take for markup escaped, on one line."""
    escaped = re.sub(r"([\\*|`])", r"\\\1", " ".join(text.split()))
    return escaped.replace("<", "&lt;")


def _markdown_legend(table: ResultTable) -> str:
    legend = _markdown(_legend(table)).replace("Bold:", "**Bold**:").replace("Underlined:", "<u>Underlined</u>:")
    return f"{legend} ↓: lower is better, ↑: higher is better."


def _markdown_grid(header: list[str], names: list[str], lines: list[list[str]]) -> list[str]:
    rule = [":---", *["---:"] * len(header)]
    rows = [["Method", *header], rule, *([name, *line] for name, line in zip(names, lines, strict=True))]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _markdown_results(table: ResultTable, columns: list[Column], marks: _Marks) -> list[str]:
    def show(key: CellKey, cell: Cell, column: Column) -> str:
        text = _text(cell, column)
        value = f"<u>{text.value}</u>" if key in marks.underlined else text.value
        value = f"**{value}**" if key in marks.bold else value
        notes = ",".join(map(str, marks.footnotes[key]))
        raised = f"<sup>{notes}</sup>" if notes else ""
        return f"{value}{_markdown(text.stars)}{text.spread} ({_markdown(text.paper)}){raised}"

    header = [_markdown(column.title) + (" ↓" if column.better == "lower" else " ↑") for column in columns]
    names = [_markdown(row.method) for row in table.rows]
    return _markdown_grid(header, names, _lines(table, list(table.rows), columns, show))


def _markdown_p_values(table: ResultTable, rows: list[Row], columns: list[Column]) -> list[str]:
    lines = _lines(table, rows, columns, lambda _key, cell, _column: _markdown(_p_values(cell)))
    return _markdown_grid(
        [_markdown(column.title) for column in columns], [_markdown(row.method) for row in rows], lines
    )


def _markdown_choices(choices: Sequence[Choice]) -> list[str]:
    lines = [[_markdown(chosen_text(one.settings)), share_text(one.share)] for one in choices]
    return _markdown_grid(["chosen", "share"], [_markdown(one.method) for one in choices], lines)


def _latex(text: str) -> str:
    """Plain text with what TeX would take for commands or ligatures escaped."""
    specials = "".join(map(re.escape, LATEX_CHARACTERS))
    on_one_line = " ".join(text.split())
    return re.sub(rf"-(?=-)|[{specials}]", lambda found: LATEX_CHARACTERS.get(found[0], "-{}"), on_one_line)


def _latex_float(table: ResultTable, ratio: int | None, marks: _Marks) -> str:
    """One class ratio: results, p-values, the notes that its cells refer to, and how to make it again."""
    columns = [column for column in table.columns if column.ratio == ratio]
    title = table.title if ratio is None else f"{table.title}, class ratio 1:{ratio}"
    p_values = _compared_rows(table, columns)
    used = {place for key, places in marks.footnotes.items() if key[1] == ratio for place in places}
    notes = [rf"\textsuperscript{{{place}}}~{_latex(marks.notes[place - 1])}" for place in sorted(used)]
    notes += [_latex(note) for note in table.notes]
    notes += [" ".join(f"{name.capitalize()}: {_latex(text)}." for name, text in table.caption)]
    lines = [
        r"\begin{table}[p]",
        rf"\caption{{{_latex(title)}. {_latex(_legend(table))}}}",
        rf"\label{{tab:paper-{table.number}{'' if ratio is None else f'-{ratio}'}}}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}\renewcommand{\arraystretch}{1.1}\par\medskip",
        *_latex_tabular(columns, _latex_results(table, columns, marks)),
    ]
    if p_values:
        lines += [r"\par\medskip $p$-values against the baseline, Holm-adjusted in parentheses\par\smallskip"]
        lines += _latex_tabular(columns, _latex_p_values(table, p_values, columns))
    lines += [r"\par\medskip\raggedright", *(rf"{note}\par" for note in notes), r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_tabular(columns: list[Column], lines: list[str]) -> list[str]:
    arrows = {"lower": r"$\downarrow$", "higher": r"$\uparrow$"}
    header = ["Method", *(f"{_latex(column.title)} {arrows[column.better]}" for column in columns)]
    return [
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _latex_results(table: ResultTable, columns: list[Column], marks: _Marks) -> list[str]:
    def show(key: CellKey, cell: Cell, column: Column) -> str:
        text = _text(cell, column)
        value = _latex(text.value)
        value = rf"\underline{{{value}}}" if key in marks.underlined else value
        value = rf"\textbf{{{value}}}" if key in marks.bold else value
        notes = ",".join(map(str, marks.footnotes[key]))
        raised = rf"\textsuperscript{{{notes}}}" if notes else ""
        paper = rf"\textcolor{{gray}}{{({_latex(text.paper)})}}"
        spread = f"~{_latex(text.spread)}" if text.spread else ""
        return f"{value}{_latex(text.stars)}{spread} {paper}{raised}"

    return _latex_lines(list(table.rows), _lines(table, list(table.rows), columns, show))


def _latex_p_values(table: ResultTable, rows: list[Row], columns: list[Column]) -> list[str]:
    return _latex_lines(rows, _lines(table, rows, columns, lambda _key, cell, _column: _latex(_p_values(cell))))


def _latex_lines(rows: list[Row], lines: list[list[str]]) -> list[str]:
    """Rows of a tabular, the constrained ones set off from the baselines."""
    shown: list[str] = []
    for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
        if place and row.pair and not rows[place - 1].pair:
            shown.append(r"\midrule")
        shown.append(" & ".join([_latex(row.method), *line]) + r" \\")
    return shown
