"""Members become an ensemble: scored out of fold, sealed, whole or absent, and never of another run."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from monai.bundle.scripts import verify_net_in_out
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import ArgumentError, CohortError, EnsembleError, TrainingError
from prostate_alm.evaluation.known_studies import KnownStudies, KnownStudy
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.operating_rules import parse_rules
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.networks.weights import load_weights
from prostate_alm.parcel import KNOWN_STUDIES, OPERATING_POINTS, VALIDATION, WEIGHTS, read_manifest
from prostate_alm.preprocessing.phantoms import golden_studies
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.training.assembly import assemble, check_rules
from prostate_alm.training.backends import LocalBackend
from prostate_alm.training.ensemble import EnsembleRun, MemberProgress, train_members
from prostate_alm.training.scoring import MemberScores, TrainedMember

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
SETTINGS: dict[str, Any] = {
    "profile": "tiny",
    "max_epochs": 2,
    "batch_size": 4,
    "network_def#widths": [4, 4],
    "device": "$torch.device('cpu')",
}
NOT_SETTINGS = ("config_file", "meta_file", "logging_file", "bundle_root", "output_dir")


def make_run(cohort: Path, out: Path, **changes: Any) -> EnsembleRun:
    return EnsembleRun(BUNDLE, cohort, out, **({"members": 2, "folds": 2, "settings": SETTINGS} | changes))


def train(run: EnsembleRun, on_progress: Callable[[MemberProgress], None] = lambda step: None) -> None:
    run.claim()
    backend = LocalBackend(workers=2)
    try:
        train_members(run, backend, on_progress=on_progress)
    finally:
        backend.close()


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> EnsembleRun:
    """Two members, interrupted once on the way."""
    run = make_run(cohort, tmp_path_factory.mktemp("run"))

    def interrupt(step: MemberProgress) -> None:
        if step.epoch >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, interrupt)
    steps: list[MemberProgress] = []
    train(run, steps.append)
    assert {(step.member, step.epoch) for step in steps if step.done} == {(0, 2), (1, 2)}
    return run


def copy_of(run: EnsembleRun, place: Path) -> EnsembleRun:
    """The finished members in a folder of their own, without an ensemble."""
    shutil.copytree(run.out / "members", place / "members")
    return dataclasses.replace(run, out=place)


def test_the_ensemble_is_sealed_and_scored_out_of_fold(trained: EnsembleRun, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path)
    folder = assemble(run)
    manifest, _ = read_manifest(folder)
    assert manifest.members == 2
    assert manifest.training["profile"] == "tiny"
    assert manifest.training["mu"] == pytest.approx(0.01)
    rows = json.loads((run.out / "out_of_fold.json").read_text())
    assert [row["index"] for row in rows] == list(range(18))
    positives = sorted(row["logit"] for row in rows if row["label"] == 1)
    points = OperatingPoints.from_json((folder / OPERATING_POINTS).read_bytes()).points
    assert [point.threshold for point in points] == pytest.approx(positives[:3])
    assert {point.status for point in points} == {"approximate"}
    card = (folder / "docs" / "README.md").read_text()
    assert "0 of 6" in card
    assert "binary cross-entropy under the ranking constraint" in card
    assert "Set on 18 training patients" in card


def test_the_parcel_knows_whom_it_met_and_what_it_said(trained: EnsembleRun, cohort: Path, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path)
    folder = assemble(run)
    known = KnownStudies.from_json((folder / KNOWN_STUDIES).read_bytes())
    content = read_datalist(cohort)
    studies = {
        split: [
            KnownStudy.of(LoadStudy()(entry)["content"], cohort="built", patient=entry["patient"])
            for entry in content.entries(split)
        ]
        for split in ("training", "test")
    }
    assert sorted(known.training, key=str) == sorted(studies["training"], key=str)
    known.refuse_overlap(studies["test"])
    with pytest.raises(CohortError, match="1 of 7 studies have the same images"):
        known.refuse_overlap([*studies["test"], studies["training"][4]])
    validation = ValidationScores.from_json((folder / VALIDATION).read_bytes())
    rows = json.loads((run.out / "out_of_fold.json").read_text())
    assert validation.evidence == "out-of-fold"
    said = sorted((row["logit"], row["label"]) for row in rows)
    assert [(score.logit, score.label) for score in validation.scores] == said


def test_operating_points_are_those_asked_for_or_refused(trained: EnsembleRun, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path)
    rules = parse_rules(["1-fn", "conformal=0.2", "sensitivity=0.5@0.9"])
    folder = assemble(run, rules=rules)
    points = OperatingPoints.from_json((folder / OPERATING_POINTS).read_bytes()).points
    assert [(point.name, point.false_negatives) for point in points] == [
        ("1-fn", 1),
        ("conformal-20", 0),
        ("sensitivity-50-at-90", 0),  # Beta(1, 6) and not Beta(2, 5) lies below 0.5 with 90 %
    ]
    card = (folder / "docs" / "README.md").read_text()
    assert all(point.assumptions in card for point in points)
    assert assemble(run, rules=rules) == folder
    with pytest.raises(TrainingError, match="never edited"):
        assemble(run, rules=parse_rules(["conformal=0.3"]))
    with pytest.raises(ArgumentError, match="at least 59 positives, got 6"):
        check_rules(run, calibration=None, rules=parse_rules(["sensitivity=0.95@0.95"]))


def test_the_reference_holds_the_training_patients_and_the_golden_logits(trained: EnsembleRun, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path)
    ensemble = load_ensemble(assemble(run), device="cpu")
    reference = ensemble.reference
    assert (reference.evidence, reference.patients) == ("out-of-fold", 18)
    logits = [row["logit"] for row in json.loads((run.out / "out_of_fold.json").read_text())]
    assert (reference.logit_quantiles[0], reference.logit_quantiles[-1]) == pytest.approx((min(logits), max(logits)))
    for case in reference.golden:
        assert ensemble.score(golden_studies()[case.case]).member_logits == pytest.approx(case.member_logits, abs=1e-4)
    entries = read_datalist(trained.datalist).entries("training")
    gates = [ensemble.score(LoadStudy()(entry)["study"]).quality for entry in entries[:6]]
    assert all(gate[-1].passed and gate[-2].passed for gate in gates)
    saturated = [finding.value for finding in gates[0]][11]
    quantiles = reference.quality[11].quantiles
    assert quantiles is not None
    assert quantiles[0] <= saturated <= quantiles[-1]


def test_out_of_fold_scores_come_from_the_member_that_did_not_train_on_the_patient(trained: EnsembleRun) -> None:
    members = [TrainedMember(trained, member) for member in range(2)]
    validated = [{int(entry["index"]) for entry in member.validation.data} for member in members]
    assert validated[0].isdisjoint(validated[1])
    rows = {row["index"]: row["logit"] for row in _oof(trained)}
    entries = read_datalist(trained.datalist).entries("training")
    for member, indices in zip(members, validated, strict=True):
        entry = next(entry for entry in entries if entry["index"] in indices)
        assert member.score(member.dataset([entry]))[entry["index"]] == pytest.approx(rows[entry["index"]], abs=1e-5)


def _oof(run: EnsembleRun) -> list[dict[str, Any]]:
    assemble(run)
    return json.loads((run.out / "out_of_fold.json").read_text())


def test_the_parcel_holds_the_members_best_weights(trained: EnsembleRun, tmp_path: Path) -> None:
    folder = assemble(copy_of(trained, tmp_path))
    ensemble = EnsembleNet(members=2, network={"widths": [4, 4]})
    ensemble.load_state_dict(load_weights(folder / WEIGHTS))
    for member, network in enumerate(ensemble.members):
        best = load_weights(trained.folder(member) / "model.pt")
        assert all(torch.equal(best[name], value) for name, value in network.state_dict().items())


def test_the_parcel_is_a_monai_bundle_that_scores_as_the_service_does(
    trained: EnsembleRun, cohort: Path, tmp_path: Path
) -> None:
    folder = assemble(copy_of(trained, tmp_path))
    configs = folder / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.yaml"),
        device="cpu",
    )
    workflow = ConfigWorkflow(
        config_file=str(configs / "inference.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(folder),
        dataset_dir=str(cohort.parent),
        output_dir=str(tmp_path / "eval"),
        device="$torch.device('cpu')",
    )
    workflow.initialize()
    assert not workflow.check_properties()
    workflow.run()
    ensemble = load_ensemble(folder, device="cpu")
    entries = read_datalist(cohort).entries("test")
    expected = {entry["study"]: ensemble.score(LoadStudy()(entry)["study"]).logit for entry in entries}
    rows = [line.split(",") for line in (tmp_path / "eval" / "logits.csv").read_text().splitlines()]
    assert {study: float(logit) for study, logit in rows} == pytest.approx(expected, abs=1e-5)


def test_an_untouched_calibration_set_earns_guaranteed(trained: EnsembleRun, cohort: Path, tmp_path: Path) -> None:
    content = json.loads(cohort.read_text())
    fresh = [
        {**entry, "index": i, "study": f"c{i}", "patient": f"c{i}"}
        | {name: str(cohort.parent / entry[name]) for name in ("t2", "dwi", "adc")}
        for i, entry in enumerate(content["test"])
    ]
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"schema_version": 1, "name": "calibration", "training": [], "test": fresh}))
    folder = assemble(copy_of(trained, tmp_path / "run"), calibration=path)
    points = OperatingPoints.from_json((folder / OPERATING_POINTS).read_bytes()).points
    assert [(point.status, point.positives) for point in points] == [("guaranteed", 2), ("guaranteed", 2)]
    rows = json.loads((tmp_path / "run" / "calibration.json").read_text())
    members = [TrainedMember(trained, m) for m in range(2)]
    entries = read_datalist(path).entries("test")
    logits = [member.score(member.dataset(entries)) for member in members]
    assert rows[0]["logit"] == pytest.approx(float(np.mean([scores[0] for scores in logits])), abs=1e-6)
    reference = load_ensemble(folder, device="cpu").reference
    assert (reference.evidence, reference.patients, reference.spread.patients) == ("calibration", 6, 6)
    spreads = [float(np.std([scores[i] for scores in logits], ddof=1)) for i in range(6)]
    assert reference.spread.limit == pytest.approx(max(spreads), abs=1e-6)
    assert "6 calibration patients" in (folder / "docs" / "README.md").read_text()


def test_a_calibration_set_that_was_touched_is_refused(trained: EnsembleRun, cohort: Path, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path / "run")
    with pytest.raises(CohortError, match="untouched"):
        assemble(run, calibration=cohort)
    assert not (run.out / "ensemble").exists()


def test_a_failure_half_way_leaves_nothing_that_looks_whole(trained: EnsembleRun, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("runs", "eval"))
    (bundle / "configs" / "inference.yaml").unlink()
    run = dataclasses.replace(copy_of(trained, tmp_path / "run"), bundle=bundle)
    with pytest.raises(FileNotFoundError):
        assemble(run)
    assert not (run.out / "ensemble").exists()
    for folder in run.out.glob(".*building"):
        with pytest.raises(EnsembleError):
            read_manifest(folder)
    shutil.copy(BUNDLE / "configs" / "inference.yaml", bundle / "configs")
    read_manifest(assemble(run))


def test_a_run_with_other_arguments_is_refused(trained: EnsembleRun) -> None:
    with pytest.raises(TrainingError, match="other arguments"):
        dataclasses.replace(trained, seed=9).claim()


def test_a_member_that_fails_says_where_and_how(cohort: Path, tmp_path: Path) -> None:
    run = make_run(cohort, tmp_path, settings=SETTINGS | {"network_def#widths": []})
    with pytest.raises(TrainingError, match="`widths` must each name"):
        train(run)


def test_a_member_of_ldam_has_cosines_and_its_parcel_says_so_without_code(
    member_workflow: Callable[..., ConfigWorkflow], cohort: Path, tmp_path: Path
) -> None:
    run = make_run(cohort, tmp_path, settings=SETTINGS | {"loss_name": "ldam", "max_epochs": 1})
    for member in range(2):
        workflow = member_workflow(
            run.folder(member), **{k: v for k, v in run.arguments(member).items() if k not in NOT_SETTINGS}
        )
        workflow.run()
        workflow.finalize()
    folder = assemble(run)
    config = yaml.safe_load((folder / "configs" / "inference.yaml").read_text())
    assert config["network_def"]["network"]["cosines"] is True
    assert "loss_name" not in config
    network = load_ensemble(folder, device="cpu").manifest
    assert network.training["loss_name"] == "ldam"
    assert "label-distribution-aware margin loss" in (folder / "docs" / "README.md").read_text()


def test_a_patient_scored_too_often_or_not_at_all_is_no_evidence() -> None:
    entries = [{"index": 5, "label": 1}, {"index": 2, "label": 0}]
    logits = np.array([[1.0, 2.0], [3.0, 4.0]])
    scores = MemberScores(entries, logits, np.array([[True, False], [False, True]]), times=1).scores
    assert (scores.index.tolist(), scores.logits.tolist(), scores.labels.tolist()) == ([2, 5], [4.0, 1.0], [0, 1])
    for unseen in ([[True, True], [False, True]], [[False, False], [False, True]]):
        with pytest.raises(TrainingError, match="expected 1 out-of-fold"):
            MemberScores(entries, logits, np.array(unseen), times=1)


@pytest.mark.parametrize(("members", "folds"), [(3, 2), (1, 1), (2, 3)])
def test_each_patient_is_scored_equally_often_or_not_at_all(members: int, folds: int, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="multiple"):
        make_run(tmp_path, tmp_path, members=members, folds=folds)
