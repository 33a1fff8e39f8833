"""The search of section D.2: its order, its choices, and what it never looks at. Results are made by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from prostate_alm.benchmark.budgets import PAPER, REDUCED, SMOKE, Budget, find_budget
from prostate_alm.benchmark.control import arms
from prostate_alm.benchmark.experiments import EXPERIMENTS
from prostate_alm.benchmark.methods import BINARY_LOSSES, MULTICLASS_LOSSES, binary_methods, multiclass_methods
from prostate_alm.benchmark.records import Failure, RunSpec
from prostate_alm.benchmark.studies import Method, Outcome, Protocol, Result, most_runs, study
from prostate_alm.errors import ArgumentError

PROTOCOL = Protocol("cifar10_binary", {"width": 4}, members=3, search_members=2, data_sha256="0" * 64)
BASE = Method("S-ML", {"loss_name": "s-ml", "alm": False}, [[{"loss_parameter": p} for p in (0.5, 2.0, 4.0)]])
ALM = Method(
    "ALM + S-ML",
    {"loss_name": "s-ml", "alm": True},
    [[{"mu": 1e-4, "rho": 2.0}, {"mu": 1e-3, "rho": 3.0}], [{"delta": 0.1}, {"delta": 0.5}]],
    baseline="S-ML",
    inherited=[(BASE.settings, stage) for stage in BASE.stages],
)
Answer = Callable[[RunSpec], Result]


def drive(method: Method, answer: Answer, protocol: Protocol = PROTOCOL) -> tuple[Outcome, list[list[RunSpec]]]:
    """Carry a study out with made-up results; returns also what it asked for, step by step."""
    running, asked = study(method, protocol), []
    wanted = next(running)
    while True:
        asked.append(wanted)
        try:
            wanted = running.send([answer(spec) for spec in wanted])
        except StopIteration as stop:
            return stop.value, asked


def values(specs: list[RunSpec], *names: str) -> list[tuple]:
    return [tuple(spec.settings[name] for name in names) for spec in specs]


@pytest.fixture
def scored(record_factory) -> Callable[..., Answer]:
    """Make an answer whose validation metric is a function of the settings."""
    return lambda metric: lambda spec: record_factory(spec, metric=metric(spec.settings))


def test_a_baseline_searches_its_parameter_on_every_search_member_then_runs_all_members(scored):
    outcome, (search, final) = drive(BASE, scored(lambda s: {0.5: 0.7, 2.0: 0.9, 4.0: 0.8}[s["loss_parameter"]]))
    asked = [(p, m) for p in (0.5, 2.0, 4.0) for m in (0, 1)]
    assert values(search, "loss_parameter", "member") == asked
    assert values(final, "loss_parameter", "member", "alm") == [(2.0, m, False) for m in (0, 1, 2)]
    assert outcome.chosen == {"loss_parameter": 2.0}
    assert [(t["loss_parameter"], mean) for t, mean in outcome.trials] == [(0.5, 0.7), (2.0, 0.9), (4.0, 0.8)]
    assert [run.spec for run in outcome.runs] == final
    assert [run.spec for run in outcome.searched] == search
    assert all(spec.settings["width"] == 4 and spec.settings["max_epochs"] == 100 for spec in final)  # bundle's default


def test_a_candidate_is_judged_by_the_mean_over_members(scored):
    metrics = {(0.5, 0): 1.0, (0.5, 1): 0.0, (2.0, 0): 0.6, (2.0, 1): 0.6, (4.0, 0): 0.9, (4.0, 1): 0.2}
    answer = scored(lambda s: metrics.get((s["loss_parameter"], s["member"]), 0.0))
    assert drive(BASE, answer)[0].chosen == {"loss_parameter": 2.0}


def test_the_constraint_inherits_the_baselines_choice_then_chooses_penalty_then_margin(scored):
    def metric(s):
        if not s["alm"]:
            return {0.5: 0.1, 2.0: 0.2, 4.0: 0.3}[s["loss_parameter"]]
        return s["mu"] * 100 + s["delta"] / 10

    outcome, steps = drive(ALM, scored(metric))
    inherited, penalty, margin, final = steps
    assert inherited == drive(BASE, scored(metric))[1][0]  # the baseline's own runs, not others like them
    default = 0.25  # of the bundle
    assert values(penalty, "alm", "loss_parameter", "mu", "rho", "delta") == [
        (True, 4.0, mu, rho, default) for mu, rho in ((1e-4, 2.0), (1e-3, 3.0)) for _ in range(2)
    ]
    assert values(margin, "loss_parameter", "mu", "rho", "delta") == [(4.0, 1e-3, 3.0, d) for d in (0.1, 0.1, 0.5, 0.5)]
    assert values(final, "loss_parameter", "mu", "rho", "delta") == [(4.0, 1e-3, 3.0, 0.5)] * 3
    assert outcome.chosen == {"loss_parameter": 4.0, "mu": 1e-3, "rho": 3.0, "delta": 0.5}
    assert sum(map(len, steps)) == most_runs(ALM, PROTOCOL)


def test_of_equals_the_first_is_chosen(scored):
    assert drive(BASE, scored(lambda s: 0.5))[0].chosen == {"loss_parameter": 0.5}
    late_tie = scored(lambda s: {0.5: 0.1, 2.0: 0.9, 4.0: 0.9}[s["loss_parameter"]])
    assert drive(BASE, late_tie)[0].chosen == {"loss_parameter": 2.0}


def test_a_candidate_of_which_a_run_failed_is_out_and_reported(scored, record_factory):
    def answer(spec):
        if (spec.settings["loss_parameter"], spec.settings["member"]) == (4.0, 1):
            return Failure(spec=spec, message="diverged")
        return record_factory(spec, metric=spec.settings["loss_parameter"])  # 4.0 would win

    outcome, _ = drive(BASE, answer)
    assert outcome.chosen == {"loss_parameter": 2.0}
    assert [mean for _, mean in outcome.trials] == [0.5, 2.0, None]
    assert [failure.message for failure in outcome.failures] == ["diverged"]
    assert len(outcome.runs) == 3


def test_when_every_candidate_failed_nothing_more_is_run():
    outcome, steps = drive(ALM, lambda spec: Failure(spec=spec, message="no memory"))
    assert len(steps) == 1
    assert not outcome.runs
    assert len(outcome.failures) == 6


def test_a_failed_member_is_reported_beside_the_others(record_factory):
    method = Method("BCE", {"alm": False})

    def answer(spec):
        return Failure(spec=spec, message="killed") if spec.settings["member"] == 1 else record_factory(spec)

    outcome, _ = drive(method, answer)
    assert [run.spec.settings["member"] for run in outcome.runs] == [0, 2]
    assert len(outcome.failures) == 1


def test_test_images_decide_nothing(record_factory):
    """The same validation metrics with test scores turned round give the same runs and the same choice."""

    def answer(sign):
        def make(spec):
            rng = np.random.default_rng(int(spec.key, 16) % 2**32)  # a metric for each run
            test = sign * np.array([[-1.0], [0.0], [1.0]])
            record = record_factory(spec, metric=rng.random(), logits=test)
            return record.model_copy(update={"metrics": {"auc": float(sign > 0)}})

        return make

    (good, asked), (bad, asked_then) = drive(ALM, answer(1.0)), drive(ALM, answer(-1.0))
    assert good.runs[0].test != bad.runs[0].test
    assert good.chosen == bad.chosen
    assert good.trials == bad.trials
    assert asked == asked_then


def test_a_setting_that_the_bundle_does_not_have_is_refused():
    with pytest.raises(ArgumentError, match=r"no \['learning_rat'\]"):
        PROTOCOL.spec({"learning_rat": 0.1}, 0)


# section D.2 of the paper's supplement; W-BCE's weights are in units of the class ratio, FL is multi-class S-FL
D2 = {
    "S-ML": {0.5, 2, 4}, "A-ML": {0.5, 2, 4}, "S-FL": {0.5, 1, 2}, "A-FL": {0.5, 1, 2}, "FL": {0.5, 1, 2},
    "W-BCE": {1 / 3, 2 / 3, 1}, "CB-BCE": {0.99, 0.999, 0.9999}, "CB-CE": {0.99, 0.999, 0.9999},
}  # fmt: skip
D2_PENALTIES = {(mu, rho) for mu in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3) for rho in (2, 3)}


@pytest.mark.parametrize(
    ("methods", "deltas"),
    [
        (binary_methods(PAPER.binary_grids), {0.1, 0.25, 0.5, 1.0}),
        (multiclass_methods(PAPER.multiclass_grids, list(MULTICLASS_LOSSES)), {0.05, 0.1}),
    ],
    ids=["binary", "multiclass"],
)
def test_the_papers_budget_searches_section_d2(methods, deltas):
    for method in methods:
        if method.baseline is None:
            (stage,) = method.stages
            tried = {candidate.get("loss_parameter") for candidate in stage}
            assert tried == D2.get(method.name, {None})
            assert len(stage) == len(tried)  # without a parameter there is nothing to choose
        else:
            penalties, margins = method.stages
            assert {(c["mu"], c["rho"]) for c in penalties} == D2_PENALTIES
            assert len(penalties) == 10
            assert {c["delta"] for c in margins} == deltas


def test_the_papers_budget_leaves_the_bundles_protocol_as_it_is():
    assert PAPER.settings == {}
    assert PAPER.members[0] == 10


def trials(method: Method) -> int:
    return sum(len(stage) for stage in method.stages if len(stage) > 1)


def test_the_reduced_budget_gives_every_method_the_same_number_of_trials_on_one_split():
    binary = binary_methods(REDUCED.binary_grids)
    multiclass = [m for e in EXPERIMENTS.values() if not e.binary for m in e.methods(REDUCED)]
    assert {trials(method) for method in binary} == {3}
    assert len({trials(method) for method in multiclass}) == 1
    assert REDUCED.search_members == (1, 1, 2)
    stages = {arm.method.name: arm.method.stages[-1] for arm in arms()}
    assert stages.pop("ALM, class-aware, mu 1e-3") == [{"mu": 1e-3}]  # not searched, and says so
    assert {len(stage) for stage in stages.values()} == {3}


def test_the_smoke_budget_searches_nothing():
    assert {trials(m) for e in EXPERIMENTS.values() for m in e.methods(SMOKE)} == {0}


@pytest.mark.parametrize("budget", [SMOKE, REDUCED, PAPER], ids=lambda budget: budget.name)
def test_every_setting_that_a_budget_or_a_method_gives_is_one_of_its_bundle(budget: Budget):
    for experiment in EXPERIMENTS.values():
        protocol = experiment.protocol(budget, experiment.ratios[0], "0" * 64)
        for method in experiment.methods(budget):
            for stage in method.stages:
                for candidate in stage:
                    protocol.spec({**method.settings, **candidate}, 0)  # refuses a setting that the bundle lacks


def test_a_constrained_row_differs_from_its_baseline_in_the_constraint_alone():
    rows = {method.name: method for method in binary_methods(PAPER.binary_grids)}
    for name in BINARY_LOSSES:
        constrained, base = rows[f"ALM + {name}"], rows[name]
        assert {**base.settings, "alm": True} == constrained.settings
        assert constrained.inherited == [(base.settings, stage) for stage in base.stages]


def test_an_unknown_budget_is_refused_with_the_choices():
    with pytest.raises(ArgumentError, match="smoke, reduced, paper"):
        find_budget("huge")
