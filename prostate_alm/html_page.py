"""What the product's HTML pages share: templates that escape, embedded pictures, a policy that lets nothing else in."""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from prostate_alm.files import replacing


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture inside a page.

    Attributes:
        uri: the picture itself, as a data URI.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def page_templates(folder: Path) -> Environment:
    """The templates of a folder: values are escaped, and one that is missing is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def allowed(text: str) -> str:
    """A style or script of the page itself, as a content security policy names what it lets in."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(picture: Image.Image, *, quality: int) -> EmbeddedPicture:
    """The picture, small enough to stand in the page itself.

    Args:
        picture: grey or colour.
        quality: of WebP, 0 to 100.
    """
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality)
    return EmbeddedPicture(data_uri(buffer.getvalue(), "webp"), picture.width, picture.height)


def data_uri(image: bytes, kind: str) -> str:
    """An encoded picture as a data URI.

    Args:
        image: the file's content.
        kind: such as png.
    """
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def narrowed(picture: Image.Image, width: int) -> Image.Image:
    """A picture of this width in pixels, its sides in proportion."""
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def write_page(path: Path, page: str) -> None:
    """Write a page, so that `path` holds either the old one or the whole new one."""
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
