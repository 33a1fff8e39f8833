"""What training writes of the validated patients is true of them, and of them alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.outliers import fit_distance
from prostate_alm.evaluation.reference import GoldenCase
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.image_features import IMAGE_FEATURES, image_features
from prostate_alm.preprocessing.phantoms import golden_images, golden_studies
from prostate_alm.study import QUALITY_GATES
from prostate_alm.training.data import CachedDataset
from prostate_alm.training.reference import Validated, golden_cases, make_reference, validated

GOLDEN = [GoldenCase(case="waves", member_logits=[0.0, 0.0])]
P, G = len(IMAGE_FEATURES), len(QUALITY_GATES)


def patients(number: int, *, members: int = 2, seed: int = 0, at: float = 0.0) -> Validated:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((members, number))
    return Validated(
        patients=[f"p{seed}-{index}" for index in range(number)],
        features=rng.standard_normal((number, P)) + at,
        quality=rng.random((number, G)),
        member_logits=logits,
        logits=logits.mean(axis=0),
    )


def test_without_calibration_every_patient_is_left_out_in_turn() -> None:
    trained = patients(30)
    reference = make_reference(trained, None, golden=GOLDEN)
    fitted = fit_distance(trained.features, IMAGE_FEATURES)
    assert reference.outlier.distance == fitted
    assert reference.outlier.limit.limit > max(fitted.of(row) for row in trained.features)
    assert (reference.evidence, reference.patients) == ("out-of-fold", 30)


def test_with_calibration_the_limits_are_those_of_its_patients() -> None:
    trained, untouched = patients(30), patients(12, seed=1, at=0.5)
    reference = make_reference(trained, untouched, golden=GOLDEN)
    fitted = fit_distance(trained.features, IMAGE_FEATURES)
    assert reference.outlier.distance == fitted
    assert reference.outlier.limit.limit == max(fitted.of(row) for row in untouched.features)
    spreads = np.abs(untouched.member_logits[0] - untouched.member_logits[1]) / np.sqrt(2)
    assert reference.spread.limit == pytest.approx(spreads.max())
    assert reference.spread.patients == 12
    assert reference.logit_quantiles[-1] == untouched.logits.max()
    assert reference.quality[3].quantiles is not None
    assert reference.quality[3].quantiles[0] == untouched.quality[:, 3].min()
    assert [gate.reason for gate in reference.quality] == list(QUALITY_GATES)
    assert (reference.evidence, reference.patients) == ("calibration", 12)


def test_a_gate_that_could_be_measured_of_nobody_has_no_quantiles() -> None:
    trained = patients(5)
    trained.quality[:, 2] = np.nan
    assert make_reference(trained, None, golden=GOLDEN).quality[2].quantiles is None


def dataset(place: Path, passed: list[bool]) -> CachedDataset:
    """Entries whose image is noise, and who pass the gates or not."""

    def prepare(entry: dict[str, Any]) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(int(entry["index"]))
        quality = torch.full((G,), float(entry["index"]), dtype=torch.float64)
        return {**entry, "image": torch.randn(3, 8, 8, 6, generator=generator), "quality": quality}

    entries = [{"index": n, "patient": f"p{n}", "passed": each} for n, each in enumerate(passed)]
    return CachedDataset(entries, [Prepare(prepare)], cache_dir=str(place))


class Prepare:
    """A step whose arguments are none, so that it has a place in the cache."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def __call__(self, entry: dict[str, Any]) -> dict[str, Any]:
        return self.step(entry)

    def __reduce__(self) -> tuple[type, tuple[None]]:
        return Prepare, (None,)


def test_who_fails_a_gate_is_not_among_the_validated(tmp_path: Path) -> None:
    data = dataset(tmp_path, [True, False, True, True, False])
    logits = np.arange(10.0).reshape(2, 5)
    found = validated(data, logits, logits.mean(axis=0))
    assert found.patients == ["p0", "p2", "p3"]
    assert found.quality[:, 0].tolist() == [0.0, 2.0, 3.0]
    assert found.member_logits.tolist() == [[0.0, 2.0, 3.0], [5.0, 7.0, 8.0]]
    assert found.logits.tolist() == [2.5, 4.5, 5.5]
    assert np.array_equal(found.features[1], image_features(data[2]["image"]))


def test_too_few_validated_patients_are_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [True, False, True, False])
    with pytest.raises(TrainingError, match="2 of 4 studies pass"):
        validated(data, np.zeros((2, 4)), np.zeros(4))


def test_golden_logits_are_those_of_each_member() -> None:
    torch.manual_seed(0)
    network = EnsembleNet(members=2, network={"widths": [2, 4], "dropout": 0.9})
    images = golden_images(Preprocessing("tiny"))
    cases = {case.case: case.member_logits for case in golden_cases(network.train(), images)}
    assert cases.keys() == golden_studies().keys()
    for name, image in images.items():
        with torch.inference_mode():
            alone = [float(member.eval()(image[None])) for member in network.members]
        assert cases[name] == pytest.approx(alone, abs=1e-5)
