"""Pictures, read back from their artists: each number is where it belongs and no text lies on another."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from prostate_alm.benchmark.figures import (
    Difference,
    draw_intervals,
    draw_pairs,
    draw_roc,
    interval_figure,
    pair_figure,
    roc_figure,
)
from prostate_alm.benchmark.table import Cell, table_layout
from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import roc_curve


def filled(number):
    """A table of the paper with made-up results near the paper's; each 11th failed and each 13th is not run."""
    layout, results = table_layout(number), {}
    for place, (key, cell) in enumerate(layout.named_cells()):
        value = float(np.clip((cell.paper or 50.0) + (place * 7 % 9) - 4, 2, 98))
        if place % 13:
            results[key] = Cell(value=value, low=value - 2, high=value + 1) if place % 11 else Cell(failed=True)
    return layout.filled(results)


def texts(figure):
    """Every text that is drawn; ticks beyond the limits of their axis are not."""
    found = [child for child in figure.get_children() if isinstance(child, Text)]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if axes.get_visible():
            found += [child for child in axes.get_children() if isinstance(child, Text)]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [axis.label, *(t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)]
    return [text for text in found if text.get_text()]


def assert_no_text_overlaps(figure):
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent().shrunk(0.98, 0.9)) for text in texts(figure)]
    assert len(boxes) > 10
    for (one, box), (other, another) in combinations(boxes, 2):
        assert not box.overlaps(another), (one, other)
    whole = figure.bbox.padded(1)
    for name, box in boxes:
        assert whole.contains(*box.min), name
        assert whole.contains(*box.max), name


def lines(axes) -> list[Any]:
    return list(axes.lines)


def marks(axes):
    """(x, hollow) of every single mark."""
    single = [line for line in lines(axes) if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    return sorted((float(line.get_xdata()[0]), line.get_markerfacecolor() == "white") for line in single)


@pytest.mark.parametrize("number", [1, 4, 12, 16])
def test_pairs_hold_every_number_of_the_table(number):
    table = filled(number)
    figure = draw_pairs(table)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == len(table.columns)
    for axes, column in zip(panels, table.columns, strict=True):
        cells = [table.cell(row.method, column.ratio, column.metric) for row in table.rows]
        ours = [(cell.value, False) for cell in cells if cell.value is not None]
        paper = [(cell.paper, True) for cell in cells if cell.paper is not None]
        assert marks(axes) == sorted(ours + paper)
        assert axes.get_title(loc="left") == column.title
        assert (
            axes.get_xlabel() == {"lower": "← lower is better (%)", "higher": "higher is better → (%)"}[column.better]
        )
        said = sorted(text.get_text() for text in axes.texts)
        assert said == sorted(cell.status for cell in cells if cell.value is None)


def test_a_baseline_is_joined_to_its_constrained_rows_only():
    key = (100, "fpr@tpr=0.98")
    values = {"BCE": 50.0, "ALM + BCE": 40.0, "S-ML": 51.0, "MBAUC": 70.0}
    table = table_layout(1).filled({(method, *key): Cell(value=value) for method, value in values.items()})
    axes = draw_pairs(table).axes[0]
    joined = [
        list(line.get_xdata()) for line in lines(axes) if line.get_marker() == "None" and len(line.get_xdata()) > 1
    ]
    assert joined == [[50.0, 40.0]]


@pytest.mark.parametrize("number", [2, 9, 12, 16])
def test_no_text_of_a_pair_picture_overlaps(number):
    assert_no_text_overlaps(draw_pairs(filled(number)))


def test_the_roc_of_several_arms():
    labels = np.repeat([0, 1], 50)
    noise = np.random.default_rng(0).normal(size=100)
    curves = {name: roc_curve(noise + shift * labels, labels) for name, shift in (("BCE", 1), ("ALM + BCE", 2))}
    curves["perfect"] = roc_curve(labels, labels)
    figure = draw_roc(curves, title="made up")
    assert_no_text_overlaps(figure)
    whole, high = figure.axes
    np.testing.assert_allclose(lines(whole)[1].get_ydata(), 100 * curves["ALM + BCE"].tpr)
    assert high.get_ylim()[0] == 80
    assert [text.get_text() for text in figure.legends[0].get_texts()][2] == "perfect (AUC 100.0%)"


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_or_too_many_curves_are_refused(count):
    curve = roc_curve([0.0, 1.0], [0, 1])
    with pytest.raises(ArgumentError, match=f"1 to 6 arms to stay readable, got {count}"):
        draw_roc({str(place): curve for place in range(count)})


DIFFERENCES = [
    Difference("ALM", -4.1, -6.2, -2.0),
    Difference("A control with a rather long name", 0.3, -1.4, 2.2),
    Difference("W-BCE", 3.1, 1.0, 5.0),
]


@pytest.mark.parametrize(("better", "markers"), [("lower", ["D", "o", "X"]), ("higher", ["X", "o", "D"])])
def test_intervals_show_direction_and_numbers(better, markers):
    figure = draw_intervals(DIFFERENCES, quantity="FPR", reference="BCE", better=better, title="Control")
    assert_no_text_overlaps(figure)
    axes = figure.axes[0]
    points = [line for line in lines(axes) if line.get_marker() not in ("None", None)]
    assert [line.get_marker() for line in points] == markers
    assert [line.get_xdata()[0] for line in points] == [-4.1, 0.3, 3.1]
    said = [text.get_text() for text in axes.texts]
    assert "−4.1 [−6.2, −2.0]" in said
    assert ("← better" in said) == (better == "lower")


def test_intervals_always_show_zero():
    axes = draw_intervals([Difference("A", 5.0, 4.0, 6.0)], quantity="AUC", reference="B", better="higher").axes[0]
    low, high = axes.get_xlim()
    assert low < 0
    assert high > 6


@pytest.mark.parametrize("numbers", [(float("nan"), 0, 1), (0, 2, 1)])
def test_an_impossible_difference_is_refused(numbers):
    with pytest.raises(ArgumentError, match="needs a finite `estimate`"):
        Difference("A", *numbers)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ArgumentError, match="nothing to draw"):
        draw_intervals([], quantity="AUC", reference="B", better="higher")
    with pytest.raises(ArgumentError, match="no cells to draw"):
        draw_pairs(table_layout(1).model_copy(update={"rows": ()}))


def test_pictures_are_small_pngs_at_150_dpi(tmp_path):
    paths = [tmp_path / "new" / f"{name}.png" for name in ("pairs", "roc", "intervals")]
    pair_figure(filled(1), paths[0])
    roc_figure({"BCE": roc_curve([0.0, 0.5, 1.0], [0, 1, 1])}, paths[1])
    interval_figure(DIFFERENCES, paths[2], quantity="FPR", reference="BCE", better="lower")
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert path.stat().st_size < 150_000
