"""The page in a real browser: the way of a radiographer, with the mouse, the keyboard, and without script."""

import base64
import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESK, TABLET = {"width": 1440, "height": 900}, {"width": 820, "height": 1180}
POOR_CONTRAST = (Path(__file__).parent / "poor_contrast.js").read_text(encoding="utf-8")


@contextmanager
def served(app):
    """Serve an app that runs already on a port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="module")
def service(run_service):
    """A service that finds that nobody needs DCE: its client in this process, and its address."""
    with run_service("never") as client, served(client.app) as address:
        yield client, address


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=30_000)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, service):
    """A fresh page at the desk; nothing may be said on its console."""
    context = browser.new_context(base_url=service[1], viewport=DESK)
    context.set_default_timeout(30_000)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.said = said
    yield page
    context.close()


@pytest.fixture
def answered(service, post, dicom_zip):
    """The address of an answered study."""
    return f"/studies/{post(service[0], file=dicom_zip).json()['id']}"


def slice_of(page):
    """The slice that the page names; all its pictures must show it."""
    number = int(page.locator("#slice-number").inner_text())
    height = float(page.locator("#viewer").get_attribute("data-height"))
    offsets = {float(image.get_attribute("y")) for image in page.locator(".stack").all()}
    assert offsets == {-(number - 1) * height}
    return number


def test_from_the_upload_to_the_answer_and_its_images(page, dicom_zip):
    page.goto("/")
    page.set_input_files("#file", dicom_zip)
    page.get_by_role("button", name="Send").click()
    page.wait_for_url(re.compile("/studies/[0-9a-f]{32}"))
    sync_api.expect(page.locator("h1")).to_have_text("DCE not needed")
    page.wait_for_function("document.readyState === 'complete'")  # the script has run
    middle = slice_of(page)
    page.keyboard.press("ArrowRight")
    assert slice_of(page) == middle + 1
    page.locator("#viewer").hover()
    page.mouse.wheel(0, 100)
    page.wait_for_function(f"document.getElementById('slice-number').textContent == {middle - 1}")
    assert slice_of(page) == middle - 1
    page.locator("#slice").fill("2")
    assert slice_of(page) == 2
    page.get_by_role("button", name="Where did the model look?").click()
    switch = page.get_by_role("checkbox", name="Where the model looked")
    switch.wait_for()
    sync_api.expect(page.locator(".overlay")).to_have_count(3)
    sync_api.expect(page.locator(".overlay").first).to_be_visible()
    switch.uncheck()
    sync_api.expect(page.locator(".overlay").first).to_be_hidden()
    assert page.said == []


def test_every_picture_is_loaded_with_the_patients_proportions(page, service, answered):
    with page.expect_response(re.compile(r"slices/adc\.png")) as response:
        page.goto(answered)
    assert response.value.ok
    box = page.locator("#viewer svg").first.bounding_box()
    assert box["width"] == pytest.approx(box["height"], rel=0.01)  # the box is 128 x 128 mm


def test_the_keyboard_alone_leads_to_a_study_through_it_and_back(page, answered):
    page.goto("/")
    page.keyboard.press("Tab")
    sync_api.expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    sync_api.expect(page.locator(".skip")).to_be_in_viewport()
    links = page.locator("a.patient")
    place = [link.get_attribute("href") for link in links.all()].index(answered)
    for above in range(place + 1):
        page.keyboard.press("ArrowDown")
        sync_api.expect(links.nth(above)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"{answered}$"))
    page.wait_for_function("document.readyState === 'complete'")
    page.locator("#viewer").focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Home")
    assert slice_of(page) == 1
    page.keyboard.press("ArrowDown")
    assert slice_of(page) == 1, "below the lowest slice there is none"
    page.keyboard.press("PageUp")
    assert slice_of(page) == 6
    page.keyboard.press("End")
    assert slice_of(page) == int(page.locator("#viewer").get_attribute("data-slices"))
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("/$"))


def test_a_study_that_is_dropped_is_sent(page, dicom_zip):
    page.goto("/")
    content = base64.b64encode(dicom_zip.read_bytes()).decode()
    page.evaluate(
        """(content) => {
          const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "study.zip"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        content,
    )
    page.wait_for_url(re.compile("/studies/[0-9a-f]{32}"))
    sync_api.expect(page.locator("h1")).to_have_text("DCE not needed")


