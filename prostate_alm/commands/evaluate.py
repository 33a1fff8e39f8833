"""`prostate-alm evaluate`: an ensemble on patients that it has never met, as evidence one can defend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from prostate_alm.commands.evaluation import Evaluation, EvaluationOptions, evaluated_ensemble, make_record
from prostate_alm.commands.scoring import StudyScore, known_studies, score_entries
from prostate_alm.datasets.datalist import Datalist, read_datalist
from prostate_alm.errors import CohortError, EnsembleError
from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.predictive import check_prevalence
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.occlusion import occlusion_map
from prostate_alm.parcel import (
    KNOWN_STUDIES,
    OPERATING_POINTS,
    VALIDATION,
    Manifest,
    read_manifest,
    sealed_bytes,
    write_json,
)
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.report.case_picture import CasePicture, draw_case
from prostate_alm.report.evaluation_page import write_report
from prostate_alm.report.evaluation_record import EvaluationRecord, Failure
from prostate_alm.report.roc_figure import save_roc_figure

FEWEST_TO_EVALUATE = 2


@dataclass(frozen=True)
class Parcel:
    """What an evaluation needs of an ensemble folder beside its weights."""

    folder: Path
    manifest: Manifest
    sha256: str
    points: OperatingPoints
    validation: ValidationScores
    known: KnownStudies


def evaluate(
    ensemble: Path, *, datalist: Path, out: Path, options: EvaluationOptions | None = None
) -> EvaluationRecord:
    """Evaluate on the test section of `datalist`; write `metrics.json`, `report.html`, `scores.json` and `roc.png`.

    Thresholds that were fixed beforehand are applied to the test set; what the best threshold on the test set itself
    would give is kept apart under "test_set_oracle". Scores are kept in `out` as they come: interrupted, the same
    command goes on.

    Raises:
        CohortError: the test section is empty, of one class, or overlaps what an ensemble was made with.
        EnsembleError: an ensemble can't be used.
        ArgumentError: a prevalence is no share.
    """
    chosen = options or EvaluationOptions()
    for prevalence in chosen.prevalences:
        check_prevalence(prevalence)
    content = read_datalist(datalist)
    if not content.test:
        raise CohortError(f"{datalist.name} has no `test` section; evaluation needs patients that no member has seen.")
    parcels = [read_parcel(folder) for folder in (ensemble, *([chosen.against] if chosen.against else []))]
    scored = [_scores(parcel, content, out, chosen) for parcel in parcels]
    found = Evaluation(
        entries=content.entries("test"), scores=scored[0], manifest=parcels[0].manifest, sha256=parcels[0].sha256,
        points=parcels[0].points.points,
    )  # fmt: skip
    _refuse_one_class(found)
    record = make_record(
        found,
        datalist=content,
        parcel=evaluated_ensemble(parcels[0].manifest, parcels[0].sha256, parcels[0].known),
        validation=parcels[0].validation,
        options=chosen,
        other=None
        if len(parcels) == 1
        else (evaluated_ensemble(parcels[1].manifest, parcels[1].sha256, parcels[1].known), scored[1]),
    )
    _write(out, record, found, pictures=_pictures(ensemble, found, record.failures, chosen.device))
    _print(record, out)
    return record


def read_parcel(folder: Path) -> Parcel:
    """Verify an ensemble and read what an evaluation needs of it.

    Raises:
        EnsembleError: it is incomplete, changed, or of a release that did not seal whom it was trained on.
    """
    manifest, sha256 = read_manifest(folder)
    lacking = [name for name in (KNOWN_STUDIES, VALIDATION) if name not in manifest.files]
    if lacking:
        raise EnsembleError(
            f"`{folder.name}` holds no {lacking[0]}: an earlier release wrote it, and did not say whom it was trained "
            "on. Move the folder away and repeat `prostate-alm train`: its members are kept, and it is written anew."
        )
    return Parcel(
        folder,
        manifest,
        sha256,
        OperatingPoints.from_json(sealed_bytes(folder, OPERATING_POINTS, manifest)),
        ValidationScores.from_json(sealed_bytes(folder, VALIDATION, manifest)),
        KnownStudies.from_json(sealed_bytes(folder, KNOWN_STUDIES, manifest)),
    )


def _scores(parcel: Parcel, datalist: Datalist, out: Path, options: EvaluationOptions) -> list[StudyScore]:
    """Scores of the test section, after it was held against what the ensemble has met."""
    entries = datalist.entries("test")
    scores = score_entries(
        parcel.folder, entries, sha256=parcel.sha256, kept=out / "scores", device=options.device,
        workers=options.workers,
    )  # fmt: skip
    parcel.known.refuse_overlap(known_studies(entries, scores, cohort=datalist.name))
    return scores


def _refuse_one_class(found: Evaluation) -> None:
    positives = int(found.scored.labels.sum())
    negatives = found.scored.labels.size - positives
    if min(positives, negatives) < FEWEST_TO_EVALUATE:
        raise CohortError(
            f"the test section has {positives} positives and {negatives} negatives with a score; at least "
            f"{FEWEST_TO_EVALUATE} of each are needed to say anything."
        )


def _pictures(ensemble: Path, found: Evaluation, failures: Sequence[Failure], device: str) -> Mapping[str, CasePicture]:
    """A picture of each failure with the occlusion overlays of both paths, by study."""
    if not failures:
        return {}
    loaded = load_ensemble(ensemble, expect_sha256=found.sha256, device=device)
    by_study: dict[str, Mapping[str, Any]] = {entry["study"]: entry for entry in found.entries}
    pictures: dict[str, CasePicture] = {}
    for failure in track(failures, description="drawing where it looked", console=Console(stderr=True)):
        image = loaded.prepare(LoadStudy()(by_study[failure.study])["study"]).image
        maps = occlusion_map(loaded, image)
        pictures[failure.study] = draw_case(image.numpy(), t2_map=maps.t2, diffusion_map=maps.diffusion)
    return pictures


def _write(out: Path, record: EvaluationRecord, found: Evaluation, *, pictures: Mapping[str, CasePicture]) -> None:
    """The files of an evaluation; each is there whole or not at all."""
    write_json(out / "metrics.json", record)
    write_json(out / "scores.json", found.rows())
    points = [one.point for one in record.fixed_thresholds]
    save_roc_figure(
        out / "roc.png", found.scored.logits, labels=found.scored.labels, points=points, title="Unseen patients"
    )
    write_report(out / "report.html", record, logits=found.scored.logits, labels=found.scored.labels, pictures=pictures)


def _print(record: EvaluationRecord, out: Path) -> None:
    patients, auc = record.patients, record.discrimination.auc
    table = Table(
        title=f"{patients.studies} unseen studies, {patients.positives} need DCE: AUC {auc.auc:.3f} "
        f"({auc.low:.3f} to {auc.high:.3f})"
    )
    for column in ("threshold fixed beforehand", "missed", "sensitivity", "spared DCE", "specificity", "failed safe"):
        table.add_column(column)
    for one in record.fixed_thresholds:
        counts = one.whole_decision.counts
        shares = [f"{share.value:.1%}" for share in (counts.sensitivity, counts.specificity) if share.value is not None]
        cells = (one.point.name, counts.missed, shares[0], counts.spared, shares[1], one.failed_safe)
        table.add_row(*(str(cell) for cell in cells))
    console = Console(stderr=True)
    console.print(table)
    oracle = ", ".join(f"{rate.value:.1%} at {rate.at}" for rate in record.discrimination.test_set_oracle[:2])
    console.print(f"FPR {oracle} (thresholds set on these very patients)")
    console.print(f"the report is {out / 'report.html'}")
