"""How many of n positives an operating point may miss: rules that are fixed before any score is seen.

Each rule turns n into k, and the threshold is the (k+1)-th lowest positive score. k depends on n alone, never on the
scores, so that what is said of the threshold holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.intervals import miss_rate_expected, miss_rate_upper_bound

RuleKind = Literal["false-negatives", "sensitivity", "conformal"]
FORMS = "`2-fn`, `sensitivity=0.95@0.95` (sensitivity @ confidence) or `conformal=0.05` (expected miss rate)"


@dataclass(frozen=True)
class FalseNegatives:
    """Miss at most k of the positives at hand."""

    k: int
    kind: ClassVar[RuleKind] = "false-negatives"

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ArgumentError(f"false negatives are positives missed, at least 0, got {self.k}.")

    @property
    def name(self) -> str:
        """How commands and the service call it."""
        return f"{self.k}-fn"

    @property
    def assumption(self) -> str:
        """What is claimed beyond the evidence."""
        return ""

    @property
    def needed(self) -> int:
        """Fewest positives."""
        return self.k + 1

    def misses(self, positives: int) -> int:
        """How many of `positives` may be missed.

        Raises:
            ArgumentError: there are too few of them.
        """
        _check(self.name, positives, self.needed)
        return self.k


@dataclass(frozen=True)
class Sensitivity:
    """The largest k whose exact bound keeps the sensitivity at least at `target`, with `confidence`."""

    target: float
    confidence: float
    kind: ClassVar[RuleKind] = "sensitivity"

    def __post_init__(self) -> None:
        if not (0 < self.target < 1 and 0 < self.confidence < 1):
            raise ArgumentError(
                f"sensitivity and confidence must lie between 0 and 1, got {self.target:g} and {self.confidence:g}."
            )

    @property
    def name(self) -> str:
        """Such as ``sensitivity-95-at-95``."""
        return f"sensitivity-{_percent(self.target)}-at-{_percent(self.confidence)}"

    @property
    def assumption(self) -> str:
        """What is claimed beyond the evidence."""
        return (
            f"With {self.confidence:.4g} confidence over the draw of these positives, the sensitivity for new ones is "
            f"at least {self.target:.4g}: that quantile of Beta(k+1, n-k) is at most {1 - self.target:.4g}."
        )

    @property
    def needed(self) -> int:
        """Fewest positives: with k = 0 the bound is ``1 - (1 - confidence) ** (1 / n)``."""
        n = max(1, math.floor(math.log(1 - self.confidence) / math.log(self.target)) - 1)
        while not self._holds(0, n):
            n += 1
        return n

    def misses(self, positives: int) -> int:
        """The largest k of `positives` that keeps to the bound.

        Raises:
            ArgumentError: there are too few of them even for k = 0.
        """
        _check(self.name, positives, self.needed)
        low, high = 0, positives  # `low` holds and `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._holds(middle, positives) else (low, middle)
        return low

    def _holds(self, k: int, positives: int) -> bool:
        allowed = 1 - self.target
        return miss_rate_upper_bound(k, positives, confidence=self.confidence) <= allowed * (1 + 1e-12)


@dataclass(frozen=True)
class Conformal:
    """The largest k with ``(k + 1) / (n + 1) <= target``: a bound on the chance to miss the next one."""

    target: float
    kind: ClassVar[RuleKind] = "conformal"

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ArgumentError(f"the expected miss rate must lie between 0 and 1, got {self.target:g}.")

    @property
    def name(self) -> str:
        """Such as ``conformal-5``."""
        return f"conformal-{_percent(self.target)}"

    @property
    def assumption(self) -> str:
        """What is claimed beyond the evidence."""
        return (
            f"Split conformal: the next positive is missed with a chance of at most {self.target:.4g}. This is "
            "marginal, an average over draws of these positives and of the next one; it is neither a bound for this "
            "very threshold nor for any subgroup, and it needs positives that are exchangeable with the next one."
        )

    @property
    def needed(self) -> int:
        """Fewest positives: ``1 / (n + 1) <= target``."""
        n = max(1, math.floor(1 / self.target) - 2)
        while miss_rate_expected(0, n) > self.target:
            n += 1
        return n

    def misses(self, positives: int) -> int:
        """The largest k of `positives`.

        Raises:
            ArgumentError: there are too few of them even for k = 0.

        Source: Papadopoulos et al. 2002; Angelopoulos and Bates 2023, section 1.
        """
        _check(self.name, positives, self.needed)
        k = min(positives - 1, math.floor(self.target * (positives + 1)))
        while miss_rate_expected(k, positives) > self.target:  # counted: no product of floats decides
            k -= 1
        return k


Rule = FalseNegatives | Sensitivity | Conformal
DEFAULT_RULES: tuple[Rule, ...] = (FalseNegatives(0), FalseNegatives(1), FalseNegatives(2))


def parse_rule(text: str) -> Rule:
    """Read a rule as a person writes it.

    Raises:
        ArgumentError: it is none; the message shows the forms.

    >>> parse_rule("2-fn"), parse_rule("sensitivity=0.95@0.9").misses(100), parse_rule("conformal=0.05").name
    (FalseNegatives(k=2), 1, 'conformal-5')
    """
    name, separator, value = text.strip().partition("=")
    try:
        if not separator and name.endswith("-fn"):
            return FalseNegatives(int(name.removesuffix("-fn")))
        if name == "sensitivity":
            target, at, confidence = value.partition("@")
            return Sensitivity(float(target), float(confidence) if at else 0.95)
        if name == "conformal":
            return Conformal(float(value))
    except ArgumentError:
        raise
    except ValueError:
        pass
    raise ArgumentError(f"`{text}` names no operating point; write {FORMS}.")


def parse_rules(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read rules; none at all are `DEFAULT_RULES`.

    Raises:
        ArgumentError: one is none, or two have the same name.
    """
    rules = tuple(parse_rule(text) for text in texts) or DEFAULT_RULES
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise ArgumentError(f"operating points must have different names, got {', '.join(names)}.")
    return rules


def _check(name: str, positives: int, needed: int) -> None:
    if positives < needed:
        raise ArgumentError(
            f"the operating point `{name}` needs at least {needed} positives, got {positives}; add labelled patients "
            "who need DCE, or ask for less."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.6g}".replace(".", "-")
