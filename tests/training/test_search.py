"""The search tries what the paper tries, chooses by validation AUC alone, and goes on where it was killed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.errors import TrainingError
from prostate_alm.training.bundles import plain_settings
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.search import Search, SearchProgress
from prostate_alm.training.search_plan import SearchPlan, Stage, grid_stages, wide_stage

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
Settings = dict[str, Any]


class KnownAUC:
    """Trains nobody: a member's files say the AUC that `auc` gives its settings; None is one that diverged.

    Dies after `most` members, as a killed command would.
    """

    slots = 2

    def __init__(self, auc: Callable[[Settings, int], float | None], most: int = 10_000) -> None:
        self.auc, self.most = auc, most
        self.trained: list[tuple[str, int]] = []

    def submit(self, run: EnsembleRun, member: int) -> Future[None]:
        if len(self.trained) == self.most:
            raise KeyboardInterrupt
        self.trained.append((run.out.name, member))
        ended, value = Future[None](), self.auc(dict(run.settings), member)
        if value is None:
            ended.set_exception(TrainingError("member 0 stopped: the network diverged"))
            return ended
        run.folder(member).mkdir(parents=True)
        rows = [{"epoch": 1, "val_auc": value}, {"epoch": 2}, {"epoch": 3, "val_auc": value - 0.1}]
        (run.folder(member) / "epochs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (run.folder(member) / "finished.json").write_text("{}")
        ended.set_result(None)
        return ended

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def base(tmp_path: Path) -> EnsembleRun:
    datalist = tmp_path / "training.json"
    datalist.write_text("{}")
    return EnsembleRun(BUNDLE, datalist, tmp_path, members=2, folds=2, settings={"profile": "tiny"})


@pytest.fixture
def searching(base: EnsembleRun) -> Iterator[Callable[..., Search]]:
    """Make a search in one folder, as starts of one command are."""
    made: list[Search] = []

    def make(backend: KnownAUC, judges: int = 2, steps: list[SearchProgress] | None = None) -> Search:
        told = [] if steps is None else steps
        made.append(Search(base, judges=judges, backend=backend, on_progress=told.append))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_stages_are_those_of_the_paper_with_the_bundles_own_penalty_among_them() -> None:
    own = plain_settings(BUNDLE)["mu"]
    baseline, penalty, margin = grid_stages(SearchPlan(), loss="s-fl", alm=True)
    assert baseline.candidates == [{"loss_parameter": 0.5}, {"loss_parameter": 1.0}, {"loss_parameter": 2.0}]
    assert dict(baseline.settings) == {"alm": False}
    assert {(one["mu"], one["rho"]) for one in penalty.candidates} == {
        (mu, rho) for mu in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, own) for rho in (2.0, 3.0)
    }
    assert [one["rho"] for one in penalty.candidates] == [2.0] * 6 + [3.0] * 6
    assert {one["delta"] for one in margin.candidates} == {0.1, 0.25, 0.5, 1.0}
    assert [stage.trials for stage in (baseline, penalty, margin)] == [3, 12, 4]


def test_a_loss_without_a_parameter_is_searched_by_its_learning_rate() -> None:
    (baseline,) = grid_stages(SearchPlan(learning_rate=(0.1, 0.2)), loss="bce", alm=False)
    assert baseline.candidates == [{"learning_rate": 0.1}, {"learning_rate": 0.2}]


def test_the_best_mean_is_chosen_and_equals_go_to_the_first(searching: Callable[..., Search]) -> None:
    known = {0.5: (0.9, 0.5), 1.0: (0.7, 0.7), 2.0: (0.6, 0.8)}  # means 0.7, 0.7, 0.7
    backend = KnownAUC(lambda settings, member: known[settings["loss_parameter"]][member])
    stage = grid_stages(SearchPlan(), loss="s-fl", alm=False)[0]
    choice = searching(backend).choose(stage, {})
    assert choice.chosen == {"loss_parameter": 0.5}
    assert [(dict(one.settings), list(one.member_auc)) for one in choice.tried] == [
        ({"loss_parameter": value}, list(aucs)) for value, aucs in known.items()
    ]
    assert [one.mean for one in choice.tried] == pytest.approx([0.7] * 3)
    known[2.0] = (0.61, 0.8)
    assert searching(KnownAUC(backend.auc)).choose(stage, {"rho": 3.0}).chosen == {"loss_parameter": 2.0}


def test_stages_build_on_each_other_and_train_no_candidate_twice(searching: Callable[..., Search]) -> None:
    tried: list[Settings] = []

    def auc(settings: Settings, member: int) -> float:
        tried.append(settings)
        return 0.5 + settings["mu"] - settings["rho"] / 100 - abs(settings["delta"] - 0.5) / 100

    backend = KnownAUC(auc)
    search, chosen = searching(backend, judges=1), dict[str, Any]()
    for stage in grid_stages(SearchPlan(), loss="bce", alm=True)[1:]:
        chosen |= search.choose(stage, {"learning_rate": 1e-3, **chosen}).chosen
    assert chosen == {"mu": 1e-2, "rho": 2.0, "delta": 0.5}
    assert len(tried) == 12 + 3  # a margin of 0.25 was the second stage's, at the chosen penalty
    assert {settings["learning_rate"] for settings in tried} == {1e-3}
    assert all(settings["alm"] and settings["profile"] == "tiny" for settings in tried)


def test_what_is_the_only_candidate_is_not_trained(searching: Callable[..., Search]) -> None:
    backend = KnownAUC(lambda settings, member: 0.5)
    stage = grid_stages(SearchPlan(learning_rate=(0.1,)), loss="bce", alm=False)[0]
    assert searching(backend).choose(stage, {}).chosen == {"learning_rate": 0.1}
    assert backend.trained == []


@pytest.mark.parametrize("killed_after", range(6))
def test_a_killed_search_tries_the_rest_and_nothing_twice(searching: Callable[..., Search], killed_after: int) -> None:
    def auc(settings: Settings, member: int) -> float:
        return settings["loss_parameter"] / 10 + member / 100

    stage = grid_stages(SearchPlan(), loss="s-fl", alm=False)[0]
    first = KnownAUC(auc, most=killed_after)
    with pytest.raises(KeyboardInterrupt):
        searching(first).choose(stage, {})
    second, steps = KnownAUC(auc), list[SearchProgress]()
    choice = searching(second, steps=steps).choose(stage, {})
    assert choice.chosen == {"loss_parameter": 2.0}
    assert [dict(one.settings) for one in choice.tried] == stage.candidates
    assert len(first.trained) + len(second.trained) == len(set(first.trained + second.trained)) == 6
    assert (steps[-1].ended, steps[-1].trials) in ((2, 3), (3, 3))
    third = KnownAUC(auc)
    assert searching(third).choose(stage, {}).chosen == {"loss_parameter": 2.0}
    assert third.trained == []


def test_what_diverged_is_out_and_if_all_did_there_is_nothing_to_choose(searching: Callable[..., Search]) -> None:
    stage = grid_stages(SearchPlan(), loss="s-fl", alm=False)[0]
    backend = KnownAUC(lambda settings, member: None if settings["loss_parameter"] > 0.5 else 0.6)
    choice = searching(backend).choose(stage, {})
    assert choice.chosen == {"loss_parameter": 0.5}
    assert [one.mean for one in choice.tried] == [pytest.approx(0.6), None, None]
    with pytest.raises(TrainingError, match="every candidate of the stage `baseline` diverged"):
        searching(KnownAUC(lambda settings, member: None)).choose(stage, {"rho": 3.0})


def test_a_member_that_failed_otherwise_stops_the_search_and_is_tried_again(searching: Callable[..., Search]) -> None:
    class FullDisk(KnownAUC):
        def submit(self, run: EnsembleRun, member: int) -> Future[None]:
            ended = Future[None]()
            ended.set_exception(TrainingError("no space left"))
            return ended

    stage = grid_stages(SearchPlan(), loss="s-fl", alm=False)[0]
    with pytest.raises(TrainingError, match="no space left"):
        searching(FullDisk(lambda settings, member: 0.5)).choose(stage, {})
    after = KnownAUC(lambda settings, member: settings["loss_parameter"])
    assert searching(after).choose(stage, {}).chosen == {"loss_parameter": 2.0}
    assert len(after.trained) == 6


def test_the_wide_search_draws_inside_its_ranges_and_resumes(searching: Callable[..., Search]) -> None:
    def auc(settings: Settings, member: int) -> float:
        return 0.9 - abs(settings["delta"] - 0.6)

    stage = wide_stage(SearchPlan(), loss="w-bce", alm=True, trials=8)
    assert stage.ranges is not None
    assert set(stage.ranges) == {"learning_rate", "mu", "rho", "delta", "loss_parameter"}
    assert stage.ranges["loss_parameter"] == pytest.approx((1 / 3, 1.0))
    with pytest.raises(KeyboardInterrupt):
        searching(KnownAUC(auc, most=7)).choose(stage, {})
    choice = searching(KnownAUC(auc)).choose(stage, {})
    drawn = [dict(one.settings) for one in choice.tried]
    assert len(drawn) == len({json.dumps(one) for one in drawn}) == 8
    assert all(low <= one[name] <= high for one in drawn for name, (low, high) in stage.ranges.items())
    assert choice.chosen == min(drawn, key=lambda one: abs(one["delta"] - 0.6))


def test_without_the_constraint_the_wide_search_leaves_it_out() -> None:
    stage = wide_stage(SearchPlan(), loss="bce", alm=False, trials=3)
    assert (dict(stage.settings), set(stage.ranges or {})) == ({"alm": False}, {"learning_rate"})


def test_a_stage_has_candidates_in_the_order_of_its_grid() -> None:
    stage = Stage("x", {}, grid={"rho": [2.0, 3.0], "mu": [0.1, 0.2]}, trials=4)
    assert [tuple(one.values()) for one in stage.candidates] == [(2.0, 0.1), (2.0, 0.2), (3.0, 0.1), (3.0, 0.2)]
