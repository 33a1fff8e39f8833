"""How the import's page writes codes, counts and figures."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from prostate_alm.datasets.import_report import GateFigure, SpacingMm, StudyRecord
from prostate_alm.errors import Reason

_NAMES = {"t2": "T2", "dwi": "DWI", "adc": "ADC", "b": "b"}
_PLURALS = {"study": "studies"}


def in_words(reason: Reason) -> str:
    """A code as words.

    >>> in_words(Reason.ADC_OUT_OF_RANGE), in_words(Reason.HIGH_B_MISSING)
    ('ADC out of range', 'High b missing')
    """
    words = [_NAMES.get(word, word) for word in reason.value.lower().split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def ticked(text: str) -> Markup:
    """A message as HTML: all of it escaped, and what stands in backticks as code.

    >>> print(ticked("fill `high_b` <now>"))
    fill <code>high_b</code> &lt;now&gt;
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped above)


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(2, "study")
    ('1 row', '2 studies')
    """
    return f"{number} {thing if number == 1 else _PLURALS.get(thing, thing + 's')}"


def share(part: int, whole: int) -> str:
    """A share in brackets; nothing of nothing.

    >>> share(13, 100), share(0, 0)
    (' (13 %)', '')
    """
    return f" ({100 * part / whole:.0f} %)" if whole else ""


def listed(numbers: Sequence[float]) -> str:
    """Numbers as people write b-values.

    >>> listed([50.0, 800.0])
    '50/800'
    """
    return "/".join(f"{number:g}" for number in numbers)


def millimetres(spacing: SpacingMm | None) -> str:
    """Spacing along X, Y and Z.

    >>> millimetres((0.5, 0.5, 3.0))
    '0.5 × 0.5 × 3'
    """
    return " × ".join(f"{step:.3g}" for step in spacing) if spacing else ""


def figure(value: float | None) -> str:
    """A gate's figure in three digits; null says that it was not finite."""
    return "not finite" if value is None else f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


def limit(gate: GateFigure) -> str:
    """What the figure was held against; which side is good follows from who passed.

    >>> limit(GateFigure(reason=Reason.COVERAGE_LOW, value=0.5, limit=0.8, passed=False))
    '≥ 0.8'
    """
    if gate.value is None or gate.limit is None or gate.value == gate.limit:
        return figure(gate.limit)
    return f"{'≥' if (gate.value > gate.limit) is gate.passed else '≤'} {figure(gate.limit)}"


def notes(study: StudyRecord) -> list[str]:
    """Gates that did not pass and flags, each once and without the reason of an exclusion."""
    reasons = [*(gate.reason for gate in study.quality if not gate.passed), *study.flags]
    return [in_words(reason) for reason in dict.fromkeys(reasons) if reason is not study.reason]


def ranges(numbers: Sequence[int]) -> str:
    """Line numbers, neighbours drawn together.

    >>> ranges([2, 3, 4, 9])
    '2–4, 9'
    """
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number <= spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in spans)
