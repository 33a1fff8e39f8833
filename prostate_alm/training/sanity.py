"""Checks that make a leak show: training on shuffled labels, and on one path of the network alone."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prostate_alm.datasets.datalist import make_datalist, read_datalist, write_datalist
from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.delong import delong_interval, delong_test
from prostate_alm.evaluation.roc import auc
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.scoring import Scores, TrainedMember

Weights = Literal["best", "last"]
CHANCE, LEVEL = 0.5, 0.95
PATHS = {"both": "none", "t2 alone": "diffusion", "diffusion alone": "t2"}  # and what is dropped for it
TrainRun = Callable[[EnsembleRun], None]


@dataclass(frozen=True)
class FoldAuc:
    """AUC out of fold with DeLong's 95 % interval."""

    auc: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Permutation:
    """A run on labels shuffled over the patients.

    Attributes:
        seed: of the shuffling.
        last: of the weights after the last epoch, which no validation fold chose: about 0.5 without a leak.
        best: of the weights that the validation fold chose, as `train` keeps them; above 0.5 by that choice alone.
    """

    seed: int
    last: FoldAuc
    best: FoldAuc


@dataclass(frozen=True)
class PermutationTest:
    """What shuffled labels show.

    Attributes:
        runs: one a shuffling.
        mean: of their `last` AUCs.
        low: one-sided 95 % lower bound of the mean.
        leak_suspected: whether `low` is above 0.5: the model knows labels that no image can tell.
        real: AUC out of fold of the run in question, by its best weights; None where none was given.
        p_value: share of shufflings whose `best` reaches it, itself counted; at best 1 / (repeats + 1).
    """

    runs: Sequence[Permutation]
    mean: float
    low: float
    leak_suspected: bool
    real: float | None
    p_value: float | None


@dataclass(frozen=True)
class PathAuc:
    """A path alone, or both.

    Attributes:
        path: both, t2 alone, or diffusion alone.
        found: by the best weights.
        difference: to both paths; None for these themselves.
        p_value: DeLong's test of it.
    """

    path: str
    found: FoldAuc
    difference: float | None = None
    p_value: float | None = None


def permutation_test(run: EnsembleRun, *, repeats: int, train: TrainRun, real: Path | None = None) -> PermutationTest:
    """Train on shuffled labels, `repeats` times, everything else as in `run`; what is trained already is kept.

    Args:
        run: `out` is the check's folder; a run `permutation_00` and so on is trained below it.
        repeats: shufflings.
        train: trains the members of a run, each that is not finished.
        real: folder of the finished run on the true labels.

    Raises:
        CohortError: the datalist can't be used.
        TrainingError: the real run is none of this datalist, or a member failed.
    """
    truth = _truth(run)
    observed = None if real is None else auc(*_written_scores(real, truth))
    runs: list[Permutation] = []
    for seed in range(repeats):
        shuffled = _shuffled(run, seed)
        train(shuffled)
        runs.append(Permutation(seed, *(fold_auc(out_of_fold(shuffled, weights)) for weights in ("last", "best"))))
    error = sqrt(sum(one.last.standard_error**2 for one in runs)) / repeats
    mean = sum(one.last.auc for one in runs) / repeats
    low = mean - NormalDist().inv_cdf(LEVEL) * error
    reached = None if observed is None else 1 + sum(one.best.auc >= observed for one in runs)
    return PermutationTest(
        runs, mean, low, low > CHANCE, observed, None if reached is None else reached / (repeats + 1)
    )


def modality_test(run: EnsembleRun, *, train: TrainRun) -> list[PathAuc]:
    """Train with both paths and with each alone; what is trained already is kept.

    Args:
        run: `out` is the check's folder; its runs lie below it.
        train: as `permutation_test`.
    """
    scores: dict[str, Scores] = {}
    for path, dropped in PATHS.items():
        one = _below(run, path.replace(" ", "_"), drop_path=dropped)
        train(one)
        scores[path] = out_of_fold(one, "best")
    both = scores["both"]
    found = [PathAuc("both", fold_auc(both))]
    for path in list(PATHS)[1:]:
        test = delong_test(scores[path].logits, both.logits, both.labels)
        found.append(PathAuc(path, fold_auc(scores[path]), test.difference, test.p_value))
    return found


