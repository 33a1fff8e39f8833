"""Small charts as SVG: text that prints, scales, and is read aloud by its label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]


@dataclass
class Chart:
    """Axes and what is drawn between them, in the units of the data.

    Attributes:
        label: what the picture shows, in a sentence, for those who do not see it.
        x: range of the horizontal axis.
        y: range of the vertical axis.
        width: of the whole picture.
        height: of the whole picture.
    """

    label: str
    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 460.0
    height: float = 380.0
    left: float = 68.0
    bottom: float = 50.0
    top: float = 14.0
    right: float = 16.0
    _parts: list[str] = field(default_factory=list)

    def place(self, point: Point) -> Point:
        """Where a point of the data lies in the picture."""
        x = (point[0] - self.x[0]) / (self.x[1] - self.x[0])
        y = (point[1] - self.y[0]) / (self.y[1] - self.y[0])
        across, up = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + x * across, self.height - self.bottom - y * up

    def axes_(
        self, x_title: str, y_title: str, *, x_ticks: Sequence[float], y_ticks: Sequence[float], percent: str = "xy"
    ) -> None:
        """Draw grid, ticks and titles; the axes in `percent` hold shares."""
        for value in x_ticks:
            x, y = self.place((value, self.y[0]))
            self._parts.append(f'<path class="grid" d="M{x:.1f} {self.top:.1f}V{y:.1f}"/>')
            self.text_((x, y + 18), _tick(value, "x" in percent), css="tick", anchor="middle")
        for value in y_ticks:
            x, y = self.place((self.x[0], value))
            self._parts.append(f'<path class="grid" d="M{x:.1f} {y:.1f}H{self.width - self.right:.1f}"/>')
            self.text_((x - 8, y + 4), _tick(value, "y" in percent), css="tick", anchor="end")
        middle = (self.left + self.width - self.right) / 2
        self.text_((middle, self.height - 8), x_title, css="title", anchor="middle")
        up = (self.top + self.height - self.bottom) / 2
        self._parts.append(
            f'<text class="title" text-anchor="middle" transform="translate(14 {up:.1f}) rotate(-90)">'
            f"{escape(y_title)}</text>"
        )

    def line_(self, points: Sequence[Point], css: str) -> None:
        """Draw a line through points of the data."""
        self._parts.append(f'<path class="{css}" d="{self._path(points)}"/>')

    def area_(self, points: Sequence[Point], css: str) -> None:
        """Fill the area between a line and the horizontal axis."""
        closed = [(points[0][0], self.y[0]), *points, (points[-1][0], self.y[0])]
        self._parts.append(f'<path class="{css}" d="{self._path(closed)}Z"/>')

    def bar_(self, start: Point, end: Point, css: str) -> None:
        """Fill a rectangle between two corners."""
        (left, bottom), (right, top) = self.place(start), self.place(end)
        top, bottom = min(top, bottom), max(top, bottom)
        self._parts.append(
            f'<rect class="{css}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" '
            f'height="{bottom - top:.1f}"/>'
        )

    def mark_(self, point: Point, css: str, shape: int = 0) -> None:
        """Draw a mark; shapes 0, 1, 2 are a disc, a square and a diamond, told apart without colour."""
        x, y = self.place(point)
        drawn = (
            f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
            f'<rect class="{css}" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>',
            f'<path class="{css}" d="M{x:.1f} {y - 7:.1f}l7 7-7 7-7-7Z"/>',
        )
        self._parts.append(drawn[shape % len(drawn)])

    def text_(self, place: Point, text: str, *, css: str, anchor: str = "start") -> None:
        """Write text at a place of the picture."""
        self._parts.append(
            f'<text class="{css}" x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def svg(self) -> str:
        """The picture."""
        size, label = f"0 0 {self.width:g} {self.height:g}", escape(self.label)
        inside = "".join(self._parts)
        return f'<svg class="chart" viewBox="{size}" role="img" aria-label="{label}">{inside}</svg>'

    def _path(self, points: Sequence[Point]) -> str:
        placed = [self.place(point) for point in points]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)


def _tick(value: float, percent: bool) -> str:
    return f"{100 * value:g} %" if percent else f"{value:g}".replace("-", "−")
