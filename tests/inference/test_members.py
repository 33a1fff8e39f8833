"""Both backends give the same logits, each path's share moves alone, and OpenVINO tells nobody that it is used."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.inference.members import PATHS, Members, TorchMembers, bias_of, members_of
from prostate_alm.inference.openvino_members import OpenVINOMembers
from prostate_alm.networks.ensemble import EnsembleNet

SHAPE = (3, 32, 24, 12)
FORMS = [
    {},
    {"normalise": False, "dropout": 0.0},
    {"widths": [5, 3], "t2_pool": [2, 2, 1], "diffusion_pool": [1, 2, 3]},
    {"widths": [6], "depth_pools": 0, "t2_channels": [2, 0], "diffusion_channels": [1]},
]


def trained(**form: object) -> EnsembleNet:
    """Two members whose normalisation has seen data, so that no layer is the identity; one scale is negative."""
    torch.manual_seed(3)
    network = EnsembleNet(2, {"widths": [4, 8, 8]} | form)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(layer.running_var, 0.3, 2.0)  # pyright: ignore[reportArgumentType]
    return network.eval()


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [scale * torch.randn(SHAPE, generator=generator) for scale in (0.0, 1.0, 30.0)]


def on(network: EnsembleNet) -> dict[str, Members]:
    """Every backend."""
    return {"torch": TorchMembers(network, torch.device("cpu")), "openvino": OpenVINOMembers(network, SHAPE)}


@pytest.fixture(params=FORMS, ids=str)
def network(request):
    return trained(**request.param)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_backend_gives_the_members_logits_and_the_shares_of_their_paths(network, backend):
    members = on(network)[backend]
    bias = torch.stack([bias_of(member) for member in members_of(network)])
    for image in images():
        with torch.inference_mode():
            expected = network.member_logits(image[None])[0]
        assert members.logits(image).shape == (2,)
        assert torch.allclose(members.logits(image), expected, rtol=1e-5, atol=1e-5)
        shares = {path: members.path_share(path, image) for path in PATHS}
        assert torch.allclose(sum(shares.values()) + bias, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_a_share_depends_on_the_channels_of_its_path_alone(path):
    network = trained()
    other = {"t2": [1, 2], "diffusion": [0]}[path]
    for members in on(network).values():
        image = images()[1]
        share = members.path_share(path, image)
        image[other] = 7.0
        assert torch.equal(members.path_share(path, image), share)
        image += 1.0
        assert not torch.equal(members.path_share(path, image), share)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_image_that_is_not_finite_gets_no_finite_logit(value):
    network = trained(normalise=False)  # its OpenVINO graph, left alone, answers NaN with finite logits
    for members in on(network).values():
        image = images()[1]
        image[:, 10, 10, 5] = value
        assert not torch.isfinite(members.logits(image)).any()


def test_a_layer_without_an_operator_is_refused():
    network = trained()
    members_of(network)[0].t2_path.append(nn.Softplus())
    with pytest.raises(ArgumentError, match="Softplus"):
        OpenVINOMembers(network, SHAPE)


def test_openvino_reports_its_use_to_nobody(tmp_path):
    code = (
        "import sys, prostate_alm.inference.openvino_members\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]])"
    )
    environment = {**os.environ, "HOME": str(tmp_path)} | {"CI": ""}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []  # nor does it leave an identifier for later
