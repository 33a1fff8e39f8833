"""Tie-breaks between the candidates for a role: applied in order, until one candidate is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.candidates import Candidate
from prostate_alm.readers.geometry import Stack


@dataclass(frozen=True, eq=False)
class Chosen:
    """A candidate that fills a role.

    Attributes:
        candidate: the winner, without a defect.
        stack: its slices.
        why: the tie-break that decided.
        runners_up: the others, with the tie-break each lost by.
    """

    candidate: Candidate
    stack: Stack
    why: str
    runners_up: tuple[tuple[Candidate, str], ...] = ()

    @property
    def others(self) -> list[Candidate]:
        """The candidates that lost."""
        return [one for one, _ in self.runners_up]


@dataclass(frozen=True)
class TieBreak:
    """The candidates with the largest key stay, unless `check` refuses to tell them apart by it."""

    name: str
    key: Callable[[Candidate], float]
    check: Callable[[Sequence[Candidate]], None] = lambda _: None


def tie_breaks(names: Sequence[str], keys: Sequence[Callable[[Candidate], float]]) -> list[TieBreak]:
    """Tie-breaks under the names of the rules."""
    return [TieBreak(name, key) for name, key in zip(names, keys, strict=True)]


def choose(candidates: Sequence[Candidate], rules: Sequence[TieBreak], *, by_hand: bool = False) -> Chosen:
    """Apply the tie-breaks in order; the last one left is chosen, unless it has a defect.

    Raises:
        StudyRefusedError: the winner has a defect, or several are equally good.
    """
    left = list(candidates)
    lost: list[tuple[Candidate, str]] = []
    why = "named by hand" if by_hand else "the only candidate"
    for rule in rules:
        rule.check(left)
        best = max(rule.key(one) for one in left)
        dropped = [one for one in left if rule.key(one) < best]
        if dropped:
            why = rule.name
            lost += [(one, f"loses by: {rule.name}") for one in dropped]
            left = [one for one in left if one not in dropped]
    if left[0].defect is not None:
        raise left[0].defect
    if len(left) > 1:
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"series {', '.join(one.numbers for one in left)} are equally good after every tie-break;"
            " send only the one to be used.",
        )
    assert left[0].stack is not None
    return Chosen(left[0], left[0].stack, why, tuple(lost))
