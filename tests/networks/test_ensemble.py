"""The ensemble is its members, averaged before the sigmoid."""

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.networks.two_path import TwoPathNet

NETWORK = {"widths": [2, 4], "depth_pools": 1}


@pytest.fixture
def image():
    return torch.randn(2, 3, 16, 16, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def ensemble():
    torch.manual_seed(1)
    return EnsembleNet(3, NETWORK).eval()


def test_logit_is_the_mean_of_the_members_logits(ensemble, image):
    logits = ensemble.member_logits(image)
    assert logits.shape == (2, 3)
    assert logits.unique().numel() == 6  # members start from different weights
    torch.testing.assert_close(ensemble(image), logits.mean(dim=1, keepdim=True))


def test_members_take_the_weights_of_networks_trained_alone(ensemble, image):
    alone = [TwoPathNet(**NETWORK).eval() for _ in range(3)]
    for member, network in zip(ensemble.members, alone, strict=True):
        member.load_state_dict(network.state_dict())
    expected = torch.cat([network(image) for network in alone], dim=1)
    torch.testing.assert_close(ensemble.member_logits(image), expected, rtol=0, atol=0)


def test_state_dict_is_flat_and_names_the_members(ensemble):
    names = {tuple(name.split(".")[:2]) for name in ensemble.state_dict()}
    assert names == {("members", "0"), ("members", "1"), ("members", "2")}


def test_an_ensemble_needs_a_member():
    with pytest.raises(ArgumentError, match="members"):
        EnsembleNet(0, NETWORK)