@pytest.fixture
def second_zip(zip_files, dicom_folders, tmp_path):
    """The study of another patient."""
    return zip_files(tmp_path / "second.zip", dicom_folders[1:2])


def test_a_new_answer_comes_into_the_open_worklist_and_is_announced(page, service, post, second_zip):
    page.goto("/")
    study = post(service[0], file=second_zip).json()["id"]
    row = page.locator(f'tr[data-study="{study}"]')
    sync_api.expect(row).to_contain_text("DCE not needed")
    sync_api.expect(page.locator("#news")).to_contain_text("DCE not needed")


def test_without_a_connection_the_page_says_recommended(page, answered):
    for address in ("/", answered):
        page.goto(address)
        sync_api.expect(page.locator("#fault")).to_be_hidden()
        page.context.set_offline(True)
        fault = page.get_by_role("alert")
        sync_api.expect(fault).to_contain_text("DCE recommended for every study without an answer.")
        page.context.set_offline(False)
        sync_api.expect(page.locator("#fault")).to_be_hidden()


@pytest.mark.parametrize("status", [401, 403, 413, 422, 429, 500, 507])
def test_an_upload_that_is_refused_reads_as_recommended(page, dicom_zip, status):
    page.route("**/studies", lambda route: route.fulfill(status=status, body="no"))
    page.goto("/")
    page.set_input_files("#file", dicom_zip)
    page.get_by_role("button", name="Send").click()
    sync_api.expect(page.get_by_role("alert")).to_contain_text("DCE recommended: the study was not accepted.")
    sync_api.expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_an_upload_that_is_cut_off_reads_as_recommended(page, dicom_zip):
    page.route("**/studies", lambda route: route.abort())
    page.goto("/")
    page.set_input_files("#file", dicom_zip)
    page.get_by_role("button", name="Send").click()
    sync_api.expect(page.get_by_role("alert")).to_contain_text("DCE recommended: the study did not reach the service.")


@pytest.mark.parametrize("size", [DESK, TABLET], ids=["desk", "tablet"])
def test_all_text_can_be_read_and_nothing_is_cut_off(page, post, service, answered, size):
    failed = f"/studies/{post(service[0], file=b'no zip').json()['id']}"
    page.set_viewport_size(size)
    for address in ("/", answered, failed, "/studies/nonsense", "/login"):
        page.goto(address)
        found = page.evaluate(POOR_CONTRAST)
        assert found["count"] > 5, address
        assert found["poor"] == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        sync_api.expect(page.get_by_text("Research use only")).to_be_in_viewport()


def test_the_check_of_contrast_sees_what_is_poor(page):
    page.goto("/")
    page.evaluate("document.querySelector('h1').style.color = '#333'")
    assert [text.split(" ", 1)[1] for text in page.evaluate(POOR_CONTRAST)["poor"]] == ["Worklist"]


def test_the_answer_and_the_images_fit_on_a_desk_screen(page, answered):
    page.goto(answered)
    for part in ("h1", ".scale", "#viewer", "#slice"):
        sync_api.expect(page.locator(part)).to_be_in_viewport(ratio=1.0)


def test_the_page_works_without_script(browser, service, dicom_zip):
    context = browser.new_context(base_url=service[1], java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.set_input_files("#file", dicom_zip)
    page.get_by_role("button", name="Send").click()
    page.wait_for_url(re.compile("/studies/[0-9a-f]{32}"))
    deadline = time.monotonic() + 30
    while page.locator("h1").inner_text() != "DCE not needed":
        assert time.monotonic() < deadline
        page.reload()
    page.goto(f"{page.url}?slice=3")
    assert slice_of(page) == 3
    context.close()
