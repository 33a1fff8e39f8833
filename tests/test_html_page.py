"""What the product's pages share."""

import base64
import hashlib

from PIL import Image

from prostate_alm.html_page import allowed, narrowed


def test_a_narrowed_picture_keeps_its_proportions() -> None:
    assert narrowed(Image.new("L", (640, 480)), 160).size == (160, 120)


def test_a_style_is_let_in_by_the_hash_of_its_very_text() -> None:
    digest = hashlib.sha256(b"p { margin: 0 }").digest()
    assert allowed("p { margin: 0 }") == f"'sha256-{base64.b64encode(digest).decode()}'"
