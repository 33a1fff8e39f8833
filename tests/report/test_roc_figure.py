"""The picture is drawn from the scores it is given and refuses others."""

import numpy as np
import pytest
from PIL import Image

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.operating_point import choose_operating_point
from prostate_alm.report.roc_figure import save_roc_figure


@pytest.fixture
def cases():
    rng = np.random.default_rng(2)
    labels = np.repeat([1, 0], [20, 40])
    return rng.normal(labels * 1.5), labels


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def count(picture, colour):
    return int((picture == np.array(colour)).all(axis=-1).sum())


def test_the_points_are_marked_on_the_curve(cases, tmp_path):
    scores, labels = cases
    points = [choose_operating_point(scores, labels, false_negatives=k) for k in (0, 1)]
    save_roc_figure(tmp_path / "new" / "marked.png", scores, labels=labels, points=points, title="Unseen patients")
    save_roc_figure(tmp_path / "plain.png", scores, labels=labels, points=[], title="Unseen patients")
    marked, plain = pixels(tmp_path / "new" / "marked.png"), pixels(tmp_path / "plain.png")
    assert min(marked.shape[:2]) > 600
    assert count(marked, (0x1F, 0x4E, 0x79)) > 500  # the curve
    for colour in ((0xC2, 0x41, 0x0C), (0x7C, 0x3A, 0xED)):  # on the curve and in the legend
        assert count(plain, colour) == 0
        assert count(marked, colour) > 300


def test_scores_that_are_not_finite_are_refused(cases, tmp_path):
    scores, labels = cases
    with pytest.raises(ArgumentError, match="finite"):
        save_roc_figure(tmp_path / "roc.png", scores * np.nan, labels=labels, points=[], title="Unseen patients")
    assert not (tmp_path / "roc.png").exists()
