"""The `prostate-alm` command line; a command is imported when it is called."""

import logging
import sys
from collections.abc import Callable
from functools import partial, wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prostate_alm.errors import ProstateALMError

if TYPE_CHECKING:
    from prostate_alm.training.experiment import Experiment

    ReadExperiment = Callable[..., Experiment]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Find the prostate MRI patients who do not need the contrast sequence. Research use only.",
)
cohort = typer.Typer(no_args_is_help=True, help="Make, import and inspect cohorts.")
app.add_typer(cohort, name="cohort")
sanity = typer.Typer(no_args_is_help=True, help="Checks that make a leak of the label show.")
app.add_typer(sanity, name="sanity")

Workers = Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=1)]
SeriesName = Annotated[str | None, typer.Option(help="Series to be read: number (dwi: 6+8) or description.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
OutDir = Annotated[Path, typer.Option(help="Folder to write to.")]
EnsembleDir = Annotated[Path, typer.Option(help="Ensemble folder, as `train` writes it.")]
PointName = Annotated[str, typer.Option(help="Operating point of the ensemble, such as 0-fn.")]
Pin = Annotated[str | None, typer.Option(help="SHA-256 that the ensemble's manifest.json must have.")]


def _read_experiment(
    config: Annotated[Path | None, typer.Option(help="Experiment file (YAML); flags win over it.")] = None,
    datalist: Annotated[Path | None, typer.Option(help="datalist.json of the cohort.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Shipped bundle, or a bundle folder; default: prostate_dce.")
    ] = None,
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble; default: 10.", min=2)] = None,
    folds: Annotated[
        int | None, typer.Option(help="Default: 5 where it divides the members, else as many.", min=2)
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Voxels: tiny, fast or full; default: fast.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the bundle's.", min=1)] = None,
    loss: Annotated[str | None, typer.Option(help="Base loss: bce, s-fl, w-bce, ...; default: the bundle's.")] = None,
    alm: Annotated[
        bool | None, typer.Option("--alm/--no-alm", help="Ranking constraint on (default), or the base loss alone.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of splits and members; default: 0.", min=0)] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Any other value of train.yaml, KEY=VALUE.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; default: auto.")] = None,
    workers: Workers = None,
    backend: Annotated[str | None, typer.Option(help="local or ray; default: local.")] = None,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; without it one is started here.")] = None,
    gpus: Annotated[float | None, typer.Option(help="Of each member on Ray; 0.5 lets two share one.", min=0.0)] = None,
    **own: Any,
) -> "Experiment":
    """The experiment of a file and of these flags; `own` are fields that one command alone has a flag for."""
    from prostate_alm.training.experiment import read_experiment

    flags = {
        "datalist": datalist, "out": out, "bundle": bundle, "members": members, "folds": folds, "profile": profile,
        "epochs": epochs, "loss": loss, "alm": alm, "seed": seed, "device": device, "workers": workers,
        "backend": backend, "address": address, "gpus": gpus, **own,
    }  # fmt: skip
    return read_experiment(config, {**flags, "settings": _settings(override or [])})


def _with_experiment(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the flags of an experiment before its own; its first argument reads the experiment."""
    shared = [one for one in signature(_read_experiment).parameters.values() if one.name != "own"]
    parameters = [*shared, *list(signature(command).parameters.values())[1:]]

    @wraps(command)
    def called(**given: Any) -> None:
        flags = {one.name: given.pop(one.name) for one in shared}
        command(partial(_read_experiment, **flags), **given)

    called.__signature__ = Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue] - what typer reads
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


@cohort.command("inspect")
def cohort_inspect(
    path: Annotated[Path, typer.Argument(help="Folder or zip of one study; of several, they are listed.")],
    t2: SeriesName = None,
    dwi: SeriesName = None,
    adc: SeriesName = None,
    high_b: Annotated[float | None, typer.Option(help="b-value of a high-b MHA file, s/mm².", min=1)] = None,
    study: Annotated[int | None, typer.Option(help="Which of several studies, as listed.", min=1)] = None,
    montage: Annotated[Path | None, typer.Option(help="PNG to draw the study into.")] = None,
) -> None:
    """Show which series a study holds, which are chosen and why; try a choice before it goes into a label table."""
    from prostate_alm.commands.cohort_inspect import inspect
    from prostate_alm.readers import SeriesChoice

    inspect(path, series=SeriesChoice(t2, dwi, adc), high_b=high_b, study=study, montage=montage)


@cohort.command("synthesize")
def cohort_synthesize(
    out: OutDir,
    patients: Annotated[int, typer.Option(help="Patients for training.", min=2)] = 150,
    test_patients: Annotated[int, typer.Option(help="Patients that training never sees.", min=0)] = 50,
    seed: Annotated[int, typer.Option(help="Patient i of a seed is always the same.")] = 0,
    prevalence: Annotated[float, typer.Option(help="Share who need DCE.", min=0.0, max=1.0)] = 0.36,
    difficulty: Annotated[str, typer.Option(help="easy or default.")] = "default",
    format: Annotated[str, typer.Option(help="nifti (with datalist.json) or dicom (with labels.csv).")] = "nifti",
    workers: Workers = None,
) -> None:
    """Make a synthetic cohort of mpMRI patients. Not evidence about real ones."""
    from prostate_alm.commands.cohort_synthesize import synthesize

    synthesize(
        out, patients=patients, test_patients=test_patients, seed=seed, prevalence=prevalence, difficulty=difficulty,
        format=format, workers=_cores(workers),
    )  # fmt: skip


@cohort.command("import")
def cohort_import(
    dicom: Annotated[Path, typer.Option(help="Folder of the studies: DICOM, NIfTI or MHA, zips too.")],
    labels: Annotated[Path, typer.Option(help="CSV with the columns study, patient, label.")],
    out: OutDir,
    keys: Annotated[Path | None, typer.Option(help="Private file of the keys; default: OUT.keys.csv.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Another column of the CSV for the datalist.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Leave out poor images too, not only wrong ones.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove finished studies that no row names any more.")] = False,
    workers: Workers = None,
) -> None:
    """Import studies and labels as NIfTI with a datalist; every exclusion is explained. Resumes."""
    from prostate_alm.commands.cohort_import import import_cohort

    import_cohort(
        dicom, labels, out, workers=_cores(workers), keys=keys, keep=keep or (), strict=strict, prune=prune
    )  # fmt: skip


@cohort.command("split")
def cohort_split(
    datalist: Annotated[Path, typer.Option(help="datalist.json of the cohort.")],
    out: Annotated[Path, typer.Option(help="The new datalist, in the same folder.")],
    folds: Annotated[int, typer.Option(help="Of the training side.", min=2)] = 5,
    test_share: Annotated[float | None, typer.Option(help="Draw a new test side of this share.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Write folds, and a test side on demand: by patient, each with its share of the few, or refuse."""
    from prostate_alm.commands.cohort_split import split_cohort

    split_cohort(datalist, out, folds=folds, test_share=test_share, seed=seed)


@app.command()
@_with_experiment
def train(
    read: "ReadExperiment",
    calibration: Annotated[Path | None, typer.Option(help="Datalist of untouched patients.")] = None,
    operating_point: Annotated[
        list[str] | None, typer.Option(help="Such as 1-fn or sensitivity=0.95@0.95; give it once for each.")
    ] = None,
    tracking: Annotated[str | None, typer.Option(help="tensorboard, mlflow or none; default: the bundle's.")] = None,
) -> None:
    """Train the members in parallel, set operating points out of fold, write OUT/ensemble. Resumes."""
    from prostate_alm.commands.train import train_experiment

    train_experiment(read(calibration=calibration, operating_points=operating_point or None, tracking=tracking))


@app.command()
@_with_experiment
def search(
    read: "ReadExperiment",
    wide: Annotated[bool, typer.Option("--wide", help="A Bayesian search over ranges instead of the grid.")] = False,
    trials: Annotated[int | None, typer.Option(help="Of the wide search; default: 40.", min=1)] = None,
) -> None:
    """Choose hyper-parameters by validation AUC, stage by stage; OUT/best.yaml is for `train --config`. Resumes."""
    from prostate_alm.commands.search import search as search_experiment

    if trials is not None and not wide:
        raise typer.BadParameter("the grid has as many trials as candidates; `--trials` is for `--wide`.")
    search_experiment(read(), wide_trials=(trials or 40) if wide else None)


@sanity.command("permutation")
@_with_experiment
def sanity_permutation(
    read: "ReadExperiment",
    repeats: Annotated[int, typer.Option(help="Shufflings; p is at best 1 / (repeats + 1).", min=1)] = 3,
    run: Annotated[Path | None, typer.Option(help="Finished run on the true labels, for its p-value.")] = None,
) -> None:
    """Train on labels shuffled over the patients: the AUC out of fold is about 0.5 unless the labels leak. Resumes."""
    from prostate_alm.commands.sanity import permutation

    typer.echo(permutation(read(), repeats=repeats, real=run))


@sanity.command("modality")
@_with_experiment
def sanity_modality(read: "ReadExperiment") -> None:
    """Train with both paths, with T2 alone and with diffusion alone: a mark in one image shows. Resumes."""
    from prostate_alm.commands.sanity import modality

    typer.echo(modality(read()))


@app.command()
def evaluate(
    ensemble: EnsembleDir,
    datalist: Annotated[Path, typer.Option(help="datalist.json; its test section is evaluated.")],
    out: OutDir,
    against: Annotated[Path | None, typer.Option(help="Another ensemble, compared on the same patients.")] = None,
    prevalence: Annotated[list[float] | None, typer.Option(help="Another share who need DCE, such as 0.13.")] = None,
    subgroup: Annotated[list[str] | None, typer.Option(help="Columns to show apart. [vendor, field_strength]")] = None,
    cases: Annotated[int, typer.Option(help="Failures shown with pictures.", min=0, max=50)] = 6,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Evaluate an ensemble on patients it never met: report.html, metrics.json, scores.json, roc.png. Resumes."""
    from prostate_alm.commands.evaluate import evaluate as evaluate_ensemble
    from prostate_alm.commands.evaluation import COLUMNS, EvaluationOptions

    options = EvaluationOptions(
        against=against, prevalences=tuple(prevalence or ()), columns=tuple(subgroup or COLUMNS), cases=cases,
        device=device, workers=_cores(workers),
    )  # fmt: skip
    evaluate_ensemble(ensemble, datalist=datalist, out=out, options=options)


@app.command()
def recalibrate(
    ensemble: EnsembleDir,
    datalist: Annotated[Path, typer.Option(help="datalist.json of labelled patients that training never touched.")],
    out: Annotated[Path, typer.Option(help="Folder of the new ensemble; the old one is only read.")],
    operating_point: Annotated[
        list[str] | None, typer.Option(help="0-fn, sensitivity=0.95@0.95, conformal=0.05, ...; several are allowed.")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Set operating points anew on a site's own patients; writes a new ensemble that names its parent. Resumes."""
    from prostate_alm.commands.recalibrate import recalibrate as recalibrate_ensemble
    from prostate_alm.evaluation.operating_rules import parse_rules

    rules = parse_rules(operating_point or [])
    recalibrate_ensemble(ensemble, datalist=datalist, out=out, rules=rules, device=device, workers=_cores(workers))


@app.command()
def triage(
    study: Annotated[Path, typer.Argument(help="Folder or zip of one patient's DICOM, or of NIfTI files.")],
    ensemble: EnsembleDir,
    operating_point: PointName = "0-fn",
    expect_sha256: Pin = None,
    device: Device = "auto",
) -> None:
    """Does this patient need DCE? One study, JSON on stdout; whatever fails is "recommended"."""
    from prostate_alm.commands.triage import triage as triage_study

    triage_study(study, ensemble=ensemble, operating_point=operating_point, expect_sha256=expect_sha256, device=device)


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="YAML with settings; flags win over it.")] = None,
    ensemble: Annotated[Path | None, typer.Option(help="Ensemble folder, as `train` writes it.")] = None,
    host: Annotated[str | None, typer.Option(help="Beyond loopback only with a token. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="[default: 8000]")] = None,
    operating_point: Annotated[str | None, typer.Option(help="Of the ensemble. [default: 0-fn]")] = None,
    expect_sha256: Pin = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda. [default: auto]")] = None,
    storage: Annotated[Path | None, typer.Option(help="Folder of this service. [default: triage-data]")] = None,
    check: Annotated[bool, typer.Option("--check", help="Say whether the configuration holds, and end.")] = False,
) -> None:
    """Run the triage service over HTTP."""
    from prostate_alm.commands.serve import check_configuration
    from prostate_alm.commands.serve import serve as serve_ensemble

    flags = {
        "ensemble": ensemble, "host": host, "port": port, "operating_point": operating_point,
        "expect_sha256": expect_sha256, "device": device, "storage": storage,
    }  # fmt: skip
    if check:
        raise typer.Exit(check_configuration(config, flags=flags))
    serve_ensemble(config, flags=flags)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Of the token: appears in logs and in the audit.")],
    scope: Annotated[list[str], typer.Option(help="submit, read or metrics; give it once for each.")],
) -> None:
    """Make a token for the service: itself on stderr, once; its line for `tokens_file` on stdout."""
    from prostate_alm.commands.token import token as make_token

    make_token(name, scopes=scope)


@app.command()
def benchmark(
    table: Annotated[str, typer.Argument(help="table1 to table16 of the paper, control or cohort-control.")],
    data: Annotated[
        Path, typer.Option(help="Folder of the CIFAR archives; tables 3, 14, 15: a cohort's or its datalist.")
    ],
    out: OutDir,
    budget: Annotated[str, typer.Option(help="smoke, reduced or paper.")] = "reduced",
    ratio: Annotated[list[int] | None, typer.Option(help="Only these class ratios of the table.")] = None,
    loss: Annotated[list[str] | None, typer.Option(help="Only these losses of the table, and ALM on them.")] = None,
    where: Annotated[str | None, typer.Option(help="Only test patients with COLUMN=VALUE in the datalist.")] = None,
    workers: Workers = None,
    backend: Annotated[str, typer.Option(help="local or ray.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; default: one on this machine.")] = None,
    gpus: Annotated[float, typer.Option(help="Of each run on Ray; 0.5 lets two share one.", min=0.0)] = 0.0,
) -> None:
    """Run what a table of the paper needs, then write it beside the paper's figures. Resumes."""
    from prostate_alm.commands.benchmark import benchmark as make_table

    written = make_table(
        table,
        data=data,
        out=out,
        budget=budget,
        workers=_cores(workers),
        backend=backend,
        address=address,
        ratios=ratio or (),
        losses=loss or (),
        where=where,
        gpus=gpus,
    )
    typer.echo(written.read_text(encoding="utf-8"))


@app.command()
def demo(out: OutDir = Path("demo"), workers: Workers = None) -> None:
    """The whole way on a synthetic cohort: import, train, evaluate, serve, answer. Minutes."""
    from prostate_alm.commands.demo import demo as run_demo

    run_demo(out, workers=_cores(workers))


def main() -> None:
    """Run the command line; an error of ours is a sentence, not a traceback."""
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except ProstateALMError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command resumes where it can", err=True)
        sys.exit(130)


def _cores(workers: int | None) -> int:
    import os

    return workers or os.cpu_count() or 1


def _settings(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs, the values as YAML."""
    import yaml

    from prostate_alm.errors import ArgumentError

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise ArgumentError(f"`--set` takes KEY=VALUE, got `{pair}`.")
        settings[key] = yaml.safe_load(value)
    return settings


if __name__ == "__main__":
    main()
