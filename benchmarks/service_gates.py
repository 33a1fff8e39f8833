"""What all gates of a decision together cost on clean studies, and what they catch.

    python benchmarks/service_gates.py --work DIR --workers 2

A real ensemble (tiny profile, 3 members, as in `make demo` but of the `default` preset) is trained on 120 synthetic
patients. Unseen patients of the same preset are scored, and decided on at each operating point; "clean" are those
without an artefact. Then clean studies are damaged in ways that a hospital could send them. `DIR` is kept; a second
run resumes the training.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.commands.train import train
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.datasets.synthetic.presets import PatientPlan, draw_truth
from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.evaluation.intervals import proportion_interval
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.inference.ensemble import Ensemble, load_ensemble
from prostate_alm.parcel import read_manifest
from prostate_alm.preprocessing.adc_scale import in_adc_units
from prostate_alm.report.triage import Basis, Evidence, ModelIdentity, Recommendation, decide
from prostate_alm.study import Study, Volume
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.ensemble import EnsembleRun

PREVALENCE, PRESET = 0.36, "default"
TRAINING_SEED, UNSEEN_SEED = 7, 99
MEMBERS, EPOCHS = 3, 16
Row = dict[str, Any]
Change = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.floating]]


def trained_ensemble(work: Path, *, patients: int, workers: int) -> Path:
    """Synthesize the cohort and train; what is there already is kept."""
    plan = CohortPlan(patients, 0, TRAINING_SEED, PREVALENCE, PRESET, "nifti")
    datalist = synthesize_cohort(work / "cohort", plan, workers=workers).absolute()
    settings = {"profile": "tiny", "max_epochs": EPOCHS}
    out = (work / "training").absolute()
    return train(
        EnsembleRun(find_bundle("prostate_dce"), datalist, out, MEMBERS, MEMBERS, TRAINING_SEED, settings),
        workers=workers,
    )


def unseen(number: int) -> list[PatientPlan]:
    """The first patients of the unseen cohort."""
    return [PatientPlan(UNSEEN_SEED, "training", index, PREVALENCE, PRESET) for index in range(number)]


@cache
def loaded(folder: Path) -> Ensemble:
    """The ensemble, once a process."""
    return load_ensemble(folder, device="cpu", backend="torch")


def decisions(ensemble: Ensemble, study: Study) -> dict[str, tuple[str, list[str]]]:
    """Recommendation with its basis, and reasons, by operating point."""
    manifest = ensemble.manifest
    model = ModelIdentity(
        name=manifest.name, version=manifest.version, sha256=ensemble.sha256, members=manifest.members
    )
    evidence = Evidence(complete=True, accepted_for=ensemble.sha256)
    try:
        score = ensemble.score(in_adc_units(study))
        evidence = replace(evidence, member_logits=score.member_logits, quality=score.quality)
    except StudyRefusedError as refusal:
        evidence = replace(evidence, failures=(refusal.reason,))
    found: dict[str, tuple[str, list[str]]] = {}
    for point in OperatingPoints.from_json(ensemble.operating_points_json).points:
        answer = decide("study", evidence, operating_point=point, model=model)
        said = "not needed" if answer.recommendation is Recommendation.DCE_NOT_NEEDED else str(answer.basis)
        found[point.name] = said, [str(reason) for reason in answer.reasons]
    return found


def decide_patient(folder: Path, plan: PatientPlan) -> Row:
    """One unseen patient as he came."""
    study, truth = synthesize_study(plan)
    return {"label": truth.label, "clean": not truth.artefact, "decisions": decisions(loaded(folder), study)}


def decide_damaged(folder: Path, plan: PatientPlan) -> dict[str, dict[str, tuple[str, list[str]]]]:
    """One unseen patient, damaged in every way."""
    study, _ = synthesize_study(plan)
    other, _ = synthesize_study(replace(plan, number=plan.number + 10_000))
    rng = np.random.default_rng(plan.number)
    return {name: decisions(loaded(folder), made) for name, made in damaged(study, other, rng).items()}


def damaged(study: Study, other: Study, rng: np.random.Generator) -> dict[str, Study]:
    """The study as a hospital could send it wrongly, by what is wrong."""
    low, high = min(study.dwi), max(study.dwi)

    def dwi(change: Change) -> dict[float, Volume]:
        return {b: changed(volume, change, rng) for b, volume in study.dwi.items()}

    def everywhere(change: Change) -> Study:
        t2, adc = (changed(volume, change, rng) for volume in (study.t2, study.adc))
        return replace(study, t2=t2, dwi=dwi(change), adc=adc)

    def only(role: str, change: Change) -> Study:
        return replace(study, **{role: changed(getattr(study, role), change, rng)})

    return {
        "nothing": study,
        "lowest b-value taken for the highest": replace(study, dwi={high: study.dwi[low]}),
        "b-values interchanged": replace(study, dwi={low: study.dwi[high], high: study.dwi[low]}),
        "T2 in the place of DWI": replace(study, dwi={high: study.t2}),
        "DWI in the place of T2": replace(study, t2=study.dwi[high]),
        "diffusion of another patient": replace(study, dwi=other.dwi, adc=other.adc),
        "T2 inverted": only("t2", inverted),
        "DWI inverted": replace(study, dwi=dwi(inverted)),
        "ADC x 0.7": only("adc", partial(scaled, factor=0.7)),
        "ADC x 1.5": only("adc", partial(scaled, factor=1.5)),
        "noise added": replace(only("t2", noisy), dwi=dwi(noisy)),
        "noise alone": everywhere(replaced_by_noise),
        "blurred by 6 mm": everywhere(blurred),
        "feet for head": everywhere(lambda data, _: data[:, :, ::-1]),
        "front for back": everywhere(lambda data, _: data[:, ::-1]),
        "left for right": everywhere(lambda data, _: data[::-1]),
        "box 30 mm too far to the front": everywhere(lambda data, _: np.roll(data, data.shape[1] // 6, axis=1)),
    }


def changed(volume: Volume, change: Change, rng: np.random.Generator) -> Volume:
    """The volume with other values."""
    return Volume(np.ascontiguousarray(change(volume.data, rng), dtype=np.float32), volume.geometry)


def inverted(data: NDArray[np.float32], _: np.random.Generator) -> NDArray[np.floating]:
    """Dark for bright."""
    return data.max() - data


def scaled(data: NDArray[np.float32], _: np.random.Generator, *, factor: float) -> NDArray[np.floating]:
    """Another unit."""
    return data * factor


def noisy(data: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.floating]:
    """A poor coil: noise of 30 % of the deviation of all values."""
    return np.abs(data + 0.3 * data.std() * rng.standard_normal(data.shape))


def replaced_by_noise(data: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.floating]:
    """No patient: noise of the same mean and deviation."""
    return np.abs(data.mean() + data.std() * rng.standard_normal(data.shape))


def blurred(data: NDArray[np.float32], _: np.random.Generator) -> NDArray[np.floating]:
    """Voxels of some 6 mm in the plane, whatever their size says."""
    return gaussian_filter(data, (3.0, 3.0, 0.0))


def summary(rows: Sequence[Row], point: str) -> Row:
    """Shares of one group of patients at one operating point."""
    said = [row["decisions"][point][0] for row in rows]
    negatives = [what for what, row in zip(said, rows, strict=True) if row["label"] == 0]
    failsafe = said.count(str(Basis.FAILSAFE))
    positive = len(negatives) - negatives.count("not needed")
    reasons = Counter(reason for row in rows for reason in row["decisions"][point][1])
    return {
        "patients": len(rows),
        "failsafe": failsafe,
        "failsafe_share": share(failsafe, len(rows)),
        "failsafe_share_95": interval(failsafe, len(rows)),
        "reasons": dict(sorted(reasons.items())),
        "negatives": len(negatives),
        "fpr_of_the_decision": share(positive, len(negatives)),
        "fpr_of_the_decision_95": interval(positive, len(negatives)),
        "fpr_of_the_model_alone": share(negatives.count(str(Basis.MODEL)), len(negatives)),
        "positives": len(rows) - len(negatives),
        "positives_missed": said.count("not needed") - negatives.count("not needed"),
    }


def share(count: int, total: int) -> float:
    """Rounded for the record."""
    return round(count / max(total, 1), 4)


def interval(count: int, total: int) -> list[float]:
    """Clopper-Pearson, 95 %."""
    return [round(bound, 4) for bound in proportion_interval(count, total)]


def damage_summary(found: Sequence[dict[str, dict[str, tuple[str, list[str]]]]], point: str) -> dict[str, Row]:
    """Shares caught by each damage at one operating point."""
    table: dict[str, Row] = {}
    for name in found[0]:
        answers = [row[name][point] for row in found]
        table[name] = {
            "studies": len(answers),
            "out_of_distribution": share(
                sum(Reason.OUT_OF_DISTRIBUTION in reasons for _, reasons in answers), len(answers)
            ),
            "failsafe": share(sum(said == Basis.FAILSAFE for said, _ in answers), len(answers)),
            "not_needed": share(sum(said == "not needed" for said, _ in answers), len(answers)),
        }
    return table


def main() -> None:
    """Train, decide, damage, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=120, help="to train on")
    parser.add_argument("--unseen", type=int, default=670, help="of whom some 3 in 4 are clean")
    parser.add_argument("--damaged", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/service_gates.json"))
    options = parser.parse_args()
    began = commit()
    folder = trained_ensemble(options.work, patients=options.patients, workers=options.workers)
    plans = unseen(options.unseen)
    rows = in_processes(partial(decide_patient, folder), plans, workers=options.workers, title="unseen patients")
    clean_negatives = [plan for plan in plans if not (truth := draw_truth(plan)).artefact and truth.label == 0]
    spoilt = in_processes(
        partial(decide_damaged, folder), clean_negatives[: options.damaged], workers=options.workers, title="damaged"
    )
    ensemble = loaded(folder)
    points = OperatingPoints.from_json(ensemble.operating_points_json).names
    reference = ensemble.reference
    result = {
        "command": f"python benchmarks/service_gates.py --work DIR --patients {options.patients} "
        f"--unseen {options.unseen} --damaged {options.damaged}",
        "commit": began,
        "machine": machine(),
        "seeds": {"training": TRAINING_SEED, "unseen": UNSEEN_SEED, "members": read_manifest(folder)[0].seeds},
        "ensemble": {"members": MEMBERS, "epochs": EPOCHS, "profile": "tiny", "preset": PRESET},
        "limits": {
            "spread": reference.spread.model_dump(),
            "outlier": reference.outlier.limit.model_dump(),
            "validated_patients": reference.patients,
        },
        "clean": {point: summary([row for row in rows if row["clean"]], point) for point in points},
        "all": {point: summary(rows, point) for point in points},
        "damaged": damage_summary(spoilt, points[-1]),
        "damaged_at": points[-1],
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: result[name] for name in ("limits", "clean", "damaged")}, indent=2))


if __name__ == "__main__":
    main()
