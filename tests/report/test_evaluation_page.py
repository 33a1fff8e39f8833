"""The report shows the record, runs nothing, asks for nothing from outside, and can be read by everybody."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prostate_alm.html_page import EmbeddedPicture
from prostate_alm.report import evaluation_page
from prostate_alm.report.case_picture import CasePicture
from prostate_alm.report.evaluation_page import render_page, write_report
from prostate_alm.report.evaluation_record import EvaluationRecord
from prostate_alm.report.reporting_items import ITEMS

ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'
PICTURE = CasePicture(EmbeddedPicture("data:image/webp;base64,AAAA", 856, 168), 3, 24)


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(sample: SimpleNamespace, record: EvaluationRecord | None = None) -> str:
    return render_page(record or sample.record, logits=sample.logits, labels=sample.labels, pictures={"s001": PICTURE})


@pytest.fixture(scope="module")
def html(sample: SimpleNamespace) -> str:
    return html_of(sample)


def test_the_page_asks_for_nothing_from_outside_and_runs_nothing(html: str) -> None:
    page = Page(html)
    addresses = [a[name] for _, a in page.elements for name in ("src", "href") if name in a]
    assert addresses
    assert all(re.match(r"#[a-z]+$|data:image/webp;base64,", address) for address in addresses)
    assert "//" not in re.sub(r"data:[^\"]*", "", html)
    assert "url(" not in html
    assert not {"link", "script", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    assert not [a for _, a in page.elements if "style" in a or any(name.startswith("on") for name in a)]


def test_the_policy_lets_in_the_pages_own_style_alone(html: str) -> None:
    (policy,) = [a["content"] for a in Page(html).of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall("<style>(.*?)</style>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def test_every_item_and_link_leads_to_a_section(html: str) -> None:
    page = Page(html)
    places = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"].removeprefix("#") for a in page.of("a")} <= places
    assert {item.where for item in ITEMS if item.where} <= places
    assert [a.get("alt") for a in page.of("img")] != [None]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.of("svg"))
    assert not re.findall(r"<th[^>]*></th>", html)


def test_the_main_figures_are_those_of_the_record(html: str, sample: SimpleNamespace) -> None:
    text, record = " ".join(Page(html).text.split()), sample.record
    counts = record.fixed_thresholds[0].whole_decision.counts
    assert f"{record.discrimination.auc.auc:.3f}" in text
    assert f"{counts.missed} of {counts.positives}" in text
    assert f"spares {counts.spared} of {counts.negatives} patients" in text
    assert "model alone" in text
    assert "whole decision" in text
    assert "An oracle" in text
    assert "Research use only" in text


def test_what_a_datalist_brings_is_text(sample: SimpleNamespace) -> None:
    record: Any = sample.record
    hostile = record.model_copy(
        update={
            "patients": record.patients.model_copy(update={"datalist": ATTACK}),
            "ensemble": record.ensemble.model_copy(update={"name": ATTACK, "training": {ATTACK: ATTACK}}),
            "subgroups": [row.model_copy(update={"group": ATTACK}) for row in record.subgroups],
            "failures": [one.model_copy(update={"study": ATTACK, "label_reason": ATTACK}) for one in record.failures],
            "cautions": [f"`{ATTACK}`"],
        }
    )
    page = Page(html_of(sample, hostile))
    assert page.of("script") == []
    assert page.of("img") == []
    assert page.text.count("{{ 7 * 7 }}") >= 7


def test_a_page_without_comparison_failures_and_groups_is_whole(sample: SimpleNamespace) -> None:
    bare = sample.record.model_copy(update={"comparison": None, "failures": [], "subgroups": [], "cautions": []})
    text = Page(html_of(sample, bare)).text
    assert "every score lies on the right side" in text
    assert "does not say" in text


def test_the_page_is_written_whole(sample: SimpleNamespace, tmp_path: Path, html: str) -> None:
    write_report(
        tmp_path / "report.html", sample.record, logits=sample.logits, labels=sample.labels, pictures={"s001": PICTURE}
    )
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_and_marks_stand_out_and_nothing_is_green() -> None:
    style = (evaluation_page.TEMPLATES / "evaluation.css").read_text()
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", style))
    for ground in ("paper", "ground"):
        for ink in ("ink", "soft", "blue", "amber", "red", "steel-text"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)  # WCAG 2.2, 1.4.3
    for mark in ("red", "violet", "teal", "blue", "needed"):
        assert contrast(colours[mark], colours["paper"]) >= 3.0, mark  # 1.4.11; the legend says the rest in words
    red, green, blue = (int(colours["steel"][i : i + 2], 16) for i in (1, 3, 5))
    assert green < blue
    assert green - red < 40
