"""The page as HTML: templates filled with views. Nothing here reads a database or a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from prostate_alm.html_page import page_templates
from prostate_alm.report.triage import ModelIdentity
from prostate_alm.service.page import wording
from prostate_alm.service.page.scale import WIDTH
from prostate_alm.service.page.views import SCALE_BAR_MM, StudyView, WorklistRow

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # under `no-referrer` a form's Origin would be "null", and it would be refused
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Reader:
    """Who looks at the page.

    Attributes:
        may_send: whether they may send studies and ask for maps.
        logged_in: whether there is a session to end.
    """

    may_send: bool = True
    logged_in: bool = False


def worklist_page(
    rows: Sequence[WorklistRow], *, model: ModelIdentity, reader: Reader, faults: Sequence[str] = ()
) -> str:
    """The worklist with the upload form.

    Args:
        rows: newest first.
        model: which ensemble answers.
        reader: who looks.
        faults: why a study sent now would not be scored; empty when it would.
    """
    return _render("worklist.html.j2", rows=rows, model=model, faults=faults, reader=reader)


def worklist_fragment(rows: Sequence[WorklistRow], *, faults: Sequence[str] = ()) -> str:
    """The part of the worklist that lives."""
    return _render("worklist_rows.html.j2", rows=rows, faults=faults)


def study_page(view: StudyView, *, reader: Reader) -> str:
    """One study."""
    return _render("study.html.j2", view=view, reader=reader, scale_width=WIDTH, scale_bar_mm=SCALE_BAR_MM)


def login_page(*, failed: bool = False) -> str:
    """The form that turns a token into a session."""
    return _render("login.html.j2", failed=failed)


def problem_page(status: int, title: str, detail: str) -> str:
    """A fault, which reads as "DCE recommended" like every other thing that went wrong."""
    return _render("problem.html.j2", status=status, title=title, detail=detail)


def _render(template: str, **values: Any) -> str:
    known = {"wording": wording, "reader": Reader(may_send=False)}
    return _environment().get_template(template).render(known | values)


@cache
def _environment() -> Environment:
    return page_templates(TEMPLATES)
