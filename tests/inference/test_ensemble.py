"""An ensemble loads whole and unchanged or not at all, and scores alike every time."""

import hashlib
import json
import os
import pickle

import pytest
import torch
import yaml

from prostate_alm.errors import ArgumentError, EnsembleError, Reason, StudyRefusedError
from prostate_alm.inference.backends import BACKENDS
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.members import TorchMembers, bias_of, members_of
from prostate_alm.networks.two_path import TwoPathNet
from prostate_alm.parcel import INFERENCE_CONFIG, MANIFEST, REFERENCE, WEIGHTS, read_manifest, sealed_bytes, sha256_of
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.study import Study


@pytest.fixture(scope="module")
def ensemble(shared_ensemble):
    return load_ensemble(shared_ensemble)


@pytest.fixture(scope="module")
def study(study_factory):
    return study_factory(1)


def reseal(folder):
    """Make the manifest fit the files again, as one would who forges a folder."""
    content = json.loads((folder / MANIFEST).read_text())
    content["files"] = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(content))


def test_logits_are_those_of_the_members_alone(ensemble, study, weights_factory):
    score = ensemble.score(study)
    image = Preprocessing("tiny")(study).image[None]
    for seed, logit in enumerate(score.member_logits):
        network = TwoPathNet(widths=[2, 4], depth_pools=1)
        network.load_state_dict(weights_factory(seed))
        with torch.inference_mode():
            assert logit == pytest.approx(float(network.eval()(image)), abs=1e-5)
    assert score.logit == pytest.approx(sum(score.member_logits) / 3, abs=1e-12)
    assert len(set(score.member_logits)) == 3
    assert score.quality


def test_the_same_study_gets_the_same_logits_whatever_the_threads(ensemble, study):
    first = ensemble.score(study).member_logits
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert ensemble.score(study).member_logits == first
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_identity_is_the_hash_of_the_manifest(ensemble, shared_ensemble):
    assert ensemble.sha256 == hashlib.sha256((shared_ensemble / MANIFEST).read_bytes()).hexdigest()
    assert ensemble.manifest.name == "small"
    assert b'"0-fn"' in ensemble.operating_points_json


def test_the_pinned_ensemble_loads_and_no_other(shared_ensemble, ensemble):
    load_ensemble(shared_ensemble, expect_sha256=ensemble.sha256.upper())
    with pytest.raises(EnsembleError, match="pinned"):
        load_ensemble(shared_ensemble, expect_sha256="0" * 64)


