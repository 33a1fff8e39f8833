"""The control compares arms by member and as ensembles; what is published follows from the runs beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from prostate_alm.benchmark.control import arms
from prostate_alm.benchmark.control_report import METRICS, compared, write_control
from prostate_alm.benchmark.execution import figures
from prostate_alm.benchmark.records import Failure, RunRecord
from prostate_alm.benchmark.studies import Method, Outcome
from prostate_alm.benchmark.table import Caption

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "cifar"
LABELS = np.repeat([0, 1], [60, 40])
FPR_98 = METRICS[0]


@pytest.fixture
def arm_factory(spec_factory, record_factory):
    """Make an arm's outcome: three members whose positives lie `shift` above their negatives."""

    def make(name, shift, failures=()):
        noise = np.random.default_rng(3).standard_normal((3, LABELS.size))  # the same for every arm: paired
        runs = []
        for member, row in enumerate(noise):
            record = record_factory(spec_factory(member), logits=(row + shift * LABELS)[:, None], labels=LABELS)
            runs.append(record.model_copy(update={"metrics": figures(record.test, (1,))}))
        return Outcome(Method(name, {}), {"mu": 1e-4}, [], runs, failures)

    return make


def test_a_difference_over_members_is_the_paired_t_test_of_their_figures(arm_factory):
    outcomes = {"BCE": arm_factory("BCE", 1.0), "ALM": arm_factory("ALM", 2.0)}
    (found,) = [c for c in compared(outcomes) if c.metric == FPR_98]
    arm, reference = ([100 * run.metrics[FPR_98] for run in outcomes[name].runs] for name in ("ALM", "BCE"))
    assert (found.arm, found.reference) == ("ALM", "BCE")
    assert found.members.mean_difference == pytest.approx(np.subtract(arm, reference).mean())
    assert found.members.mean_difference < 0  # the better arm is below
    assert found.members.p_t == pytest.approx(ttest_rel(arm, reference).pvalue)
    assert found.ensemble.difference < 0


def test_p_values_are_adjusted_over_the_comparisons_by_one_metric(arm_factory):
    outcomes = {arm.method.name: arm_factory(arm.method.name, 1.0 + i / 10) for i, arm in enumerate(arms())}
    found = [c for c in compared(outcomes) if c.metric == FPR_98]
    assert [c.members_p_adjusted for c in found] == pytest.approx(by_holm([c.members.p_t for c in found]))
    assert [c.ensemble_p_adjusted for c in found] == pytest.approx(by_holm([c.ensemble.p_value for c in found]))


@pytest.mark.parametrize("path", sorted(PUBLISHED.parent.rglob("control.json")), ids=lambda path: path.parent.name)
def test_every_published_control_adjusts_its_p_values(path):
    comparisons = json.loads(path.read_text())["comparisons"]
    for metric in {one["metric"] for one in comparisons}:
        ours = [one for one in comparisons if one["metric"] == metric]
        assert [one["ensemble_p_adjusted"] for one in ours] == pytest.approx(
            by_holm([one["ensemble"]["p_value"] for one in ours])
        )


def by_holm(p_values):
    """Holm's steps, from the smallest up."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        worst = max(worst, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = worst
    return adjusted


def test_an_arm_that_is_missing_or_failed_is_compared_with_nothing(arm_factory, spec_factory):
    failed = arm_factory("ALM", 2.0, failures=[Failure(spec=spec_factory(9), message="killed")])
    assert compared({"BCE": arm_factory("BCE", 1.0), "ALM": failed}) == []
    assert compared({"ALM": arm_factory("ALM", 2.0)}) == []


def test_the_report_has_a_line_for_each_arm_and_each_comparison(arm_factory, tmp_path):
    outcomes = {arm.method.name: arm_factory(arm.method.name, 1.0 + i / 10) for i, arm in enumerate(arms())}
    text = write_control(outcomes, tmp_path, Caption(command="made by hand")).read_text()
    for name in outcomes:
        assert f"| {name} |" in text
    for comparison in compared(outcomes):
        assert f"| {comparison.arm} − {comparison.reference} |" in text
    assert "made by hand" in text
    for name in ("control.png", "control-roc.png"):
        assert (tmp_path / name).stat().st_size > 1000


def test_the_published_figures_follow_from_the_published_runs():
    records = [RunRecord.model_validate_json(path.read_bytes()) for path in (PUBLISHED / "runs").glob("*.json")]
    for record in records:
        critical = (int(record.test.labels.array().max()),)  # the smallest class of a long tail is the last
        assert figures(record.test, critical) == pytest.approx(record.metrics)
        assert "+changes" not in record.commit
    content = json.loads((PUBLISHED / "control.json").read_text())
    plain = {"loss_name": "bce", "alm": False, "critical_per_batch": 0, "learning_rate": 1e-3, "ratio": 100}
    members = [
        record.metrics[FPR_98]
        for record in records
        if record.spec.bundle == "cifar10_binary" and plain.items() <= record.spec.settings.items()
    ]
    assert len(members) == 10
    assert content["arms"]["BCE"][FPR_98]["mean"] == pytest.approx(100 * np.mean(members))
