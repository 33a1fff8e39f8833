"""`prostate-alm benchmark`: a table of the paper, from runs that really happen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from prostate_alm.benchmark.budgets import Budget, find_budget
from prostate_alm.benchmark.cells import COHORT_TESTS, TESTS, choices, filled_cells, improvement_notes
from prostate_alm.benchmark.cohorts import chosen_patients, datalist_path, of_patients, trains_on_cohort
from prostate_alm.benchmark.control import RATIO, Arm, arms, cohort_arms, control_protocol
from prostate_alm.benchmark.control_report import write_control
from prostate_alm.benchmark.execution import check_data
from prostate_alm.benchmark.experiments import Experiment, find_experiment
from prostate_alm.benchmark.figures import pair_figure
from prostate_alm.benchmark.grid import Backend, Grid, RunStore, Step
from prostate_alm.benchmark.local import LocalBackend
from prostate_alm.benchmark.records import Failure, RunRecord
from prostate_alm.benchmark.rendering import write_table
from prostate_alm.benchmark.studies import Method, Outcome, Protocol, most_runs, study
from prostate_alm.benchmark.table import Caption, table_layout
from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError, BenchmarkError

Outcomes = Mapping[tuple[int | None, str], Outcome]
CONTROL, COHORT_CONTROL = "control", "cohort-control"


@dataclass(frozen=True)
class _Plan:
    """What a table needs: `methods` at each of `protocols`, by class ratio; a control has `arms`."""

    methods: Sequence[Method]
    protocols: Mapping[int | None, Protocol]
    arms: Sequence[Arm] | None = None


def benchmark(
    table: str,
    *,
    data: Path,
    out: Path,
    budget: str,
    workers: int,
    backend: str = "local",
    address: str | None = None,
    ratios: Sequence[int] = (),
    losses: Sequence[str] = (),
    where: str | None = None,
    gpus: float = 0.0,
) -> Path:
    """Run what a table needs and is not there yet, then write the table; returns its Markdown file.

    Args:
        table: "table1" to "table16", "control", or "cohort-control".
        data: folder of the archives; for tables 3, 14 and 15 and `cohort-control` a cohort's folder or datalist.
        out: records go to `out/runs`, shared by all tables; the table to `out/TABLE`.
        budget: smoke, reduced or paper.
        workers: processes of the local backend.
        backend: local or ray.
        address: of the Ray cluster; None starts one on this machine.
        ratios: which of the table's ratios; none given is all.
        losses: which of the table's losses, each with its rows under the constraint; none given is all.
        where: COLUMN=VALUE, on which test patients of a cohort; None for all. The table goes to `out/TABLE/where`.
        gpus: graphics processors of each run on a Ray cluster; a part of one lets runs share it.

    Raises:
        ArgumentError: an argument is none of the choices.
        CohortError: the cohort can't be used; before any training.
        DatasetError: the archive or a subset can't be used; before any training.
        BenchmarkError: runs failed; what could be made of the others was written.
    """
    spent = find_budget(budget)
    plan = _plan(table, spent, data, ratios=ratios, losses=losses)
    _check(plan, data, where)
    place = _backend(backend, data, out, workers=workers, address=address, gpus=gpus)
    outcomes = of_patients(_run(plan, place, out), data, where)
    folder = out / table / (where or "").replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    options = {"ratio": ratios, "loss": losses, "where": [where] if where else []}
    caption = _caption(outcomes, spent, _command(table, spent, options))
    if plan.arms is not None:
        written = write_control({name: outcome for (_, name), outcome in outcomes.items()}, folder, caption, plan.arms)
    else:
        written = _write_table(_number(table), outcomes, folder, caption)
    _report_failures(outcomes)
    return written


def _plan(table: str, budget: Budget, data: Path, *, ratios: Sequence[int], losses: Sequence[str]) -> _Plan:
    if table not in (CONTROL, COHORT_CONTROL):
        experiment = find_experiment(_number(table)).only(losses)
        return _Plan(experiment.methods(budget), _protocols(experiment, budget, data, ratios))
    if ratios or losses:
        raise ArgumentError(f"`{table}` has one ratio and its own arms; leave `--ratio` and `--loss` out.")
    if table == CONTROL:
        compared = arms()
        protocols: Mapping[int | None, Protocol] = {RATIO: control_protocol(budget, read_cifar(data, "cifar10").sha256)}
    else:
        compared = cohort_arms(budget.cohort_grids)
        protocols = _protocols(find_experiment(3), budget, data, ())
    return _Plan([arm.method for arm in compared], protocols, compared)


def _number(table: str) -> int:
    name = table.removeprefix("table")
    if not table.startswith("table") or not name.isdecimal():
        raise ArgumentError(f"`table` is {table!r}. Expected table1 to table16, {CONTROL} or {COHORT_CONTROL}.")
    return int(name)


def _protocols(experiment: Experiment, budget: Budget, data: Path, ratios: Sequence[int]) -> dict[int | None, Protocol]:
    """What the rows of each ratio share.

    Raises:
        ArgumentError: the table has no such ratio.
    """
    if stray := set(ratios) - set(experiment.ratios):
        available = ", ".join(str(ratio) for ratio in experiment.ratios if ratio is not None)
        raise ArgumentError(
            f"the table has no ratio {sorted(stray)}. Available: {available or 'the cohort has its own'}."
        )
    if experiment.archive is None:
        sha256 = read_datalist(datalist_path(data)).sha256
    else:
        sha256 = read_cifar(data, experiment.archive).sha256
    return {ratio: experiment.protocol(budget, ratio, sha256) for ratio in ratios or experiment.ratios}


def _check(plan: _Plan, data: Path, where: str | None) -> None:
    """Say what can't be used before any training."""
    for protocol in plan.protocols.values():
        if trains_on_cohort(protocol.bundle):
            chosen_patients(data, where)
        elif where is not None:
            raise ArgumentError("`--where` chooses patients; a table on images has none.")
        check_data(protocol.spec({}, 0), data)


