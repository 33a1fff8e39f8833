"""A score outside the validated range does not pass, and a reference that does not fit loads no ensemble."""

import json
import math

import pytest
import torch

from prostate_alm.errors import EnsembleError, Reason
from prostate_alm.evaluation.reference import Reference
from prostate_alm.inference.believability import believability, read_reference
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.parcel import MANIFEST, REFERENCE
from prostate_alm.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def image(study_factory):
    return Preprocessing("tiny")(study_factory(1)).image


@pytest.fixture
def reference(shared_ensemble):
    return Reference.from_json((shared_ensemble / REFERENCE).read_bytes())


def limited(reference, *, spread=1e9, outlier=1e9):
    content = json.loads(reference.model_dump_json())
    content["spread"]["limit"], content["outlier"]["limit"]["limit"] = spread, outlier
    return Reference.from_json(json.dumps(content))


def test_within_both_limits_both_pass(reference, image):
    spread, outlier = believability(limited(reference), [1.0, 2.0, 3.0], image)
    assert (spread.reason, spread.value, spread.limit, spread.passed) == (Reason.MEMBERS_DISAGREE, 1.0, 1e9, True)
    assert (outlier.reason, outlier.limit, outlier.passed) == (Reason.OUT_OF_DISTRIBUTION, 1e9, True)
    assert 0 < outlier.value < math.inf


def test_the_limit_itself_is_within_and_what_is_beyond_is_not(reference, image):
    at, _ = believability(limited(reference, spread=1.0), [1.0, 2.0, 3.0], image)
    beyond, _ = believability(limited(reference, spread=1.0 - 1e-9), [1.0, 2.0, 3.0], image)
    assert (at.passed, beyond.passed) == (True, False)
    distance = believability(reference, [1.0], image)[1].value
    assert believability(limited(reference, outlier=distance), [1.0], image)[1].passed
    assert not believability(limited(reference, outlier=distance * (1 - 1e-9)), [1.0], image)[1].passed


@pytest.mark.parametrize("logits", [[math.nan, 1.0], [math.inf, 1.0], [math.nan], [-math.inf] * 3])
def test_logits_that_are_no_numbers_do_not_pass(reference, image, logits):
    assert not believability(limited(reference, spread=1e300), logits, image)[0].passed


def test_an_image_that_is_no_number_does_not_pass(reference, image):
    broken = image.clone()
    broken[1, 5, 5, 5] = math.nan
    assert not believability(limited(reference, outlier=1e300), [1.0], broken)[1].passed


def test_noise_is_further_away_than_a_patient(reference, study_factory):
    patient = Preprocessing("tiny")(study_factory(20)).image
    noise = torch.randn(patient.shape, generator=torch.Generator().manual_seed(0))
    near, far = (believability(reference, [1.0], one)[1].value for one in (patient, noise))
    assert far > 3 * near


def test_the_score_carries_both_gates(ensemble_factory, study_factory, tmp_path):
    folder = ensemble_factory(tmp_path / "strict", spread_limit=1e-9, outlier_limit=1e-9)
    gates = load_ensemble(folder).score(study_factory(1)).quality[-2:]
    assert [gate.reason for gate in gates] == [Reason.MEMBERS_DISAGREE, Reason.OUT_OF_DISTRIBUTION]
    assert not any(gate.passed for gate in gates)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["golden"][0]["member_logits"].pop(), "manifest names 3"),
        (lambda content: content["outlier"]["distance"]["features"].reverse(), "other features"),
        (lambda content: content.pop("spread"), "spread"),
    ],
)
def test_a_reference_of_something_else_is_refused(reference, change, words):
    content = json.loads(reference.model_dump_json())
    change(content)
    with pytest.raises(EnsembleError, match=words):
        read_reference(json.dumps(content).encode(), members=3)


def test_an_ensemble_without_its_reference_is_refused(ensemble_folder):
    (ensemble_folder / REFERENCE).unlink()
    manifest = json.loads((ensemble_folder / MANIFEST).read_text())
    del manifest["files"][REFERENCE]
    (ensemble_folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(EnsembleError, match=r"holds no `reference\.json`"):
        load_ensemble(ensemble_folder)


def test_a_reference_that_was_edited_is_refused(ensemble_folder):
    content = json.loads((ensemble_folder / REFERENCE).read_text())
    content["spread"]["limit"] = 1e12
    (ensemble_folder / REFERENCE).write_text(json.dumps(content))
    with pytest.raises(EnsembleError, match=r"reference\.json"):
        load_ensemble(ensemble_folder)
