"""`prostate-alm search`: hyper-parameters by validation AUC, for `prostate-alm train --config OUT/best.yaml`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prostate_alm.commands.train import max_epochs
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError
from prostate_alm.parcel import sha256_of, write_json
from prostate_alm.training.backends import make_backend
from prostate_alm.training.bundles import plain_settings
from prostate_alm.training.cohort_checks import check_cohort
from prostate_alm.training.ensemble import Backend, EnsembleRun, locked
from prostate_alm.training.experiment import Experiment, write_experiment
from prostate_alm.training.search import RULE, Choice, Search, SearchProgress
from prostate_alm.training.search_plan import Stage, grid_stages, wide_stage

DATALIST, BEST, RECORD = "training.json", "best.yaml", "search.json"


def search(experiment: Experiment, *, wide_trials: int | None = None) -> Path:
    """Search; write `best.yaml`, an experiment for `train`, which is returned, and `search.json`, all that was tried.

    Args:
        experiment: what is trained, and in `search` what is tried. Its calibration patients are not looked at.
        wide_trials: None for the paper's staged grid; else so many trials of a Bayesian search over ranges.

    Raises:
        ArgumentError: it has no `out`, or another of its values can't be used.
        BackendError: there is no Ray, or no cluster.
        CohortError: the datalist can't be used.
        TrainingError: a member failed, or another command is at work in the folder; what is finished is kept.
    """
    run = experiment.run()
    loss = experiment.loss or str(plain_settings(run.bundle)["loss_name"])
    judges = experiment.search.members or run.members
    if judges > run.members:
        raise ArgumentError(f"`search.members` is {judges}, and there are {run.members} `members`.")
    if wide_trials is None:
        stages = grid_stages(experiment.search, loss=loss, alm=experiment.alm)
    else:
        stages = [wide_stage(experiment.search, loss=loss, alm=experiment.alm, trials=wide_trials)]
    with locked(run.out):
        base = _without_test_side(run)
        check_cohort(base)
        backend = make_backend(
            experiment.backend, workers=experiment.workers, address=experiment.address, gpus=experiment.gpus
        )
        try:
            choices = _choose(stages, base, judges, backend)
        finally:
            backend.close()
        return _write(experiment, run, choices, judges=judges)


def _without_test_side(run: EnsembleRun) -> EnsembleRun:
    """The same run on a datalist in its folder that has no test side: what the members can't open they can't use."""
    datalist = read_datalist(run.datalist, only="training")
    folder, path = run.datalist.parent.resolve(), run.out / DATALIST
    entries: list[dict[str, Any]] = []
    for entry in datalist.training:
        content = entry.model_dump(exclude_none=True)
        files = {k: os.path.relpath(folder / content[k], run.out) for k in ("t2", "dwi", "adc") if k in content}
        entries.append({**content, **files})
    write_json(path, {"schema_version": 1, "name": datalist.name, "training": entries, "test": []})
    silent = {"tracker": "none"} if "tracker" in plain_settings(run.bundle) else {}
    return EnsembleRun(run.bundle, path, run.out, run.members, run.folds, run.seed, {**silent, **run.settings})


def _choose(stages: Sequence[Stage], base: EnsembleRun, judges: int, backend: Backend) -> list[Choice]:
    """Stage after stage, with the time left of each."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    epochs, choices = judges * max_epochs(base), list[Choice]()
    with Progress(*columns, console=console) as progress:
        bars = {s.name: progress.add_task(f"{s.name}: 0 of {s.trials}", total=s.trials * epochs) for s in stages}

        def draw(step: SearchProgress) -> None:
            done = f"{step.stage}: {step.ended} of {step.trials} trials"
            progress.update(bars[step.stage], completed=step.ended * epochs + step.epochs, description=done)

        search = Search(base, judges=judges, backend=backend, on_progress=draw)
        try:
            for stage in stages:
                choice = search.choose(stage, {name: v for chosen in choices for name, v in chosen.chosen.items()})
                choices.append(choice)
                progress.update(bars[stage.name], completed=stage.trials * epochs)
                console.print(f"{stage.name}: {_in_words(choice)}")
        finally:
            search.close()
    return choices


def _in_words(choice: Choice) -> str:
    settings = ", ".join(f"{name} {value:g}" for name, value in choice.chosen.items())
    if not choice.tried:
        return f"{settings} (the only candidate)"
    best = next(one for one in choice.tried if one.settings == choice.chosen)
    return f"{settings}, of {len(choice.tried)} candidates: mean validation AUC {best.mean:.4f}"


def _write(experiment: Experiment, run: EnsembleRun, choices: Sequence[Choice], *, judges: int) -> Path:
    chosen = {name: value for choice in choices for name, value in choice.chosen.items()}
    record = {
        "schema_version": 1,
        "datalist_sha256": sha256_of(run.datalist),
        "experiment": experiment.model_dump(mode="json", exclude={"datalist", "out", "calibration"}),
        "judged_on_members": judges,
        "rule": RULE,
        "stages": [_stage(choice) for choice in choices],
        "chosen": chosen,
    }
    write_json(run.out / RECORD, record)
    best = experiment.model_copy(
        update={
            "out": None,
            "settings": {**experiment.settings, **chosen},
            "datalist": run.datalist,
            "calibration": experiment.calibration and experiment.calibration.absolute(),
            "search": type(experiment.search)(),
        }
    )
    write_experiment(
        best,
        run.out / BEST,
        comment=f"Chosen by `prostate-alm search` on validation AUC alone; all that was tried is in {RECORD}.\n"
        "prostate-alm train --config best.yaml --out DIR",
    )
    return run.out / BEST


def _stage(choice: Choice) -> dict[str, Any]:
    stage = choice.stage
    tried = [
        {"settings": dict(one.settings), "member_auc": list(one.member_auc), "mean_auc": one.mean}
        | ({"note": "diverged"} if one.mean is None else {})
        for one in choice.tried
    ]
    space = {"grid": dict(stage.grid)} if stage.grid is not None else {"ranges": dict(stage.ranges or {})}
    return {"name": stage.name, **stage.settings, **space, "trials": tried, "chosen": _in_words(choice)}
