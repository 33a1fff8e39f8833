"""The page shows what the report says, runs nothing that a file brought, and asks for nothing from outside."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prostate_alm.datasets import import_page
from prostate_alm.datasets.import_attention import notices
from prostate_alm.datasets.import_flow import draw_flow
from prostate_alm.datasets.import_page import render_page, write_import_report
from prostate_alm.datasets.import_report import (
    ChosenSeries,
    ConflictKind,
    DuplicateKind,
    GateFigure,
    ImportReport,
    LabelConflict,
    NearDuplicate,
    RunnerUp,
    StudyRecord,
    make_import_report,
)
from prostate_alm.errors import Reason
from prostate_alm.study import Role

ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}&lt;'"


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text by the element it stands in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.elements[-1][0] if self.elements else "", []).append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def record(index: int, **others: Any) -> StudyRecord:
    facts: dict[str, Any] = {"label": int(index % 3 == 0), "split": "test" if index % 4 == 0 else "training"}
    facts |= {"kept": others.get("reason") is None, **others}
    return StudyRecord(key=f"s{index:03d}", patient=f"p{index:03d}", index=index, **facts)


def pair(first: str, second: str, **others: bool) -> NearDuplicate:
    facts = {"same_patient": False, "labels_differ": False, "splits_differ": False} | others
    return NearDuplicate(first=first, second=second, kind=DuplicateKind.NEAR, distance=0.05, **facts)


@pytest.fixture
def report() -> ImportReport:
    """Seventeen studies, five of them excluded."""
    reasons = {2: Reason.T2_MISSING, 3: Reason.ADC_OUT_OF_RANGE, 6: Reason.T2_MISSING, 8: Reason.SLICE_MISSING}
    studies = [record(i, reason=reasons.get(i), vendor="SIEMENS", montage=f"{i}.png") for i in range(16)]
    studies.append(record(16, reason=Reason.T2_MISSING, message=ATTACK))
    return make_import_report(
        studies,
        rows_without_study=[5, 6, 7, 11],
        studies_without_row=2,
        conflicts=[LabelConflict(kind=ConflictKind.PATIENT_REPEATED, keys=["s000", "s001"], message="two studies")],
        near_duplicates=[pair("s009", "s010"), pair("s000", "s001", splits_differ=True)],
    )


def numbers(lines: tuple[str, ...]) -> list[int]:
    """The first number of each line."""
    return [int(match[0]) for line in lines if (match := re.search(r"\d+", line))]


def test_the_counts_in_the_diagram_add_up(report: ImportReport) -> None:
    boxes = {box.lines[0].split(":")[0]: box.lines for box in draw_flow(report).boxes}
    (rows,), (images,) = numbers(boxes["Label table"]), numbers(boxes["Images"])
    rows_left, images_left = numbers(boxes["Not matched"])
    excluded, *by_reason = numbers(boxes["Excluded"])
    found, kept, training, test = (np.array(numbers(boxes[name])) for name in ("Found", "Kept", "Training", "Test"))
    assert rows - rows_left == images - images_left == found[0] == 17
    assert sum(by_reason) == excluded == found[0] - kept[0] == 5
    assert (training + test == kept).all()  # studies, and those with label 1
    assert found[1] == sum(study.label for study in report.studies)


def test_no_box_of_the_diagram_covers_another(report: ImportReport) -> None:
    flow = draw_flow(report)
    for i, one in enumerate(flow.boxes):
        assert one.left >= 0
        assert one.left + one.width <= 900
        assert one.bottom <= flow.height
        for other in flow.boxes[i + 1 :]:
            beside = one.left + one.width <= other.left or other.left + other.width <= one.left
            assert beside or one.bottom <= other.top or other.bottom <= one.top


def test_what_files_and_tables_bring_is_text(report: ImportReport, tmp_path: Path) -> None:
    hostile = record(
        20,
        vendor=ATTACK,
        model=ATTACK,
        series=[ChosenSeries(role=Role.T2, number=4, description=ATTACK)],
        runners_up=[RunnerUp(role=ATTACK, number=5, description=ATTACK, why=ATTACK)],
    )
    conflict = LabelConflict(kind=ConflictKind.LABELS_DIFFER, keys=["s020"], message=ATTACK)
    page = Page(render_page(make_import_report([*report.studies, hostile], conflicts=[conflict]), tmp_path))
    assert len(page.of("script")) == 1
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert page.of("img") == []
    shown = "".join(text for texts in page.texts.values() for text in texts)
    assert shown.count(ATTACK) >= 8


def test_the_page_asks_for_nothing_from_outside(report: ImportReport, tmp_path: Path) -> None:
    Image.new("L", (90, 60)).save(tmp_path / "0.png")
    html = render_page(report, tmp_path)
    page = Page(html)
    assert "//" not in re.sub(r"(^|<script>)// .*$|data:[^\"]*", "", html, flags=re.MULTILINE)
    addresses = [a[name] for _, a in page.elements for name in ("src", "href") if name in a]
    assert any(address.startswith("data:image/webp;base64,") for address in addresses)
    assert all(re.match(r"#|data:image/|\d+\.png$|import_report\.json$", address) for address in addresses)
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}


def test_the_policy_lets_nothing_run_but_the_pages_own_style_and_script(report: ImportReport, tmp_path: Path) -> None:
    html = render_page(report, tmp_path)
    page = Page(html)
    (policy,) = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    digests: dict[str, str] = {}
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digests[tag] = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests['style']}'; "
        f"script-src 'sha256-{digests['script']}'"
    )
    assert not [attributes for _, attributes in page.elements if "style" in attributes]


def test_a_report_that_is_the_same_is_not_written_again(report: ImportReport, tmp_path: Path) -> None:
    write_import_report(report, tmp_path)
    first = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(first) == ["import_report.html", "import_report.json"]
    write_import_report(ImportReport.model_validate_json((tmp_path / "import_report.json").read_bytes()), tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == first
    write_import_report(make_import_report(report.studies[1:]), tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert all(again[name] > first[name] for name in first)


def test_a_changed_montage_changes_the_page(report: ImportReport, tmp_path: Path) -> None:
    pages: list[str] = []
    for grey in (0, 200):
        Image.new("L", (90, 60), grey).save(tmp_path / "0.png")
        write_import_report(report, tmp_path)
        pages.append((tmp_path / "import_report.html").read_text())
    assert pages[0] != pages[1]
    assert pages[1] == render_page(report, tmp_path)


def test_pictures_that_need_a_look_come_first_when_not_all_fit(
    report: ImportReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
    for index in range(16):
        Image.fromarray(noise).save(tmp_path / f"{index}.png")
    monkeypatch.setattr(import_page, "EMBEDDED_BYTES", 1)
    assert Page(render_page(report, tmp_path)).of("img") == []
    monkeypatch.undo()
    size = len(Page(render_page(report, tmp_path)).of("img")[0]["src"])
    monkeypatch.setattr(import_page, "EMBEDDED_BYTES", size * 5 + size // 2)
    page = Page(render_page(report, tmp_path))
    embedded = [re.search(r"s\d+", attributes["alt"]) for attributes in page.of("img")]
    assert [match[0] for match in embedded if match] == ["s000", "s002", "s003", "s006", "s008"]
    linked = {attributes["href"] for attributes in page.of("a") if attributes["href"].endswith(".png")}
    assert len(linked) == 16


def test_leaks_stand_first_and_notes_last(report: ImportReport) -> None:
    found = notices(report)
    assert "training and in test" in found[0].title
    assert [entry.keys for entry in found[0].entries] == [("s000", "s001")]
    assert "two patients" in found[1].title
    assert [entry.keys for entry in found[1].entries] == [("s009", "s010")]
    levels = [notice.level for notice in found]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    assert {"error", "warning", "note"} == set(levels)
    assert notices(make_import_report([record(1), record(2)])) == []


def test_rows_and_failed_gates_are_named(report: ImportReport, tmp_path: Path) -> None:
    moved = GateFigure(reason=Reason.MOTION_SUSPECTED, value=0.2, limit=0.14, passed=False)
    fine = GateFigure(reason=Reason.COVERAGE_LOW, value=1.0, limit=0.6, passed=True)
    changed = make_import_report([record(1, quality=[fine, moved])], rows_without_study=[5, 6, 7, 11])
    html = render_page(changed, tmp_path)
    assert "Lines 5–7, 11." in html
    assert "0.2, expected ≤ 0.14" in html
    assert "1 of 2 gates passed" in html
    assert html.count('<tr class="failed">') == 1
