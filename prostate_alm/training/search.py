"""The hyper-parameter search: each stage's trials on a backend, chosen by validation AUC alone, kept by Optuna.

The test side of the cohort is out of reach: members are given a datalist without it. A trial is a run of members in a
folder named by what it is a run of, so two stages that try the same train it once, and a killed one goes on.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, get_args

import optuna
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from prostate_alm.errors import TrainingError
from prostate_alm.parcel import sha256_of
from prostate_alm.training.bundles import plain_settings
from prostate_alm.training.ensemble import POLL_SECONDS, Backend, EnsembleRun, MemberProgress, progress
from prostate_alm.training.search_plan import ON_A_LOG_SCALE, Searched, Stage

Settings = Mapping[str, Any]
RULE = "highest mean validation AUC of its members' best checkpoints; of equals the first in the order of the grid"


@dataclass(frozen=True)
class Judged:
    """A candidate that was tried.

    Attributes:
        settings: what was tried.
        member_auc: best validation AUC of each member; empty where one diverged.
        mean: of these, None where one diverged.
    """

    settings: Settings
    member_auc: Sequence[float]
    mean: float | None


@dataclass(frozen=True)
class Choice:
    """What a stage found.

    Attributes:
        stage: which.
        tried: all of its candidates, in their order; none where there was nothing to choose.
        chosen: the best one's settings.
    """

    stage: Stage
    tried: Sequence[Judged]
    chosen: Settings


@dataclass(frozen=True)
class SearchProgress:
    """How far a stage is.

    Attributes:
        stage: its name.
        ended: trials.
        trials: of the stage.
        epochs: trained for the stage, those of earlier starts included.
    """

    stage: str
    ended: int
    trials: int
    epochs: int


@dataclass(eq=False)
class _Open:
    """A trial that is being trained."""

    trial: Trial
    settings: Settings
    run: EnsembleRun
    futures: list["Future[None]"] = field(default_factory=list)


class Search:
    """Carries out stages, one after the other.

    Args:
        base: the run that all trials are variants of; its `out` is the search's folder, its datalist has no test side.
        judges: on so many first members of the split a candidate is judged.
        backend: where members are trained.
        on_progress: called now and then.
    """

    def __init__(
        self, base: EnsembleRun, *, judges: int, backend: Backend, on_progress: Callable[[SearchProgress], None]
    ) -> None:
        self.base, self.judges, self.backend, self.on_progress = base, judges, backend, on_progress
        self._facts = [base.bundle.name, sha256_of(base.datalist), base.members, base.folds, base.seed]
        searched = plain_settings(base.bundle)
        self._defaults = {name: searched[name] for name in get_args(Searched)}  # said, so that equals are one trial
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{base.out / 'search.sqlite'}")

    def close(self) -> None:
        """Close Optuna's database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def choose(self, stage: Stage, fixed: Settings) -> Choice:
        """Try what of a stage has not been tried yet, and choose.

        Args:
            stage: its candidates.
            fixed: what earlier stages chose.

        Raises:
            TrainingError: a member failed, or every candidate diverged. What was trained is kept.
        """
        if stage.grid is not None and stage.trials == 1:  # nothing to choose
            return Choice(stage, [], stage.candidates[0])
        tried = self._carry_out(stage, {**fixed, **stage.settings})
        scored = [(candidate.mean, -place) for place, candidate in enumerate(tried) if candidate.mean is not None]
        if not scored:
            raise TrainingError(
                f"every candidate of the stage `{stage.name}` diverged; search smaller values or a lower learning rate."
            )
        return Choice(stage, tried, tried[-max(scored)[1]].settings)

    def _carry_out(self, stage: Stage, fixed: Settings) -> list[Judged]:
        """All candidates of a stage, in the order of the grid or of their trials."""
        study = self._study(stage, fixed)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))  # of a start that was killed
        opened = [self._open(stage, Trial(study, trial._trial_id), fixed) for trial in running]
        at_once = -(-self.backend.slots // self.judges) + 1
        while True:
            while len(opened) < at_once and len(study.get_trials(deepcopy=False)) < stage.trials:
                opened.append(self._open(stage, study.ask(), fixed))
            if not opened:
                return self._judged(stage, study, fixed)
            self._wait(stage, study, opened)

    def _wait(self, stage: Stage, study: optuna.Study, opened: list[_Open]) -> None:
        """Until a trial has ended, whose value is told; it leaves `opened`."""
        while True:
            pending = [future for one in opened for future in one.futures if not future.done()]
            wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.on_progress(self._progress(stage, study, opened))
            for one in [one for one in opened if all(future.done() for future in one.futures)]:
                opened.remove(one)
                value = self._value(one)
                study.tell(one.trial, value, state=TrialState.FAIL if value is None else None)
                return

    def _open(self, stage: Stage, trial: Trial, fixed: Settings) -> _Open:
        """Begin to train the members of a trial that are not finished."""
        settings = _suggested(stage, trial)
        run = self._run({**fixed, **settings})
        run.claim()
        waiting = [member for member in range(self.judges) if not progress(run, member).done]
        return _Open(trial, settings, run, [self.backend.submit(run, member) for member in waiting])

    def _value(self, one: _Open) -> float | None:
        """The mean of its members' best validation AUC; None where one diverged.

        Raises:
            TrainingError: a member failed for another reason, which may be gone at the next start.
        """
        for future in one.futures:
            error = future.exception()
            if error is not None and "diverged" not in str(error):
                raise error
        found = self._members(one.run)
        return sum(found) / len(found) if found else None

    def _members(self, run: EnsembleRun) -> list[float]:
        """Best validation AUC of each member that judges; empty where one is not finished."""
        states: list[MemberProgress] = [progress(run, member) for member in range(self.judges)]
        return [state.best_auc for state in states] if all(state.done for state in states) else []

    def _judged(self, stage: Stage, study: optuna.Study, fixed: Settings) -> list[Judged]:
        candidates = [{name: float(value) for name, value in t.params.items()} for t in study.get_trials()]
        if stage.grid is not None:
            candidates.sort(key=stage.candidates.index)
        tried = [(settings, self._members(self._run({**fixed, **settings}))) for settings in candidates]
        return [Judged(s, aucs, sum(aucs) / len(aucs) if aucs else None) for s, aucs in tried]

    def _run(self, settings: Settings) -> EnsembleRun:
        """The run of a candidate, in a folder named by all that decides its weights."""
        base, merged = self.base, {**self._defaults, **self.base.settings, **settings}
        place = base.out / "trials" / _key([*self._facts, merged])
        merged["cache_dir"] = str(base.out / "cache")
        return EnsembleRun(base.bundle, base.datalist, place, base.members, base.folds, base.seed, merged)

    def _study(self, stage: Stage, fixed: Settings) -> optuna.Study:
        """Optuna's record of a stage; another grid, other fixed settings or another cohort is another study."""
        key = _key([*self._facts, self.judges, stage.grid, stage.ranges, {**self.base.settings, **fixed}])
        study = optuna.create_study(
            storage=self._storage, study_name=f"{stage.name}-{key}", direction="maximize", load_if_exists=True
        )
        study.sampler = _sampler(stage, seed=self.base.seed, asked=len(study.get_trials(deepcopy=False)))
        return study

    def _progress(self, stage: Stage, study: optuna.Study, opened: Sequence[_Open]) -> SearchProgress:
        ended = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL)))
        epochs = sum(progress(one.run, member).epoch for one in opened for member in range(self.judges))
        return SearchProgress(stage.name, ended, stage.trials, epochs)


class _AskedGrid(GridSampler):
    """Optuna's grid for `ask` and `tell`: its own `after_trial` ends a loop that only `optimize` has."""

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Nothing: the stage counts its trials."""


def _key(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _sampler(stage: Stage, *, seed: int, asked: int) -> BaseSampler:
    """Optuna's grid, or its Bayesian sampler, which after a restart must not draw its first points again."""
    if stage.grid is not None:
        return _AskedGrid({name: list(values) for name, values in stage.grid.items()}, seed=seed)
    return TPESampler(seed=seed * 100_003 + asked, multivariate=True, constant_liar=True)


def _suggested(stage: Stage, trial: Trial) -> dict[str, float]:
    """The settings of a trial, drawn where they are not yet."""
    if stage.grid is not None:
        return {name: float(trial.suggest_categorical(name, list(values))) for name, values in stage.grid.items()}
    return {
        name: trial.suggest_float(name, low, high, log=name in ON_A_LOG_SCALE)
        for name, (low, high) in (stage.ranges or {}).items()
    }
