"""Two processes on gloo are one process with the joined batch: loss, gradients, multipliers."""

import os
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing, nn

from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint
from prostate_alm.networks.weights import load_weights

STEPS = 3
# rank 1's last sample repeats rank 0's first, as a sampler pads an uneven data set
INDICES = [[0, 1, 2, 3], [4, 5, 6, 0]]


def make_parts() -> tuple[nn.Linear, ALMLoss, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Linear(5, 1).double()
    loss = ALMLoss(BCELoss(), RankingConstraint(1.0, "logit"), num_samples=7, mu=0.3).double()
    return network, loss, torch.randn(7, 5, dtype=torch.float64), torch.tensor([1, 0, 0, 1, 0, 1, 0])


def train(
    network: nn.Module, loss: ALMLoss, data: torch.Tensor, labels: torch.Tensor, index: torch.Tensor
) -> list[Any]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    values = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(network(data[index]), labels[index], index=index)
        value.backward()
        gradient = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
        optimizer.step()
        loss.update_multipliers_()
        values.append((value.detach(), gradient.clone()))
    return values


def one_rank(rank: int, folder: str) -> None:
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    network, loss, data, labels = make_parts()
    wrapped = nn.parallel.DistributedDataParallel(network)
    values = train(wrapped, loss, data, labels, torch.tensor(INDICES[rank]))
    torch.save({"values": values, "multipliers": loss.multipliers}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(one_rank, args=(str(folder),), nprocs=2)  # pyright: ignore - torch leaves it untyped
    return [load_weights(folder / f"{rank}.pt") for rank in range(2)]


def test_two_processes_are_one_with_the_joined_batch(ranks: list[Any]) -> None:
    network, loss, data, labels = make_parts()
    expected = train(network, loss, data, labels, torch.arange(7))
    for rank in ranks:
        for (value, gradient), (expected_value, expected_gradient) in zip(rank["values"], expected, strict=True):
            assert torch.allclose(value, expected_value, atol=1e-12)
            assert torch.allclose(gradient, expected_gradient, atol=1e-12)
        assert torch.allclose(rank["multipliers"], loss.multipliers, atol=1e-12)


def test_multipliers_are_equal_on_every_rank(ranks: list[Any]) -> None:
    assert torch.equal(ranks[0]["multipliers"], ranks[1]["multipliers"])
    assert ranks[0]["multipliers"].count_nonzero() > 0