@pytest.mark.parametrize(
    "name", [WEIGHTS, INFERENCE_CONFIG, "operating_points.json", "docs/README.md", "configs/metadata.json", "LICENSE"]
)
def test_a_changed_file_is_refused(ensemble_folder, name):
    content = bytearray((ensemble_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (ensemble_folder / name).write_bytes(content)
    with pytest.raises(EnsembleError, match=name):
        load_ensemble(ensemble_folder)


def test_a_file_that_changes_after_it_was_verified_is_refused(ensemble_folder):
    manifest, _ = read_manifest(ensemble_folder)
    assert sealed_bytes(ensemble_folder, WEIGHTS, manifest) == (ensemble_folder / WEIGHTS).read_bytes()
    (ensemble_folder / WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(EnsembleError, match="changed while"):
        sealed_bytes(ensemble_folder, WEIGHTS, manifest)
    with pytest.raises(EnsembleError, match="holds no"):
        sealed_bytes(ensemble_folder, "configs/train.yaml", manifest)


def test_a_file_more_or_less_is_refused(ensemble_folder):
    (ensemble_folder / "scripts.py").write_text("print(1)")
    with pytest.raises(EnsembleError, match=r"scripts\.py"):
        load_ensemble(ensemble_folder)
    (ensemble_folder / "scripts.py").unlink()
    (ensemble_folder / "docs" / "README.md").unlink()
    with pytest.raises(EnsembleError, match=r"README\.md"):
        load_ensemble(ensemble_folder)


def test_a_folder_without_manifest_is_unfinished(ensemble_folder):
    (ensemble_folder / MANIFEST).unlink()
    with pytest.raises(EnsembleError, match="no finished ensemble"):
        load_ensemble(ensemble_folder)


def test_a_link_is_refused(ensemble_folder, tmp_path):
    (tmp_path / "other").write_text("x")
    (ensemble_folder / "docs" / "link").symlink_to(tmp_path / "other")
    with pytest.raises(EnsembleError, match="symbolic link"):
        load_ensemble(ensemble_folder)


class Payload:
    """Pickles into a call that leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_that_would_run_code_are_refused_and_run_nothing(ensemble_folder, tmp_path):
    (ensemble_folder / WEIGHTS).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    reseal(ensemble_folder)
    with pytest.raises(EnsembleError, match="weights"):
        load_ensemble(ensemble_folder)
    assert not (tmp_path / "ran").exists()


def test_a_config_that_would_run_code_is_refused_even_when_sealed(ensemble_folder):
    config = yaml.safe_load((ensemble_folder / INFERENCE_CONFIG).read_bytes())
    config["run"] = ["$__import__('os').system('x')"]
    (ensemble_folder / INFERENCE_CONFIG).write_text(yaml.safe_dump(config))
    reseal(ensemble_folder)
    with pytest.raises(EnsembleError, match="not allowed"):
        load_ensemble(ensemble_folder)


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "bytes", "list"])
def test_weights_of_another_network_are_refused(ensemble_folder, change):
    state = torch.load(ensemble_folder / WEIGHTS, weights_only=True)  # noqa: TID251 - a test of the file itself
    name = next(iter(state))
    match change:
        case "missing":
            del state[name]
        case "extra":
            state["more"] = state[name]
        case "shape":
            state[name] = state[name][:1]
        case "list":
            state = list(state.values())
    if change == "bytes":
        (ensemble_folder / WEIGHTS).write_bytes(b"no weights")
    else:
        torch.save(state, ensemble_folder / WEIGHTS)
    reseal(ensemble_folder)
    with pytest.raises(EnsembleError, match="weights"):
        load_ensemble(ensemble_folder)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("network_def", {"members": 2}, "2"),
        ("network_def", {"network": {"widths": [2, 4], "nonsense": 1}}, "network_def"),
        ("network_def", {"network": {"widths": []}}, "network_def"),
        ("study_to_image", {"profile": "huge"}, "study_to_image"),
        ("study_to_image", {"version": 0}, "release that trained"),
        ("study_to_image", {"box_mm": [41.0, 40.0, 24.0]}, "whole number"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(ensemble_folder, part, change, words):
    config = yaml.safe_load((ensemble_folder / INFERENCE_CONFIG).read_bytes())
    config[part] |= change
    (ensemble_folder / INFERENCE_CONFIG).write_text(yaml.safe_dump(config))
    reseal(ensemble_folder)
    with pytest.raises(EnsembleError, match=words):
        load_ensemble(ensemble_folder)


@pytest.mark.parametrize("device", ["gpu", "cuda:7", ""])
def test_an_unknown_device_lists_the_choices(shared_ensemble, device):
    with pytest.raises(ArgumentError, match="auto, cpu, cuda"):
        load_ensemble(shared_ensemble, device=device)


def test_a_study_without_high_b_is_refused(ensemble, study):
    low = Study(study.key, study.t2, {50.0: study.dwi[50.0]}, study.adc)
    with pytest.raises(StudyRefusedError) as refusal:
        ensemble.score(low)
    assert refusal.value.reason is Reason.HIGH_B_MISSING


def test_a_score_is_that_of_the_prepared_study(ensemble, study):
    prepared = ensemble.prepare(study)
    assert torch.equal(prepared.image, Preprocessing("tiny")(study).image)
    assert ensemble.score_prepared(prepared) == ensemble.score(study)


def test_weights_that_are_no_numbers_are_refused(tmp_path, ensemble_factory, weights_factory):
    weights = [weights_factory(seed) for seed in range(3)]
    weights[1] = {
        name: value * float("nan") if value.is_floating_point() else value for name, value in weights[1].items()
    }
    folder = ensemble_factory(tmp_path / "broken", weights=weights)
    for backend in BACKENDS:
        with pytest.raises(EnsembleError, match="golden phantoms differ"):
            load_ensemble(folder, backend=backend)


def test_golden_logits_of_another_machine_are_met_within_the_tolerance_or_not_at_all(ensemble_folder):
    ensemble = load_ensemble(ensemble_folder)
    assert ensemble.verify_golden() <= 1e-5
    path = ensemble_folder / REFERENCE
    stored = json.loads(path.read_text())
    for difference, fits in ((0.9e-4, True), (-1.1e-4, False)):
        changed = json.loads(path.read_text())
        changed["golden"][-1]["member_logits"][1] = stored["golden"][-1]["member_logits"][1] + difference
        path.write_text(json.dumps(changed))
        reseal(ensemble_folder)
        if fits:
            assert load_ensemble(ensemble_folder).verify_golden() == pytest.approx(0.9e-4, abs=1e-5)
        else:
            with pytest.raises(EnsembleError, match=r"differ from the stored ones by 1\.1e-04"):
                load_ensemble(ensemble_folder)


def test_a_phantom_of_another_release_is_refused(ensemble_folder):
    path = ensemble_folder / REFERENCE
    path.write_text(path.read_text().replace('"waves"', '"sand"'))
    reseal(ensemble_folder)
    with pytest.raises(EnsembleError, match="sand"):
        load_ensemble(ensemble_folder)


def test_an_ensemble_that_went_wrong_after_loading_is_found(shared_ensemble):
    ensemble = load_ensemble(shared_ensemble, backend="torch")
    assert isinstance(ensemble.members, TorchMembers)
    for member in members_of(ensemble.members.network):
        bias_of(member).data += 1e-3
    with pytest.raises(EnsembleError, match="now differ"):
        ensemble.verify_golden()
