"""How a method gets its hyper-parameters and then its runs: the incremental search of section 5.2 and D.2.

A study is a generator: it yields the runs that it needs next and is sent their results. The baseline's own parameter
is chosen first; a method under the constraint takes it over, then chooses `mu` (with `rho`), then `delta`. Every choice
is made on validation sets alone, by AUC with two classes and by overall accuracy with more; what is chosen is frozen.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import yaml

from prostate_alm.benchmark.records import Failure, RunRecord, RunSpec, Setting
from prostate_alm.errors import ArgumentError
from prostate_alm.training.bundles import find_bundle, plain_settings

SHOWN_ONLY = ("tracker",)  # a run's lines stand in its record; nobody looks at them elsewhere
Settings = Mapping[str, Setting]
Result = RunRecord | Failure


@dataclass(frozen=True)
class Method:
    """A row of a table.

    Attributes:
        name: as the table prints it.
        stages: of the search, one after the other; each a list of candidates, settings that belong together.
        settings: what makes the method, beside what the search chooses.
        baseline: name of the method it is compared with; None for a baseline.
        inherited: stages that the baseline has searched before; their choice is taken over.
    """

    name: str
    settings: Settings
    stages: Sequence[Sequence[Settings]] = ()
    baseline: str | None = None
    inherited: Sequence[tuple[Settings, Sequence[Settings]]] = ()


@dataclass(frozen=True)
class Protocol:
    """What all methods of a comparison share.

    Attributes:
        bundle: what is trained.
        settings: data and budget.
        members: runs of each method in the end.
        search_members: on so many members' validation sets a candidate is judged, by the mean.
        data_sha256: of the archive.
    """

    bundle: str
    settings: Settings
    members: int
    search_members: int
    data_sha256: str

    def spec(self, settings: Settings, member: int) -> RunSpec:
        """The run of a member; a list that it sets differently is an expression, such as ``$[96.0, 96.0, 72.0]``.

        Raises:
            ArgumentError: a setting is none of the bundle's.
        """
        defaults = _defaults(self.bundle)
        differing = {**self.settings, **settings, "member": member}
        known = {*defaults, *_lists(self.bundle)}
        if unknown := differing.keys() - known:
            raise ArgumentError(f"bundle `{self.bundle}` has no {sorted(unknown)}. Available: {sorted(known)}.")
        return RunSpec(bundle=self.bundle, settings={**defaults, **differing}, data_sha256=self.data_sha256)


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        method: whose.
        chosen: the frozen hyper-parameters.
        trials: each candidate that was judged, with its mean validation metric (None if it failed).
        runs: of the members.
        failures: runs that failed, in the search or in the end.
        searched: runs of the search.
    """

    method: Method
    chosen: Settings
    trials: Sequence[tuple[Settings, float | None]]
    runs: Sequence[RunRecord]
    failures: Sequence[Failure] = ()
    searched: Sequence[RunRecord] = ()


Study = Generator[list[RunSpec], list[Result], Outcome]


def study(method: Method, protocol: Protocol) -> Study:
    """Search, freeze, run the members."""
    failures: list[Failure] = []
    searched: list[RunRecord] = []
    trials: list[tuple[Settings, float | None]] = []
    chosen: Settings = {}
    for settings, candidates in [*method.inherited, *((method.settings, stage) for stage in method.stages)]:
        tried = [{**chosen, **candidate} for candidate in candidates]
        if len(tried) == 1:  # nothing to choose
            chosen = tried[0]
            continue
        wanted = [protocol.spec({**settings, **t}, m) for t in tried for m in range(protocol.search_members)]
        results = yield wanted
        failures += [result for result in results if isinstance(result, Failure)]
        searched += [result for result in results if isinstance(result, RunRecord)]
        count = protocol.search_members
        means = [_mean_metric(results[i * count : (i + 1) * count]) for i in range(len(tried))]
        trials += list(zip(tried, means, strict=True))
        scored = [(mean, -place) for place, mean in enumerate(means) if mean is not None]
        if not scored:
            return Outcome(method, chosen, trials, [], failures, searched)
        chosen = tried[-max(scored)[1]]  # of equals, the first
    results = yield [protocol.spec({**method.settings, **chosen}, member) for member in range(protocol.members)]
    failures += [result for result in results if isinstance(result, Failure)]
    return Outcome(method, chosen, trials, [r for r in results if isinstance(r, RunRecord)], failures, searched)


def most_runs(method: Method, protocol: Protocol) -> int:
    """How many runs a study asks for at most, for an estimate of the time left."""
    stages = [*(candidates for _, candidates in method.inherited), *method.stages]
    return sum(len(stage) * protocol.search_members for stage in stages if len(stage) > 1) + protocol.members


@cache
def _defaults(bundle: str) -> Settings:
    """Of the settings that decide a result."""
    return {name: value for name, value in plain_settings(find_bundle(bundle)).items() if name not in SHOWN_ONLY}


@cache
def _lists(bundle: str) -> frozenset[str]:
    """Settings of a bundle that are lists of numbers."""
    content = yaml.safe_load((find_bundle(bundle) / "configs" / "train.yaml").read_text(encoding="utf-8"))
    return frozenset(
        name
        for name, value in content.items()
        if isinstance(value, list) and all(isinstance(number, int | float) for number in value)
    )


def _mean_metric(results: Sequence[Result]) -> float | None:
    """Mean validation metric of one candidate; a candidate of which a run failed is out."""
    values = [result.validation_metric for result in results if isinstance(result, RunRecord)]
    return sum(values) / len(values) if len(values) == len(results) else None
