"""A table as Excel and others save it: headers written in their own way, semicolons, empty rows."""

import csv
import difflib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from prostate_alm.errors import CohortError

_BETWEEN = ",;\t"
_ALIKE = 0.85  # of difflib: `splits`, `t2_serie`; not `psa`, `site`, `dwi`


def read_cells(path: Path, known: Collection[str]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Headers and rows of a label table, each row with its line; columns of `known` get the names they have there.

    Raises:
        CohortError: no CSV, a header is there twice or almost one of `known`, a row has more cells than columns.
    """
    if not path.is_file():
        raise CohortError(
            "there is no label table at the path of `--labels`; expected a CSV with study, patient, label."
        )
    try:
        lines = _lines(path.read_text(encoding="utf-8-sig"), known)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"the label table is no CSV in UTF-8 ({type(error).__name__}); save it as such.") from None
    headers = [_known_name(text, known) for text in lines[0][1]] if lines else []
    _check_headers(headers, known)
    return [name for name in headers if name], [(line, _row(line, headers, cells)) for line, cells in lines[1:]]


def _lines(text: str, known: Collection[str]) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, split by the character that finds most known columns in the first of them."""

    def split(between: str) -> list[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
        lines = [(reader.line_num, [unicodedata.normalize("NFC", cell.strip()) for cell in cells]) for cells in reader]
        return [(line, cells) for line, cells in lines if any(cells)]

    first = next((line for line in text.splitlines() if line.strip(_BETWEEN + " ")), "")
    return split(max(_BETWEEN, key=lambda one: sum(_known_name(cell, known) in known for cell in first.split(one))))


def _known_name(header: str, known: Collection[str]) -> str:
    """``T2 series`` is `t2_series`; another header stays as it is."""
    return {_compact(name): name for name in known}.get(_compact(header), header)


def _compact(header: str) -> str:
    return re.sub(r"[\s_\-\"]", "", header).casefold()


def _check_headers(headers: Sequence[str], known: Collection[str]) -> None:
    twice = [name for name, count in Counter(map(_compact, filter(None, headers))).items() if count > 1]
    if twice:
        number = [_compact(name) for name in headers].index(twice[0]) + 1
        raise CohortError(f"column {number} of the label table has a header that another has too; keep one of them.")
    for number, name in enumerate(headers, start=1):
        near = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=_ALIKE)
        if near and name not in known:
            raise CohortError(
                f"column {number} of the label table is called almost `{near[0]}`; call it so, or something else."
            )


def _row(line: int, headers: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells by header, empty ones where the row is short."""
    if any(cells[len(headers) :]):
        raise CohortError(f"line {line} of the label table has more cells than columns; quote cells that hold a comma.")
    filled = [*cells, *[""] * (len(headers) - len(cells))]
    return {name: cell for name, cell in zip(headers, filled, strict=False) if name}
