"""The HTML, and the colours it is set in."""

import re
from html.parser import HTMLParser

import pytest

from prostate_alm.errors import Reason
from prostate_alm.report.disclosure import DisclosurePolicy, disclose
from prostate_alm.report.triage import ModelIdentity
from prostate_alm.service.page import rendering
from prostate_alm.service.page.reasons import EXPLANATIONS
from prostate_alm.service.page.views import study_view, worklist_rows
from prostate_alm.service.records import Identity

SENDS, LOOKS_ONLY = rendering.Reader(logged_in=True), rendering.Reader(may_send=False)
MODEL = ModelIdentity(name="small", version="0.1.0", sha256="ab" * 32, members=3)
CSS = (rendering.STATIC / "page.css").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """All start tags with their attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text, self.open = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "image", "line", "path", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pages(job, answer_factory, image):
    """Every page in several states."""
    answered = job(answer_factory())
    recommended = job(answer_factory(member_logits=(2.0, 1.0, 3.0)))
    failed = job(answer_factory(failures=tuple(Reason)[:3]))
    rows = worklist_rows([job(), answered, recommended, failed])
    return {
        "worklist": rendering.worklist_page(rows, model=MODEL, reader=SENDS, faults=["WORKER_STARTING"]),
        "empty": rendering.worklist_page([], model=MODEL, reader=SENDS),
        "readers": rendering.worklist_page(rows, model=MODEL, reader=LOOKS_ONLY),
        "pending": rendering.study_page(study_view(job()), reader=SENDS),
        "not needed": rendering.study_page(study_view(answered, image=image), reader=SENDS),
        "recommended": rendering.study_page(study_view(recommended, image=image, occlusion=answered), reader=SENDS),
        "fail-safe": rendering.study_page(study_view(failed), reader=SENDS),
        "replaced": rendering.study_page(study_view(answered, successor="f" * 32), reader=SENDS),
        "login": rendering.login_page(failed=True),
        "problem": rendering.problem_page(404, "Not Found", "no study of this id is known"),
    }


def test_every_page_says_research_use_only_and_what_a_fault_means(pages):
    for name, html in pages.items():
        text = Elements(html).text
        assert "Research use only" in text, name
        assert "Whatever fails, and a study without an answer, means: DCE recommended." in text, name


def test_pages_ask_for_nothing_from_elsewhere_and_run_nothing_inline(pages):
    for name, html in pages.items():
        for tag, attributes in Elements(html).found:
            assert not any(key == "style" or key.startswith("on") for key in attributes), (name, tag)
            for key in ("src", "href", "action"):
                assert attributes.get(key, "/").startswith(("/", "#")), (name, tag, attributes)
                assert not attributes.get(key, "/").startswith("//"), (name, tag)
            assert tag != "style", name
            assert tag != "script" or "src" in attributes, name


def test_every_field_and_image_has_a_name(pages):
    for name, html in pages.items():
        found = Elements(html).found
        labelled = {attributes.get("for") for tag, attributes in found if tag == "label"}
        for tag, attributes in found:
            if tag == "input" and attributes.get("type") != "checkbox":  # the box stands within its label
                assert attributes["id"] in labelled, (name, attributes)
            if tag == "svg":
                assert attributes.get("aria-label"), name
        assert [tag for tag, _ in found].count("h1") == 1, name


def test_only_a_believed_answer_is_headed_not_needed(pages):
    def headline(html):
        (words,) = re.findall(r'<h1 id="verdict">([^<]+)</h1>', html)
        return words

    expected = {
        "pending": "No answer yet",
        "not needed": "DCE not needed",
        "recommended": "DCE recommended",
        "fail-safe": "DCE recommended",
        "replaced": "No longer valid",
        "problem": "DCE recommended",
    }
    assert {name: headline(pages[name]) for name in expected} == expected


def test_an_answer_that_was_replaced_leads_to_the_later_one(pages):
    text = Elements(pages["replaced"]).text
    assert "until you have read it, DCE is recommended" in text
    assert "not needed" not in text
    assert f'href="/studies/{"f" * 32}"' in pages["replaced"]


def test_a_failed_study_lists_each_reason_with_its_advice(pages):
    text = Elements(pages["fail-safe"]).text
    for reason in tuple(Reason)[:3]:
        assert reason in text
        assert EXPLANATIONS[reason].advice in text


def test_the_evidence_of_the_operating_point_stands_beside_the_score(pages):
    assert "0 of 2 missed in validation; the true miss rate may be up to 77.7 %." in pages["not needed"]  # 1 - √0.05


def test_a_hidden_answer_leaves_no_trace_in_the_html(job, answer_factory, image):
    recorded = answer_factory()
    shown = disclose(recorded, DisclosurePolicy(silent=True), content="").shown
    html = rendering.study_page(study_view(job(shown, recorded=recorded, silent=True), image=image), reader=SENDS)
    assert "not needed" not in html.lower()
    assert "Score" not in html
    assert f"{recorded.logit:.2f}" not in html.replace("−", "-")


def test_what_a_file_says_is_text_and_never_markup(job, answer_factory, image):
    canary = "<script>alert(1)</script>"
    identity = Identity(f"{canary}^", canary, canary, "", "")
    record = job(answer_factory(), identity=identity)
    for html in (
        rendering.study_page(study_view(record, image=image), reader=SENDS),
        rendering.worklist_fragment(worklist_rows([record])),
        rendering.problem_page(400, canary, canary),
    ):
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_the_title_names_no_patient(job, answer_factory):
    html = rendering.study_page(study_view(job(answer_factory())), reader=SENDS)
    (title,) = re.findall("<title>(.*)</title>", html)
    assert title == "DCE not needed · 01234567"


def test_who_may_only_read_is_offered_nothing_to_send(pages, job, answer_factory, image):
    html = rendering.study_page(study_view(job(answer_factory()), image=image), reader=LOOKS_ONLY)
    assert all('<form method="post"' not in page and 'method="post"' not in page for page in (html, pages["readers"]))


def tokens(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))


def themes():
    """The colours on screen and in print."""
    screen, printed = (tokens(block) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL))
    return {"screen": screen, "print": screen | printed}


def rgb(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    return tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))


def contrast(one, other):
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of the relative luminances."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_contrast_formula_knows_its_ends():
    assert contrast("#000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails


@pytest.mark.parametrize("theme", ["screen", "print"])
def test_all_text_has_the_contrast_of_wcag_aa(theme):
    colours = themes()[theme]
    grounds = ("ground", "panel", "raised", "amber-ground", "steel-ground")
    pairs = [(text, ground) for text in ("ink", "soft", "link", "amber", "steel") for ground in grounds]
    for text, ground in [*pairs, ("fault", "fault-ground"), ("ink", "fault-ground")]:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    if theme == "screen":  # buttons are not printed
        assert contrast(colours["on-link"], colours["link"]) >= 4.5


def test_nothing_is_green():
    files = [path.read_text(encoding="utf-8") for path in rendering.STATIC.iterdir()]
    files += [path.read_text(encoding="utf-8") for path in rendering.TEMPLATES.iterdir()]
    colours = {colour for text in files for colour in re.findall(r"#[0-9a-f]{6}\b|#[0-9a-f]{3}\b", text)}
    assert len(colours) > 15
    for colour in colours:
        red, green, blue = rgb(colour)
        assert green <= max(red, blue), colour
    assert not re.search(r"\b(green|lime|teal|hsl|oklch|color-mix)\b", CSS.partition("*/")[2])