def out_of_fold(run: EnsembleRun, weights: Weights) -> Scores:
    """Mean logit of each training patient over the members validated on him.

    Args:
        run: its members are finished.
        weights: "best" of the validation fold that is scored, or "last", which it did not choose.
    """
    sums: dict[int, float] = {}
    for number in range(run.members):
        member = TrainedMember(run, number)
        if weights == "last":
            state = load_weights(run.folder(number) / "run_state.pt")
            member.network.load_state_dict(state["objects"]["network"])
        for index, logit in member.score(member.validation).items():
            sums[index] = sums.get(index, 0.0) + logit / run.repeats
    label_of = _truth(run)
    index = np.array(sorted(sums), dtype=np.int64)
    logits = np.array([sums[int(i)] for i in index], dtype=np.float64)
    return Scores(index, logits, np.array([label_of[int(i)] for i in index], dtype=np.int64))


def fold_auc(scores: Scores) -> FoldAuc:
    """Its AUC."""
    return FoldAuc(**asdict(delong_interval(scores.logits, scores.labels)))


def shuffled_labels(patients: Sequence[str], labels: Sequence[int], seed: int) -> list[int]:
    """Labels dealt anew to whole patients, among those with as many studies, so that each keeps the labels of one.

    Args:
        patients: ``[N]`` of each study.
        labels: ``[N]`` of each study.
        seed: of the shuffling.
    """
    rng = np.random.default_rng(seed)
    studies: dict[str, list[int]] = {}
    for position, patient in enumerate(patients):
        studies.setdefault(patient, []).append(position)
    dealt = list(labels)
    for size in sorted({len(positions) for positions in studies.values()}):
        group = [positions for _, positions in sorted(studies.items()) if len(positions) == size]
        for to, source in zip(group, rng.permutation(len(group)), strict=True):
            for position, other in zip(to, group[source], strict=True):
                dealt[position] = labels[other]
    return dealt


def _shuffled(run: EnsembleRun, seed: int) -> EnsembleRun:
    """The run on shuffled labels, with a datalist of its own that has no test side and no folds of the true labels."""
    one = _below(run, f"permutation_{seed:02d}")
    one = replace(one, datalist=one.out / "datalist.json")
    content = read_datalist(run.datalist)
    entries = [{k: v for k, v in entry.items() if k != "fold"} for entry in content.entries("training")]
    labels = shuffled_labels([e["patient"] for e in entries], [int(e["label"]) for e in entries], seed)
    dealt = [{**entry, "label": label} for entry, label in zip(entries, labels, strict=True)]
    one.out.mkdir(parents=True, exist_ok=True)
    write_datalist(make_datalist(f"{content.name}, labels shuffled", training=dealt, test=[]), one.datalist)
    return one


def _below(run: EnsembleRun, name: str, **settings: Any) -> EnsembleRun:
    """A run in a folder of its own that shares the prepared images."""
    shared = {"cache_dir": str(run.out / "cache"), "tracker": "none"}
    return replace(run, out=run.out / name, settings={**shared, **run.settings, **settings})


def _truth(run: EnsembleRun) -> dict[int, int]:
    return {entry.index: entry.label for entry in read_datalist(run.datalist).training}


def _written_scores(folder: Path, truth: dict[int, int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What a finished run wrote of these patients.

    Raises:
        TrainingError: it is not finished, or of other patients or labels.
    """
    path = folder / "out_of_fold.json"
    if not path.is_file():
        raise TrainingError(f"`{folder.name}` holds no {path.name}: it is no finished run of `prostate-alm train`.")
    rows: Iterable[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    found = {row["index"]: row for row in rows}
    if {index: row["label"] for index, row in found.items()} != truth:
        raise TrainingError(
            f"`{folder.name}` was trained on other patients or labels than this datalist's; give the datalist that "
            "its run.json names."
        )
    order = sorted(found)
    return np.array([found[i]["logit"] for i in order]), np.array([found[i]["label"] for i in order], dtype=np.int64)
