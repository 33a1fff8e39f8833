"""`prostate-alm sanity`: what shuffled labels and a hidden path do to the AUC."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from prostate_alm.commands.train import max_epochs
from prostate_alm.parcel import sha256_of, write_json
from prostate_alm.training.backends import make_backend
from prostate_alm.training.cohort_checks import check_cohort
from prostate_alm.training.ensemble import Backend, EnsembleRun, locked, train_members
from prostate_alm.training.experiment import Experiment
from prostate_alm.training.sanity import FoldAuc, PathAuc, PermutationTest, modality_test, permutation_test

PERMUTATION, MODALITY = "permutation.json", "modality.json"


def permutation(experiment: Experiment, *, repeats: int, real: Path | None = None) -> Path:
    """Train on shuffled labels; writes and returns `permutation.json`.

    Args:
        experiment: as it is trained on the true labels; `out` is the check's own folder.
        repeats: shufflings.
        real: folder of the run on the true labels.

    Raises:
        TrainingError: as `permutation_test`.
    """
    run = experiment.run()
    check_cohort(run)
    backend = _backend(experiment)
    try:
        found = permutation_test(run, repeats=repeats, train=lambda one: _train(one, backend), real=real)
    finally:
        backend.close()
    record = {"schema_version": 1, "datalist_sha256": sha256_of(run.datalist), **asdict(found)}
    write_json(run.out / PERMUTATION, record)
    _print_permutations(found)
    return run.out / PERMUTATION


def modality(experiment: Experiment) -> Path:
    """Train with both paths and with each alone; writes and returns `modality.json`.

    Args:
        experiment: as it is trained; `out` is the check's own folder.

    Raises:
        TrainingError: a member failed.
    """
    run = experiment.run()
    check_cohort(run)
    backend = _backend(experiment)
    try:
        found = modality_test(run, train=lambda one: _train(one, backend))
    finally:
        backend.close()
    record = {"schema_version": 1, "datalist_sha256": sha256_of(run.datalist), "paths": [asdict(one) for one in found]}
    write_json(run.out / MODALITY, record)
    _print_paths(found)
    return run.out / MODALITY


def _backend(experiment: Experiment) -> Backend:
    return make_backend(
        experiment.backend, workers=experiment.workers, address=experiment.address, gpus=experiment.gpus
    )


def _train(run: EnsembleRun, backend: Backend) -> None:
    """Train what is not finished, with one bar."""
    done: dict[int, int] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with locked(run.out), Progress(*columns, console=Console(stderr=True)) as progress:
        run.claim()
        epochs = max_epochs(run)
        bar = progress.add_task(run.out.name, total=run.members * epochs)

        def show(member: int, epoch: int) -> None:
            done[member] = epoch
            progress.update(bar, completed=sum(done.values()))

        train_members(run, backend, on_progress=lambda s: show(s.member, epochs if s.done else s.epoch))


def _print_permutations(found: PermutationTest) -> None:
    table = Table(title="Labels shuffled over the patients: AUC out of fold")
    for column in ("shuffling", "last epoch: about 0.5 without a leak", "best epoch: chosen by the fold it scores"):
        table.add_column(column)
    for one in found.runs:
        table.add_row(str(one.seed), _cell(one.last), _cell(one.best))
    console = Console(stderr=True)
    console.print(table)
    verdict = (
        "A LEAK IS SUSPECTED: the labels are known without the images" if found.leak_suspected else "no leak shows"
    )
    console.print(f"mean of the last epochs {found.mean:.3f}, one-sided 95 % lower bound {found.low:.3f}: {verdict}")
    if found.real is not None:
        console.print(f"the run in question has {found.real:.3f}; p = {found.p_value:.3f} against the best epochs")


def _print_paths(found: Sequence[PathAuc]) -> None:
    table = Table(title="One path of the network alone: AUC out of fold")
    for column in ("path", "AUC", "difference to both", "p"):
        table.add_column(column)
    for one in found:
        difference = "" if one.difference is None else f"{one.difference:+.3f}"
        table.add_row(one.path, _cell(one.found), difference, "" if one.p_value is None else f"{one.p_value:.3f}")
    console = Console(stderr=True)
    console.print(table)
    console.print(
        "a path that alone does as well as both, and better than a reader would expect of it, may hold a mark"
    )


def _cell(found: FoldAuc) -> str:
    return f"{found.auc:.3f} [{found.low:.3f}, {found.high:.3f}]"