def _backend(name: str, data: Path, out: Path, *, workers: int, address: str | None, gpus: float) -> Backend:
    work = (out / "work").absolute()
    if name == "local":
        return LocalBackend(data.absolute(), work, workers=workers)
    if name == "ray":
        from prostate_alm.benchmark.ray_backend import RayBackend  # noqa: PLC0415 - an optional extra

        return RayBackend(data.absolute(), work, address=address, gpus=gpus)
    raise ArgumentError(f"`backend` is {name!r}. Available: local, ray.")


def _run(plan: _Plan, backend: Backend, out: Path) -> Outcomes:
    """Every method at every ratio, those of one ratio after those of another."""
    pairs = [(ratio, method) for ratio in plan.protocols for method in plan.methods]
    studies = {f"{method.name} at 1:{ratio}": study(method, plan.protocols[ratio]) for ratio, method in pairs}
    expected = sum(most_runs(method, plan.protocols[ratio]) for ratio, method in pairs)
    try:
        outcomes = Grid(RunStore(out / "runs"), backend, RunLines(Console(stderr=True))).run(studies, expected=expected)
    finally:
        backend.close()
    return {(ratio, method.name): outcomes[f"{method.name} at 1:{ratio}"] for ratio, method in pairs}


class RunLines:
    """A line for each run that ended, with an estimate of the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, step: Step) -> None:
        """Print it."""
        spec = step.result.spec
        constrained = " under the constraint" if spec.settings["alm"] else ""
        what = f"{spec.settings['loss_name']}{constrained}, member {spec.settings['member']}"
        if isinstance(step.result, RunRecord):
            found = f"validation {step.result.validation_metric:.4f}, {step.result.seconds:.0f} s"
        else:
            found = f"FAILED: {step.result.message}"
        left = f"about {step.seconds_left / 60:.0f} min left"
        line = f"{step.done}/{step.total}  {what}: {found}  ({left})"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _caption(outcomes: Outcomes, budget: Budget, command: str) -> Caption:
    runs = [run for outcome in outcomes.values() for run in outcome.runs]
    if not runs:
        return Caption(command=command, budget=budget.name)
    everything = [*runs, *(run for outcome in outcomes.values() for run in outcome.searched)]
    settings = runs[0].spec.settings
    shown = ("profile", "box_mm", "width", "max_epochs", "precision", "batch_size")
    what, tested = "images", ""
    if trains_on_cohort(runs[0].spec.bundle):
        labels = runs[0].test.labels.array()
        what, tested = "datalist", f"; {len(labels)} test patients, {int(labels.sum())} of them positive"
    return Caption(
        command=command,
        commit=", ".join(sorted({run.commit for run in everything})),
        data=f"{what} with SHA-256 {runs[0].spec.data_sha256[:16]}{tested}",
        seeds=f"seed {settings['seed']}, members 0 to {max(int(run.spec.settings['member'] or 0) for run in runs)}",
        budget=f"{budget.name}: "
        + ", ".join(f"{name} {settings[name]}".replace("$", "") for name in shown if name in settings),
        machine=", ".join(sorted({run.machine for run in everything})),
    )


def _command(table: str, budget: Budget, options: Mapping[str, Sequence[object]]) -> str:
    """What makes the table again; the user's own folders are nobody else's business."""
    chosen = "".join(f" --{name} {value}" for name, values in options.items() for value in values)
    return f"prostate-alm benchmark {table} --data DIR --out DIR --budget {budget.name}{chosen}"


def _write_table(number: int, outcomes: Outcomes, folder: Path, caption: Caption) -> Path:
    layout = table_layout(number).part(
        ratios={ratio for ratio, _ in outcomes}, methods={method for _, method in outcomes}
    )
    experiment = find_experiment(number)
    binary, tests = experiment.binary, COHORT_TESTS if experiment.archive is None else TESTS[experiment.binary]
    table = layout.filled(filled_cells(layout, outcomes), caption=caption)
    more = {"notes": (*table.notes, tests), "choices": tuple(choices(table, outcomes))}
    table = table.model_copy(update=more)
    written = write_table(table, folder)  # at once: what took hours must not hang on a sentence below it
    if binary and (notes := improvement_notes(table, outcomes)):
        table = table.model_copy(update={"notes": (*table.notes, *notes)})
        written = write_table(table, folder)
    pair_figure(table, folder / "figure.png")
    return written["md"]


def _report_failures(outcomes: Outcomes) -> None:
    failures: dict[str, Failure] = {f.spec.key: f for outcome in outcomes.values() for f in outcome.failures}
    if failures:
        first = next(iter(failures.values()))
        raise BenchmarkError(
            f"{len(failures)} runs failed; the same command tries them again. The first: {first.message}"
        )
