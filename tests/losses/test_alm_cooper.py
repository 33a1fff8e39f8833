"""An independent oracle: cooper's augmented Lagrangian with indexed multipliers goes through the same values.

Cooper knows neither the normaliser 1 / (|p| |n|) nor the violation. The base loss is multiplied by |p| |n| instead and
the rate divided by it, so that the multipliers move by the violation itself; the violation comes from a double loop.
"""

from typing import Any

import pytest
import torch

from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint

cooper: Any = pytest.importorskip("cooper", reason="cooper-optim, of the dev group, is not installed")
SAMPLES, BATCH, MU, DELTA, RATE = 24, 8, 0.5, 0.25, 0.05


def looped(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """q_j of the positives in the order of the batch, pair by pair."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    hinges = [sum((torch.relu(n - p + DELTA) for n in negatives), p.new_zeros(())) for p in positives]
    return torch.stack(hinges) if hinges else scores.new_zeros(0)


def data() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Features, labels and the indices of several epochs' batches; some hold no positive, some nothing else."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    labels = (torch.arange(SAMPLES) % 4 == 0).long()
    batches = [part for _ in range(4) for part in torch.randperm(SAMPLES, generator=generator).split(BATCH)]
    only_positives, no_positive = labels.nonzero().reshape(-1), (labels == 0).nonzero().reshape(-1)[:5]
    return features, labels, [*batches, only_positives, no_positive, *batches[:2]]


class Ranking(cooper.ConstrainedMinimizationProblem):
    """One indexed multiplier a sample; the loss is multiplied by |p| |n| so that the constraint needs no normaliser."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights
        self.multiplier = cooper.multipliers.IndexedMultiplier(num_constraints=SAMPLES, dtype=torch.float64)
        self.constraint = cooper.Constraint(
            constraint_type=cooper.ConstraintType.INEQUALITY,
            formulation_type=cooper.formulations.AugmentedLagrangian,
            multiplier=self.multiplier,
            penalty_coefficient=cooper.penalty_coefficients.DensePenaltyCoefficient(torch.tensor(MU).double()),
        )

    def compute_cmp_state(self, features: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> Any:
        logits = features @ self.weights
        positive = labels == 1
        pairs = max(int(positive.sum()) * int((~positive).sum()), 1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.double())
        state = cooper.ConstraintState(looped(logits.sigmoid(), labels), constraint_features=index[positive])
        return cooper.CMPState(loss=loss * pairs, observed_constraints={self.constraint: state})


def test_multipliers_weights_and_losses_follow_the_same_path() -> None:
    features, labels, batches = data()
    ours = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    theirs = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    loss = ALMLoss(BCELoss(), RankingConstraint(DELTA), num_samples=SAMPLES, mu=MU).double()
    problem = Ranking(theirs)
    primal = torch.optim.SGD([theirs], lr=RATE)
    dual = torch.optim.SGD(problem.dual_parameters(), lr=MU, maximize=True)
    rolls = cooper.optim.SimultaneousOptimizer(primal_optimizers=primal, dual_optimizers=dual, cmp=problem)
    moved = 0
    for index in batches:
        x, y = features[index], labels[index]
        pairs = max(int(y.sum()) * int((1 - y).sum()), 1)
        primal.param_groups[0]["lr"] = RATE / pairs  # undoes the scale of the problem's loss
        value = loss(x @ ours, y, index=index)
        (gradient,) = torch.autograd.grad(value, ours)
        with torch.no_grad():
            ours -= RATE * gradient
        before = loss.multipliers.clone()
        loss.update_multipliers_()
        rolled = rolls.roll(compute_cmp_state_kwargs={"features": x, "labels": y, "index": index})
        assert value.item() == pytest.approx(rolled.primal_lagrangian_store.lagrangian.item() / pairs, rel=1e-9)
        assert loss.multipliers.tolist() == pytest.approx(problem.multiplier.weight.reshape(-1).tolist(), rel=1e-9)
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-9)
        moved += int((loss.multipliers > before).any())
    assert moved == len(batches) - 2  # but for the two batches of one class
    assert loss.multipliers[labels == 0].count_nonzero() == 0
