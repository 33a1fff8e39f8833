"""`reference.json` is read whole or refused by field."""

import json
import math
from typing import Any

import pytest

from prostate_alm.errors import EnsembleError, Reason
from prostate_alm.evaluation.reference import QUANTILES, Reference, quantiles_of, spread_of

LIMIT = {"limit": 2.0, "patients": 5, "expected_beyond": 1 / 6}
CONTENT: dict[str, Any] = {
    "schema_version": 1,
    "evidence": "out-of-fold",
    "patients": 5,
    "golden": [{"case": "waves", "member_logits": [0.5, -0.25]}],
    "spread": LIMIT,
    "outlier": {"distance": {"features": ["a"], "centre": [1.0], "precision": [[4.0]]}, "limit": LIMIT},
    "logit_quantiles": [float(step) for step in range(21)],
    "quality": [
        {"reason": "COVERAGE_LOW", "quantiles": [0.5] * 21},
        {"reason": "ADC_DISAGREES", "quantiles": None},
    ],
}


def test_it_reads_back() -> None:
    reference = Reference.from_json(json.dumps(CONTENT))
    assert reference.outlier.distance.of([3.0]) == 4.0
    assert reference.quality[0].reason is Reason.COVERAGE_LOW
    assert Reference.from_json(reference.model_dump_json()) == reference


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"more": 1}, "more"),
        ({"golden": []}, "golden"),
        ({"golden": [{"case": "waves", "member_logits": [None]}]}, "golden"),
        ({"spread": {**LIMIT, "limit": None}}, "spread.limit"),
        ({"spread": None}, "spread"),
        ({"outlier": {"distance": {"features": ["a", "b"], "centre": [1.0], "precision": [[4.0]]}, "limit": LIMIT}},
         "outlier.distance"),
        ({"outlier": {"distance": {"features": ["a"], "centre": [1.0], "precision": [[4.0], [1.0]]}, "limit": LIMIT}},
         "outlier.distance"),
        ({"logit_quantiles": [0.0] * 20}, "logit_quantiles"),
        ({"quality": [{"reason": "NO_REASON", "quantiles": [0.5] * 21}]}, "quality"),
        ({"evidence": "hearsay"}, "evidence"),
    ],
)  # fmt: skip
def test_a_malformed_one_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(EnsembleError, match=field):
        Reference.from_json(json.dumps(CONTENT | change))


@pytest.mark.parametrize("name", sorted(CONTENT.keys() - {"schema_version"}))
def test_every_part_is_needed(name: str) -> None:
    with pytest.raises(EnsembleError, match=name):
        Reference.from_json(json.dumps({key: value for key, value in CONTENT.items() if key != name}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(EnsembleError, match=r"reference\.json"):
        Reference.from_json(content)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_limit_that_is_no_number_is_refused(word: str) -> None:
    text = json.dumps(CONTENT).replace('"limit": 2.0', f'"limit": {word}')
    with pytest.raises(EnsembleError, match="limit"):
        Reference.from_json(text)


def test_the_spread_is_the_sample_deviation() -> None:
    assert spread_of([1.0, 2.0, 4.0]) == pytest.approx(math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2))
    assert spread_of([3.0]) == 0.0


@pytest.mark.parametrize("logits", [[1.0, math.nan], [1.0, math.inf], [math.nan], [math.inf], [1e308, -1e308]])
def test_the_spread_of_what_is_no_number_lies_within_no_limit(logits: list[float]) -> None:
    assert not spread_of(logits) <= 1e300


def test_quantiles_leave_out_what_could_not_be_measured() -> None:
    figures = [*range(101), math.nan]
    assert quantiles_of(figures) == pytest.approx([100 * share for share in QUANTILES])
    assert quantiles_of([math.nan]) is None
