"""The paper's theory, exact: the toy example of section 4.2 and the two mistakes of appendix C, figure 2.

Each claim is derived with a pencil, tested in fractions by counting pairs, and tested against the implementation, whose
float64 is exact for the small integers here.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from prostate_alm.losses import ALMLoss, RankingConstraint

FORMS = ["per_critical", "per_other", "per_pair"]
TOY = "--+--++-++"


class Cost(NamedTuple):
    """Coefficients of mu and of lambda in the cost of the constraint, all multipliers being lambda."""

    quadratic: Fraction
    linear: Fraction


def counted_cost(positives: list[int], negatives: list[int], form: str) -> Cost:
    """Eq. 5 and its two alternatives at margin 0, pair by pair."""
    hinge = [[Fraction(max(0, n - p)) for n in negatives] for p in positives]
    rows = {
        "per_critical": hinge,
        "per_other": list(zip(*hinge, strict=True)),
        "per_pair": [[h] for r in hinge for h in r],
    }
    q = [sum(row, Fraction(0)) for row in rows[form]]
    pairs = len(positives) * len(negatives)
    return Cost(sum((v * v for v in q), Fraction(0)) / (2 * pairs), sum(q, Fraction(0)) / pairs)


def implemented_cost(positives: list[int], negatives: list[int], form: Any) -> Cost:
    """The same from the code, exact: only the last division is left to fractions."""
    scores = torch.tensor([*positives, *negatives], dtype=torch.float64)
    labels = torch.tensor([1] * len(positives) + [0] * len(negatives))
    found = RankingConstraint(0.0, "logit", form=form)(scores, labels)
    square, linear = (sum(map(Fraction, values.tolist()), Fraction(0)) for values in (found.square, found.q))
    pairs = Fraction(found.pairs[0].item())
    return Cost(square / (2 * pairs), linear / pairs)


def places(order: str) -> tuple[list[int], list[int]]:
    """Scores of positives and negatives that stand one apart, left to right."""
    return [x for x, mark in enumerate(order) if mark == "+"], [x for x, mark in enumerate(order) if mark == "-"]


def low_swap(order: str) -> str:
    """The left-most positive changes places with a negative to its right: FPR falls at the highest TPR."""
    x = order.index("+")
    return order[:x] + "-+" + order[x + 2 :] if order[x + 1 : x + 2] == "-" else order


def high_swap(order: str) -> str:
    """The right-most negative changes places with a positive to its left: TPR rises at the lowest FPR."""
    x = order.rindex("-")
    return order[: x - 1] + "-+" + order[x + 1 :] if x > 0 and order[x - 1] == "+" else order


def gains(order: str, form: str) -> tuple[Cost, Cost]:
    """By how much the low and the high swap lower the cost."""
    before, low, high = (counted_cost(*places(o), form) for o in (order, low_swap(order), high_swap(order)))
    return tuple(Cost(before.quadratic - c.quadratic, before.linear - c.linear) for c in (low, high))  # pyright: ignore[reportReturnType] - two of two


def arrangements(positives: int, negatives: int) -> Iterator[str]:
    """All orders in which both swaps are there."""
    for chosen in combinations(range(positives + negatives), positives):
        order = "".join("+" if x in chosen else "-" for x in range(positives + negatives))
        if low_swap(order) != order and high_swap(order) != order:
            yield order


def errors(order: str) -> tuple[int, int]:
    """a: negatives above the left-most positive; b: positives below the right-most negative."""
    return order[order.index("+") :].count("-"), order[: order.rindex("-")].count("+")


def mirrored(order: str) -> str:
    """Reversed, with the classes exchanged: the same mistakes of the other class."""
    return order[::-1].translate(str.maketrans("+-", "-+"))


# Section 4.2, figure 1


def test_the_toy_example_prefers_lower_fpr_at_the_highest_tpr() -> None:
    """The low swap gains 39/50 mu Delta^2 + 3/25 lambda Delta, the high one 19/50 mu Delta^2 + 3/25 lambda Delta.

    Misprint: the paper gives 11/25 lambda Delta for the high swap. Both swaps take 3 off the sum of all 25 hinges
    (a = b = 3, see below), and among all orders of 5 + 5 only this one has the three other printed terms.
    """
    expected = (Cost(Fraction(39, 50), Fraction(3, 25)), Cost(Fraction(19, 50), Fraction(3, 25)))
    assert gains(TOY, "per_critical") == expected
    printed = [
        o
        for o in arrangements(5, 5)
        if (gains(o, "per_critical")[0], gains(o, "per_critical")[1][0]) == (expected[0], expected[1][0])
    ]
    assert printed == [TOY]


@pytest.mark.parametrize("form", FORMS)
def test_the_implementation_has_the_cost_of_each_form_exactly(form: str) -> None:
    for order in arrangements(4, 5):
        for swapped in (order, low_swap(order), high_swap(order)):
            assert implemented_cost(*places(swapped), form) == counted_cost(*places(swapped), form)


def test_one_constraint_a_negative_prefers_the_reverse_and_one_a_pair_neither() -> None:
    """Section 4.2. The example is its own mirror image, so one form's low swap is the other's high swap."""
    assert mirrored(TOY) == TOY
    assert gains(TOY, "per_other") == gains(TOY, "per_critical")[::-1]
    low, high = gains(TOY, "per_pair")
    assert low == high == Cost(Fraction(13, 50), Fraction(3, 25))


@pytest.mark.parametrize(("positives", "negatives"), [(p, n) for p, n in product(range(1, 7), repeat=2) if p + n <= 10])
def test_what_holds_for_all_arrangements(positives: int, negatives: int) -> None:
    """Which swap lowers the cost more, for equal distances, margin 0 and equal multipliers.

    Let a negatives lie above the left-most positive, and b positives below the right-most negative, with violations
    q_1 > q_2 > ... > q_b = 1. A swap moves a positive up and a negative down by one, so

        low swap:  q_1 -> q_1 - a, which gains a (2 q_1 - a) / 2 mu and a lambda, over |p| |n|;
        high swap: each of q_1 .. q_b falls by 1, which gains sum_i (2 q_i - 1) / 2 mu and b lambda, over |p| |n|.

    (i) The multiplier term prefers the low swap where a > b, the high one where a < b, and neither where a = b.
    (ii) If a >= b, the quadratic term prefers the low swap, strictly unless a = b = 1, when both swaps are one:
    x_2 >= x_1 + 2 as the place between is a negative's, so q_i <= q_1 - 2 a + 1 for i > 1, and the difference
    2 a q_1 - a^2 - sum_i (2 q_i - 1) is at least 2 q_1 (a - b) - a^2 + 1 + (b - 1) (4 a - 1), which is
    (3 b - 2) (b - 1) where a = b, and with q_1 >= a (a + 1) / 2 positive where a > b.
    (iii) If a < b it can go either way, so the paper's sentence is no theorem for all arrangements.
    (iv) Multipliers in proportion to the violations, as the first update makes them, gain a q_1 and sum_i q_i: again
    the low swap if a >= b.
    (v) One constraint a negative prefers what one a positive prefers in the mirror image: the reverse if b >= a.
    (vi) One constraint a pair gains (2 q_1 - a) / 2 mu, and for the high swap the same of the mirror image; so the two
    are equal where the arrangement is its own mirror image, not everywhere.
    """
    pairs = positives * negatives
    for order in arrangements(positives, negatives):
        (a, b), (low, high) = errors(order), gains(order, "per_critical")
        q = [sum(max(0, n - p) for n in places(order)[1]) for p in places(order)[0]][:b]
        assert low == (Fraction(a * (2 * q[0] - a), 2 * pairs), Fraction(a, pairs))
        assert high == (Fraction(sum(2 * v - 1 for v in q), 2 * pairs), Fraction(b, pairs))
        if a >= b:
            assert low.quadratic > high.quadratic or (a == b == 1 and low_swap(order) == high_swap(order))
            assert a * q[0] >= sum(q)
        assert gains(order, "per_other") == gains(mirrored(order), "per_critical")[::-1]
        assert gains(order, "per_pair")[0].quadratic == Fraction(2 * q[0] - a, 2 * pairs)
        assert gains(order, "per_pair") == gains(mirrored(order), "per_pair")[::-1]


def test_how_often_it_holds_among_five_and_five() -> None:
    """Over the 70 arrangements of 5 + 5 with both swaps: the quadratic term prefers the low one in 67, neither in 2."""
    counted = {form: [gains(order, form) for order in arrangements(5, 5)] for form in FORMS}

    def tally(form: str, term: int) -> tuple[int, int, int]:
        signs = [(low[term] > high[term]) - (low[term] < high[term]) for low, high in counted[form]]
        return signs.count(1), signs.count(0), signs.count(-1)

    assert tally("per_critical", 0) == (67, 2, 1)
    assert tally("per_other", 0) == (1, 2, 67)
    assert [tally(form, 1) for form in FORMS] == [(20, 30, 20)] * 3


# Appendix C, figure 2


class Figure2(NamedTuple):
    """M positives, N negatives, `step` apart where correct; one positive `low` below all, one negative `high` above."""

    M: int
    N: int
    step: int
    low: int
    high: int

    def scores(self) -> tuple[list[int], list[int]]:
        """Scores of the positives and of the negatives, the misplaced one of each first."""
        negatives = [self.low + k * self.step for k in range(self.N - 1)]
        top = self.low + (self.N - 1) * self.step
        positives = [top + j * self.step for j in range(self.M - 1)]
        highest = (positives or negatives)[-1]
        return [0, *positives], [highest + self.high, *negatives]

    def sums(self) -> tuple[int, int, int, int, int]:
        """A, B: sums over k of low + k step, over j of high + j step; A2, B2: of their squares; D: the pair."""
        a = [self.low + k * self.step for k in range(self.N - 1)]
        b = [self.high + j * self.step for j in range(self.M - 1)]
        return (
            sum(a),
            sum(b),
            sum(v * v for v in a),
            sum(v * v for v in b),
            self.low + self.high + (self.M + self.N - 3) * self.step,
        )


CASES = [Figure2(*case) for case in product((2, 3, 5), (2, 4, 7), (1, 3), (1, 2, 6), (1, 2, 40))]


def corrected(case: Figure2, form: str, mu: Fraction, lam: Fraction) -> Fraction:
    """Eq. 12 and 17 with what they leave out, after each multiplier went from lambda to lambda + mu q (Eq. 11, 16)."""
    a, b, a2, b2, d = case.sums()
    squares = {"per_critical": (a + d) ** 2 + b2, "per_other": (b + d) ** 2 + a2}[form]
    return (Fraction(3, 2) * mu * squares + lam * (a + b + d)) / (case.M * case.N)


def printed(case: Figure2, form: str, mu: Fraction, lam: Fraction) -> Fraction:
    """The last lines of Eq. 12 and 17 as the paper has them."""
    m, n, step, low, high = case
    linear = (
        lam * (n - 1) * low + lam * (m - 1) * high + lam * step * Fraction((n - 1) * (n - 2) + (m - 1) * (m - 2), 2)
    )
    if form == "per_other":
        m, n, low, high = n, m, high, low
    factor = Fraction(3, 2) * mu
    squares = factor * (low**2 * (n - 1) ** 2 + high**2 * (m - 1))
    cross = factor * step * (low * (n - 1) ** 2 * (n - 2) + high * (m - 1) * (m - 2))
    rest = Fraction(((n - 1) * (n - 2)) ** 2, 4) + Fraction((2 * m - 3) * (m - 1) * (m - 2), 6)
    return squares + cross + factor * step**2 * rest + linear


def figure_2_loss(case: Figure2, form: Any, mu: float, lam: float) -> tuple[ALMLoss, torch.Tensor, torch.Tensor]:
    """The constraint around a loss that is 0, with multipliers lambda, and the batch."""

    class Nothing(nn.Module):
        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return 0.0 * (logits.sum() + labels.sum())

    positives, negatives = case.scores()
    loss = ALMLoss(Nothing(), RankingConstraint(0.0, "logit", form=form), num_samples=case.M + case.N, mu=mu).double()
    loss.multipliers.fill_(lam)
    scores = torch.tensor([*positives, *negatives], dtype=torch.float64)
    return loss, scores, torch.tensor([1] * case.M + [0] * case.N)


@pytest.mark.parametrize("form", ["per_critical", "per_other"])
def test_figure_2_costs_what_the_corrected_equations_say(form: str) -> None:
    """Eq. 12 (one constraint a positive) and Eq. 17 (one a negative), corrected.

    With A = sum_{k<N-1} (Delta_P + k Delta) = (N-1) Delta_P + Delta (N-1)(N-2)/2, with B the same of Delta_N and M,
    with A2 and B2 the sums of the squared terms and D = Delta_P + Delta_N + (M+N-3) Delta,

        Eq. 12: 1/(MN) [3/2 mu ((A + D)^2 + B2) + lambda (A + B + D)],
        Eq. 17: 1/(MN) [3/2 mu ((B + D)^2 + A2) + lambda (A + B + D)].

    As printed both leave out D, the pair of the two misplaced samples (the misplaced negative lies above the misplaced
    positive too), and the factor 1/(MN) of Eq. 5; Eq. 12 has 3 lambda / 2 for 3 mu / 2 in one line, Eq. 11 Delta_j for
    j Delta, Eq. 17 Delta_P + j Delta for Delta_P + k Delta; and Eq. 13, which is made from Eq. 12, loses the factor
    3 mu / 2 on both squares. Apart from D and 1/(MN) their last lines are right.
    """
    mu, lam = Fraction(1, 4), Fraction(3, 2)
    for case in CASES:
        quadratic, linear = implemented_cost(*case.scores(), form)
        assert 3 * mu * quadratic + lam * linear == corrected(case, form, mu, lam)
        a, b, a2, b2, _ = case.sums()
        without_the_pair = {"per_critical": a * a + b2, "per_other": b * b + a2}[form]
        assert printed(case, form, mu, lam) == Fraction(3, 2) * mu * without_the_pair + lam * (a + b)
        assert corrected(case, form, mu, lam) * case.M * case.N > printed(case, form, mu, lam)


@pytest.mark.parametrize("form", ["per_critical", "per_other"])
def test_figure_2_costs_the_same_in_the_augmented_lagrangian_after_an_update(form: str) -> None:
    for case in CASES:
        loss, scores, labels = figure_2_loss(case, form, 0.25, 1.5)
        index = torch.arange(len(scores))
        loss(scores, labels, index=index)
        loss.update_multipliers_()  # Eq. 11 and 16
        assert Fraction(loss(scores, labels, index=index).item()) == pytest.approx(
            corrected(case, form, Fraction(1, 4), Fraction(3, 2)), rel=1e-12
        )


def slopes(case: Figure2, form: str, mu: float, lam: float) -> tuple[float, float]:
    """How steeply the augmented Lagrangian falls, per unit, when Delta_P and when Delta_N shrinks; from the code."""
    loss, scores, labels = figure_2_loss(case, form, mu, lam)
    index = torch.arange(len(scores))
    loss(scores, labels, index=index)
    loss.update_multipliers_()
    scores.requires_grad_()
    loss(scores, labels, index=index).backward()
    assert scores.grad is not None
    return -scores.grad[0].item(), scores.grad[case.M].item()


@pytest.mark.parametrize("form", ["per_critical", "per_other"])
def test_figure_2_slopes_are_the_derivatives(form: str) -> None:
    """With multipliers lambda + mu q that are held: (2 mu q + lambda) / (MN) for each q, times its own slope."""
    mu, lam = Fraction(1, 4), Fraction(3, 2)
    for case in CASES:
        a, b, _, _, d = case.sums()
        alone, others = {
            "per_critical": (2 * mu * (a + d) + lam, 2 * mu * b + lam * (case.M - 1)),
            "per_other": (2 * mu * (b + d) + lam, 2 * mu * a + lam * (case.N - 1)),
        }[form]
        steep = {"per_critical": (case.N * alone, alone + others), "per_other": (alone + others, case.M * alone)}[form]
        expected = tuple(float(value / (case.M * case.N)) for value in steep)
        assert slopes(case, form, 0.25, 1.5) == pytest.approx(expected, rel=1e-12)


def test_insight_1_a_misplaced_positive_weighs_more_whatever_the_distances() -> None:
    """For M <= N the cost falls faster when Delta_P shrinks than when Delta_N does.

    The difference is (N-1)(2 mu (A + D) + lambda) - 2 mu B - lambda (M-1), over MN, and positive as (N-1) D > B. The
    paper compares the terms of Eq. 12 that hold either distance and finds a limit Delta_diff,lim beyond which a far
    misplaced negative weighs more. The slopes, which the optimizer follows, have none: the pair that Eq. 12 leaves out
    makes the misplaced positive's violation grow with Delta_N too.
    """
    for case in (c for c in CASES if c.M <= c.N):
        positive, negative = slopes(case, "per_critical", 0.25, 1.5)
        assert positive > negative


def test_insight_2_one_constraint_a_negative_weighs_the_misplaced_positive_less() -> None:
    """For M <= N the slope along Delta_P is lower per negative, and a far misplaced negative outweighs it."""
    for case in (c for c in CASES if c.M <= c.N):
        assert slopes(case, "per_other", 0.25, 1.5)[0] < slopes(case, "per_critical", 0.25, 1.5)[0]
    positive, negative = slopes(Figure2(5, 7, 1, 1, 40), "per_other", 0.25, 1.5)
    assert negative > positive
