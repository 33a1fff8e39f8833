"""The faster backend computes only where it was seen to compute the same; else torch does, and says why."""

import sys
from typing import Any

import pytest
import torch

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.reference import GoldenCase
from prostate_alm.inference import openvino_members
from prostate_alm.inference.backends import Choice, choose_members
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.members import PATHS, members_of
from prostate_alm.networks.ensemble import EnsembleNet


class Phantoms:
    """Images and what torch says of them."""

    def __init__(self, network: EnsembleNet) -> None:
        generator = torch.Generator().manual_seed(2)
        self.network = network.eval()
        self.images = {name: torch.randn((3, 24, 24, 8), generator=generator) for name in ("first", "second")}
        self.golden = [
            GoldenCase(case=name, member_logits=network.member_logits(image[None])[0].tolist())
            for name, image in self.images.items()
        ]

    def choose(self, backend: str, **changes: Any) -> Choice:
        known = {"device": torch.device("cpu"), "images": self.images, "golden": self.golden}
        return choose_members(self.network, backend=backend, **(known | changes))


@pytest.fixture(scope="module")
def phantoms():
    torch.manual_seed(1)
    return Phantoms(EnsembleNet(2, {"widths": [4, 8]}).eval())


def test_openvino_is_taken_where_it_is_exact(phantoms):
    choice = phantoms.choose("auto")
    assert (choice.members.backend, choice.note) == ("openvino", "")


def test_torch_is_taken_when_it_is_asked_for(phantoms):
    choice = phantoms.choose("torch")
    assert (choice.members.backend, choice.note) == ("torch", "")


def rounded(values):
    return openvino_members.ops.constant(values.detach().bfloat16().float().numpy())


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("_layer", lambda node, layer: node, "OpenVINO"),
        ("_constant", rounded, "differ by"),
        ("EXACT", {"NO_SUCH_PROPERTY": "x"}, "could not compute"),
    ],
    ids=["layers left out", "weights rounded to bfloat16", "a property that this OpenVINO does not know"],
)
def test_a_wrong_openvino_gives_way_to_torch(phantoms, monkeypatch, attribute, value, words):
    monkeypatch.setattr(openvino_members, attribute, value)
    choice = phantoms.choose("auto")
    assert choice.members.backend == "torch"
    assert words in choice.note
    with pytest.raises(EnsembleError, match=words):
        phantoms.choose("openvino")


def test_an_openvino_that_is_not_installed_gives_way_to_torch(phantoms, monkeypatch):
    monkeypatch.setitem(sys.modules, "prostate_alm.inference.openvino_members", None)
    choice = phantoms.choose("auto")
    assert choice.members.backend == "torch"
    assert "not installed" in choice.note
    with pytest.raises(ArgumentError, match="not installed"):
        phantoms.choose("openvino")


def test_a_layer_that_openvino_lacks_gives_way_to_torch():
    network = EnsembleNet(1, {"widths": [4]})
    members_of(network)[0].t2_path.append(torch.nn.Softplus())
    choice = Phantoms(network.eval()).choose("auto")
    assert choice.members.backend == "torch"
    assert "Softplus" in choice.note


@pytest.mark.parametrize("backend", ["auto", "torch", "openvino"])
def test_without_the_golden_logits_no_backend_is_believed(phantoms, backend):
    first, second = phantoms.golden
    other = second.model_copy(update={"member_logits": [logit + 2e-4 for logit in second.member_logits]})
    with pytest.raises(EnsembleError, match="train"):
        phantoms.choose(backend, golden=[first, other])


def test_an_unknown_backend_lists_the_choices(shared_ensemble):
    with pytest.raises(ArgumentError, match="auto, torch, openvino"):
        load_ensemble(shared_ensemble, backend="onnx")


def test_backends_score_a_study_alike(shared_ensemble, study_factory):
    by_torch, by_openvino = (load_ensemble(shared_ensemble, backend=name) for name in ("torch", "openvino"))
    assert (by_torch.backend, by_openvino.backend) == ("torch", "openvino")
    for seed in range(3):
        study = study_factory(seed, positive=bool(seed % 2))
        expected = by_torch.score(study)
        assert by_openvino.score(study).member_logits == pytest.approx(expected.member_logits, abs=1e-5)
        image = by_torch.prepare(study).image
        for path in PATHS:
            assert by_openvino.path_share(path, image) == pytest.approx(by_torch.path_share(path, image), abs=1e-5)
