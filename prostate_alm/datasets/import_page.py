"""`import_report.json` and `import_report.html`: the import's report for programs and for people.

The page is one file: style, script, diagram and small pictures are in it, and it asks for nothing from anywhere.
Everything works without the script, which only sorts the table.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from prostate_alm.datasets import import_wording as wording
from prostate_alm.datasets.import_attention import notices
from prostate_alm.datasets.import_flow import WIDTH, draw_flow
from prostate_alm.datasets.import_report import ImportReport, StudyRecord
from prostate_alm.html_page import EmbeddedPicture, allowed, embedded, narrowed, page_templates

TEMPLATES = Path(__file__).parent / "templates"
THUMBNAIL_WIDTH = 560  # pixels
EMBEDDED_BYTES = 12_000_000  # of small pictures, those of over 300 studies; the others have a link to their montage


@dataclass(frozen=True)
class Scanner:
    """How the studies of one scanner fared; a label that follows the scanner is a trap for training.

    Attributes:
        name: vendor, model and field strength.
        studies: those read from it.
    """

    name: str
    studies: tuple[StudyRecord, ...]

    @property
    def kept(self) -> int:
        """Number of kept studies."""
        return sum(study.kept for study in self.studies)

    @property
    def positives(self) -> int:
        """Number of kept studies with label 1."""
        return sum(study.kept and study.label for study in self.studies)

    @property
    def b_values(self) -> list[str]:
        """Every set of b-values that occurs."""
        return sorted({wording.listed(study.b_values) for study in self.studies if study.b_values})


def write_import_report(report: ImportReport, out: Path) -> None:
    """Write both files below `out`, each at once or not at all; a file that would be the same is left alone.

    Args:
        report: what to write; paths of montages are relative to `out`.
        out: the cohort's folder.
    """
    _write(out / "import_report.json", report.model_dump_json(indent=2) + "\n")
    page = out / "import_report.html"
    if not (page.is_file() and _source(report, out).encode() in page.read_bytes()[:1000]):  # drawing 300 takes 7 s
        _write(page, render_page(report, out))


def _source(report: ImportReport, folder: Path) -> str:
    """Digest of everything that the page is made from."""
    montages = [folder / study.montage for study in report.studies if study.montage]
    digest = hashlib.sha256(report.model_dump_json().encode())
    for path in [*sorted(TEMPLATES.iterdir()), *sorted(Path(__file__).parent.glob("import_*.py")), *montages]:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    content = text.encode()
    if path.is_file() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.write_bytes(content)
    temporary.replace(path)


def render_page(report: ImportReport, folder: Path) -> str:
    """The page as HTML.

    Args:
        report: what it shows.
        folder: where the montages lie.
    """
    environment = page_templates(TEMPLATES)
    environment.tests["needs_a_look"] = environment.globals["needs_a_look"] = needs_a_look
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("import_page.css", "import_page.js"))
    return environment.get_template("import_page.html.j2").render(
        report=report,
        source=_source(report, folder),
        style=style,
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src {allowed(style)}; script-src {allowed(script)}",
        notices=notices(report),
        flow=draw_flow(report),
        flow_width=WIDTH,
        scanners=_scanners(report),
        thumbnails=_thumbnails(report, folder),
        wording=wording,
    )


def _scanners(report: ImportReport) -> list[Scanner]:
    """By the number of studies; studies that were not read name no scanner."""
    found: dict[str, list[StudyRecord]] = {}
    for study in report.studies:
        tesla = "" if study.field_strength is None else f"{study.field_strength:g} T"
        name = " ".join(word for word in (study.vendor, study.model, tesla) if word)
        if name:
            found.setdefault(name, []).append(study)
    scanners = [Scanner(name, tuple(studies)) for name, studies in found.items()]
    return sorted(scanners, key=lambda scanner: (-len(scanner.studies), scanner.name))


def needs_a_look(study: StudyRecord) -> bool:
    """Excluded, flagged, or kept although a gate did not pass."""
    return not study.kept or bool(study.flags) or any(not gate.passed for gate in study.quality)


def _thumbnails(report: ImportReport, folder: Path) -> Mapping[str, EmbeddedPicture]:
    """Small pictures as data URIs by study, as many as fit; those that need a look come first."""
    thumbnails: dict[str, EmbeddedPicture] = {}
    left = EMBEDDED_BYTES
    for study in sorted(report.studies, key=needs_a_look, reverse=True):
        picture = _thumbnail(folder / study.montage) if study.montage else None
        if picture is not None:
            left -= len(picture.uri)
            if left < 0:
                break
            thumbnails[study.key] = picture
    return thumbnails


def _thumbnail(montage: Path) -> EmbeddedPicture | None:
    """A montage as a small picture; None where there is none."""
    if not montage.is_file():
        return None
    with Image.open(montage) as picture:
        return embedded(narrowed(picture.convert("L"), THUMBNAIL_WIDTH), quality=50)
