"""`report.html`: an evaluation on one page that asks for nothing from anywhere, on screen and on paper."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from prostate_alm.evaluation.confusion import Proportion
from prostate_alm.evaluation.delong import AucInterval
from prostate_alm.evaluation.operating_point import ASSUMPTIONS
from prostate_alm.evaluation.predictive import ValueInterval
from prostate_alm.html_page import allowed, page_templates, write_page
from prostate_alm.report import evaluation_charts as charts
from prostate_alm.report.case_picture import TILES, CasePicture
from prostate_alm.report.evaluation_record import EvaluationRecord
from prostate_alm.report.reporting_items import ITEMS

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    path: Path,
    record: EvaluationRecord,
    *,
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    pictures: Mapping[str, CasePicture],
) -> None:
    """Write the page, so that `path` holds either the old one or the whole new one.

    Args:
        path: the page; its folder must be there.
        record: what it shows.
        logits: ``[N]`` of the studies with a score, for the curves.
        labels: ``[N]``, 0 or 1.
        pictures: of failures, by study.
    """
    write_page(path, render_page(record, logits=logits, labels=labels, pictures=pictures))


def render_page(
    record: EvaluationRecord,
    *,
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    pictures: Mapping[str, CasePicture],
) -> str:
    """The page as HTML; arguments as `write_report`."""
    environment = page_templates(TEMPLATES)
    environment.filters |= {  # pyright: ignore[reportUnknownMemberType]  # jinja2 leaves its functions untyped
        "pct": percent,
        "share": share,
        "auc": auc_text,
        "value": value_text,
        "number": number,
        "ticked": ticked,
    }
    style = (TEMPLATES / "evaluation.css").read_text(encoding="utf-8")
    return environment.get_template("evaluation.html.j2").render(
        r=record,
        style=Markup(style),  # noqa: S704 - our own file
        policy=f"default-src 'none'; img-src data:; style-src {allowed(style)}",
        drawn=_drawn(record, logits, labels),
        hundreds={
            one.point.name: [Markup(charts.hundred_chart(at.of_hundred)) for at in one.whole_decision.prevalences]  # noqa: S704
            for one in record.fixed_thresholds
        },
        forest=partial(_forest, overall=record.discrimination.auc.auc),
        assumptions=_assumptions(record),
        pictures=pictures,
        tiles=TILES,
        items=ITEMS,
    )


def _drawn(record: EvaluationRecord, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Markup]:
    """The charts; their text is escaped where they are drawn."""
    pictures = {
        "roc": charts.roc_chart(record, logits, labels),
        "scores": charts.score_chart(record, logits, labels),
        "calibration": charts.calibration_chart(record),
        "decision": charts.decision_chart(record),
    }
    return {name: Markup(picture) for name, picture in pictures.items()}  # noqa: S704


def _assumptions(record: EvaluationRecord) -> dict[str, str]:
    """What the thresholds rest on: first what all of one evidence share, then by name what one adds."""
    told: dict[str, str] = {}
    for one in record.fixed_thresholds:
        shared = ASSUMPTIONS[one.point.evidence]
        if one.point.assumptions.startswith(shared):
            told[""] = shared
        own = one.point.assumptions.removeprefix(shared).strip()
        if own:
            told[one.point.name] = own
    return told


def _forest(auc: AucInterval, overall: float) -> Markup:
    return Markup(charts.forest_row(auc, overall))  # noqa: S704 - numbers alone


def percent(value: float | None, digits: int = 1) -> str:
    """A share in per cent.

    >>> percent(0.0739), percent(1.0), percent(None), percent(0.0, 0), percent(1.0, 0), percent(0.1, 0)
    ('7.4 %', '100 %', '–', '0 %', '100 %', '10 %')
    """
    if value is None:
        return "–"
    text = f"{100 * value:.{digits}f}"
    whole = text.partition(".")[0] if float(text) in (0.0, 100.0) else text
    return f"{whole} %"


def share(proportion: Proportion) -> str:
    """A share with its interval.

    >>> share(Proportion.of(34, 36))
    '94.4 % (81.3–99.3)'
    """
    if proportion.value is None:
        return "–"
    return f"{percent(proportion.value)} ({100 * proportion.low:.1f}–{100 * proportion.high:.1f})"


def value_text(value: ValueInterval) -> str:
    """A predictive value with its interval."""
    return "–" if value.value is None else f"{percent(value.value)} ({100 * value.low:.1f}–{100 * value.high:.1f})"


def auc_text(auc: AucInterval) -> str:
    """An AUC with its interval.

    >>> auc_text(AucInterval(0.9, 0.05, 0.802, 0.998))
    '0.900 (0.802–0.998)'
    """
    return f"{auc.auc:.3f} ({auc.low:.3f}–{auc.high:.3f})"


def ticked(text: str) -> Markup:
    """Text whose words in backticks are code.

    >>> ticked("run `train` & wait")
    Markup('run <code>train</code> &amp; wait')
    """
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts))


def number(value: float, digits: int = 3) -> str:
    """A number with a real minus sign.

    >>> number(-0.25, 2)
    '−0.25'
    """
    return f"{value:.{digits}f}".replace("-", "−")
