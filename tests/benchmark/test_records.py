"""A record keeps, bit for bit, what the paper's figures are made of, and a key names one run."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import ValidationError

from prostate_alm.benchmark.execution import figures
from prostate_alm.benchmark.records import Numbers, RunRecord, RunSpec, Scores
from prostate_alm.errors import ArgumentError


@given(arrays(np.float32, array_shapes(max_dims=2, max_side=5), elements=st.floats(width=32, allow_nan=False)))
def test_scores_come_back_bit_for_bit(values):
    kept = Numbers.model_validate_json(Numbers.of(values, "<f4").model_dump_json()).array()
    assert kept.dtype == np.float64
    assert kept.astype(np.float32).tobytes() == values.tobytes()  # -0.0 and subnormal numbers too


@given(arrays(np.int64, 7, elements=st.integers(0, 65535)))
def test_labels_come_back(values):
    assert Numbers.of(values, "<u2").array().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("labels", Numbers.of(np.array([0, 1]), "<u1")),
        ("critical", Numbers.of(np.zeros((3, 1)), "<f4")),
        ("critical", Numbers.of(np.array([0.0, np.nan, 1.0]), "<f4")),
        ("prediction", Numbers.of(np.array([0, 1, 2]), "<u1")),  # without `other`
    ],
)
def test_scores_that_do_not_belong_together_are_refused(part, changed):
    scores = Scores.of(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1]), (1,))
    with pytest.raises(ValidationError):
        Scores.model_validate(scores.model_dump() | {part: changed.model_dump()})


@pytest.mark.parametrize("label", [256, -1])
def test_a_label_that_would_wrap_is_refused(label):
    with pytest.raises(ArgumentError, match="wider"):
        Numbers.of(np.array([0, label]), "<u1")


def test_the_key_is_that_of_the_content_alone():
    one = RunSpec(bundle="b", settings={"mu": 1e-3, "alm": True, "loss": "bce"}, data_sha256="0")
    other = RunSpec(bundle="b", settings={"loss": "bce", "alm": True, "mu": 0.001}, data_sha256="0")
    read = RunSpec.model_validate_json(one.model_dump_json())
    assert one.key == other.key == read.key


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "c"},
        {"data_sha256": "1"},
        {"settings": {"mu": 1e-4, "alm": True, "share": None}},
        {"settings": {"mu": 1e-3, "alm": False, "share": None}},
        {"settings": {"mu": 1e-3, "alm": True, "share": 0.5}},
        {"settings": {"mu": 1e-3, "alm": True}},
        {"settings": {"mu": 1e-3, "alm": True, "share": None, "member": 1}},
    ],
)
def test_any_difference_makes_another_key(change):
    spec = RunSpec(bundle="b", settings={"mu": 1e-3, "alm": True, "share": None}, data_sha256="0")
    assert spec.model_copy(update=change).key != spec.key


def test_an_epoch_that_diverged_can_be_read_again(spec_factory, record_factory):
    record = record_factory(spec_factory()).model_copy(update={"epochs": [{"loss": math.nan}, {"loss": math.inf}]})
    text = record.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    first, second = RunRecord.model_validate_json(text).epochs
    assert math.isnan(first["loss"])
    assert second["loss"] == math.inf


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ArgumentError, match="diverged"):
        Scores.of(np.array([[0.0], [np.nan]]), np.array([0, 1]), (1,))


@dataclass
class Case:
    logits: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="module")
def many() -> Case:
    """Ten classes, logits in float32 as a network gives them, with each class among the labels."""
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.arange(400) % 10)
    logits = rng.standard_normal((400, 10)) + 1.5 * np.eye(10)[labels]
    return Case(logits.astype(np.float32), labels)


def test_binary_figures_from_scores_are_those_of_the_logits():
    rng = np.random.default_rng(6)
    labels = np.arange(60) % 3 // 2
    logits = (rng.standard_normal(60) + labels).astype(np.float32)
    found = figures(Scores.of(logits[:, None], labels, (1,)), (1,))
    positives, negatives = logits[labels == 1], logits[labels == 0]
    assert found["auc"] == pytest.approx(np.mean(positives[:, None] > negatives))
    assert found["fpr@tpr=1.0"] == np.mean(negatives >= positives.min())
    assert found["fpr@tpr=0.9"] == np.mean(negatives >= np.sort(positives)[len(positives) - 18])  # 18 of 20


def test_multiclass_figures_from_scores_are_those_of_the_logits(many):
    found = figures(Scores.of(many.logits, many.labels, (9,)), (9,))
    prediction = many.logits.argmax(axis=1)
    assert found["accuracy"] == np.mean(prediction == many.labels)
    for c in range(10):
        assert found[f"accuracy[{c}]"] == np.mean(prediction[many.labels == c] == c)
    assert found["error@tpr=0.9"] == slow_error(many, critical=9, found_at_least=36)
    assert found["error@tpr=0.8"] == slow_error(many, critical=9, found_at_least=32)


def slow_error(case: Case, *, critical: int, found_at_least: int) -> float:
    """Least error on the other classes, over every threshold on the critical logit that finds so many of 40."""
    errors = []
    for threshold in case.logits[:, critical]:
        prediction = np.delete(case.logits, critical, axis=1).argmax(axis=1)  # the critical class is the last
        prediction[case.logits[:, critical] >= threshold] = critical
        if np.sum(prediction[case.labels == critical] == critical) >= found_at_least:
            errors.append(np.mean((prediction != case.labels)[case.labels != critical]))
    return min(errors)


def test_two_critical_classes_have_the_accuracy_of_the_rest(many):
    scores = Scores.of(many.logits, many.labels, (9, 8))
    rest = many.labels < 8
    assert figures(scores, (9, 8))["accuracy[others]"] == np.mean(many.logits.argmax(axis=1)[rest] == many.labels[rest])
    assert scores.other is not None
    assert set(scores.other.array()) <= set(range(8))
