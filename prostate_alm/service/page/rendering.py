"""The page as HTML: templates filled with views. Nothing here reads a database or a request."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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


def worklist_page(
    rows: Sequence[WorklistRow], *, model: ModelIdentity, faults: Sequence[str] = (), may_send: bool = True
) -> str:
    """The worklist with the upload form.

    Args:
        rows: newest first.
        model: which ensemble answers.
        faults: why a study sent now would not be scored; empty when it would.
        may_send: whether the reader may send studies.
    """
    return _render("worklist.html.j2", rows=rows, model=model, faults=faults, may_send=may_send)


def worklist_fragment(rows: Sequence[WorklistRow], *, faults: Sequence[str] = ()) -> str:
    """The part of the worklist that lives."""
    return _render("worklist_rows.html.j2", rows=rows, faults=faults)


def study_page(view: StudyView, *, may_send: bool = True) -> str:
    """One study.

    Args:
        view: what it shows.
        may_send: whether the reader may ask for a map of where the model looked.
    """
    return _render("study.html.j2", view=view, may_send=may_send, scale_width=WIDTH, scale_bar_mm=SCALE_BAR_MM)


def login_page(*, failed: bool = False) -> str:
    """The form that turns a token into a session."""
    return _render("login.html.j2", failed=failed)


def problem_page(status: int, title: str, detail: str) -> str:
    """A fault, which reads as "DCE recommended" like every other thing that went wrong."""
    return _render("problem.html.j2", status=status, title=title, detail=detail)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(wording=wording, **values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
