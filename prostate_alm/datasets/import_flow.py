"""The flow diagram of an import: where each box of it lies and what stands in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from prostate_alm.datasets.import_report import ImportReport, StudyRecord
from prostate_alm.datasets.import_wording import counted, in_words, share

WIDTH = 900
LINE, PADDING, SPACE = 20, 14, 34  # heights in pixels
MIDDLE = 290  # of the main column
_HALF = 130


@dataclass(frozen=True)
class Box:
    """A box of the diagram; its first line is a heading.

    Attributes:
        left: in pixels, as the others.
        top: below the diagram's top.
        width: of the box.
        lines: heading, then what follows.
        kind: a class of the style sheet.
    """

    left: int
    top: int
    width: int
    lines: tuple[str, ...]
    kind: str = "box"

    @property
    def height(self) -> int:
        """By the number of lines."""
        return 2 * PADDING + LINE * len(self.lines) - 4

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return self.top + self.height

    @property
    def centre(self) -> int:
        """Of its width."""
        return self.left + self.width // 2


@dataclass(frozen=True)
class Flow:
    """The whole diagram.

    Attributes:
        height: in pixels; the width is `WIDTH`.
        boxes: in reading order.
        arrows: paths of SVG.
        summary: the same in a sentence, for who can't see it.
    """

    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    summary: str


def draw_flow(report: ImportReport) -> Flow:
    """From rows and images to training and test."""
    unmatched, rows = len(report.rows_without_study), report.found + len(report.rows_without_study)
    kept = [study for study in report.studies if study.kept]
    table = Box(MIDDLE - 250, 8, 240, ("Label table", counted(rows, "row")))
    images = Box(MIDDLE + 10, 8, 240, ("Images", counted(report.found + report.studies_without_row, "study")))
    aside = (
        counted(unmatched, "row") + " without images",
        counted(report.studies_without_row, "study") + " without a row",
    )
    left_out = Box(590, table.bottom + SPACE // 2, 300, ("Not matched", *aside), "box aside")
    found = _main("Found", report.studies, left_out.bottom + SPACE // 2)
    excluded = Box(590, found.bottom + SPACE // 2, 300, _excluded(report), "box aside excluded")
    remaining = _main("Kept", kept, excluded.bottom + SPACE // 2, "box kept")
    sides = tuple(
        Box(
            left,
            remaining.bottom + SPACE,
            240,
            (name, *_positives([s for s in kept if s.split == name.lower()])),
            "box kept",
        )
        for name, left in (("Training", table.left), ("Test", images.left))
    )
    arrows = (
        f"M{table.centre} {table.bottom}V{table.bottom + 12}H{images.centre}V{images.bottom}",
        f"M{MIDDLE} {table.bottom + 12}V{found.top - 1}",
        _to_the_side(left_out),
        f"M{MIDDLE} {found.bottom}V{remaining.top - 1}",
        _to_the_side(excluded),
        *(f"M{MIDDLE} {remaining.bottom}V{side.top - SPACE // 2}H{side.centre}V{side.top - 1}" for side in sides),
    )
    boxes = (table, images, left_out, found, excluded, remaining, *sides)
    summary = ". ".join(": ".join((box.lines[0], ", ".join(box.lines[1:]))) for box in boxes)
    return Flow(sides[0].bottom + 8, boxes, arrows, summary)


def _main(name: str, studies: Sequence[StudyRecord], top: int, kind: str = "box") -> Box:
    return Box(MIDDLE - _HALF, top, 2 * _HALF, (name, *_positives(studies)), kind)


def _positives(studies: Sequence[StudyRecord]) -> tuple[str, str]:
    positives = sum(study.label for study in studies)
    return counted(len(studies), "study"), f"{positives} with label 1{share(positives, len(studies))}"


def _excluded(report: ImportReport) -> tuple[str, ...]:
    reasons = (f"{number}  {in_words(reason)}" for reason, number in report.excluded_by_reason.items())
    return f"Excluded: {report.found - report.kept}", *reasons


def _to_the_side(box: Box) -> str:
    return f"M{MIDDLE} {box.top + box.height // 2}H{box.left - 1}"
