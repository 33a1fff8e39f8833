"""Scores that no trained member has seen: out of fold, and on an untouched calibration set."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.workflows import ConfigWorkflow
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import CohortError, TrainingError
from prostate_alm.networks.weights import load_weights
from prostate_alm.parcel import write_json
from prostate_alm.training.data import CachedDataset
from prostate_alm.training.ensemble import EnsembleRun

Entry = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Scores:
    """Mean logits of patients and what they are.

    Attributes:
        index: ``[N]`` of the datalist entries, ascending.
        logits: ``[N]`` mean over the members that may score the patient.
        labels: ``[N]`` 0 or 1.
    """

    index: NDArray[np.int64]
    logits: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MemberScores:
    """Logits of all members for patients.

    Attributes:
        entries: N of a datalist.
        logits: ``[K, N]``.
        unseen: ``[K, N]``, whether the member did not train on the patient.
        times: how many members must not have trained on a patient, for every one.

    Raises:
        TrainingError: for a patient they are more or fewer.
    """

    entries: Sequence[Entry]
    logits: NDArray[np.float64]
    unseen: NDArray[np.bool_]
    times: int

    def __post_init__(self) -> None:
        counts = sorted(set(self.unseen.sum(axis=0).tolist()))
        if counts != [self.times]:
            raise TrainingError(
                f"expected {self.times} out-of-fold scores a patient, found {counts}; delete the run and repeat."
            )

    @property
    def mean_unseen(self) -> NDArray[np.float64]:
        """``[N]`` mean logit of each patient over the members that did not train on him."""
        return np.where(self.unseen, self.logits, 0.0).sum(axis=0) / self.times

    @property
    def scores(self) -> Scores:
        """The same with index and label, in ascending order of the index."""
        index = np.array([int(entry["index"]) for entry in self.entries], dtype=np.int64)
        labels = np.array([int(entry["label"]) for entry in self.entries], dtype=np.int64)
        order = np.argsort(index)
        return Scores(index[order], self.mean_unseen[order], labels[order])


class TrainedMember:
    """A finished member: its network with the best weights, and the data it was validated on."""

    def __init__(self, run: EnsembleRun, member: int) -> None:
        self._workflow = _workflow(run.arguments(member))
        self.weights = load_weights(run.folder(member) / "model.pt")
        self.network: torch.nn.Module = self._parsed("network")
        self.network.load_state_dict(self.weights)
        self.network.eval()

    @property
    def network_arguments(self) -> dict[str, Any]:
        """Arguments of the network's class, its expressions evaluated."""
        definition: dict[str, Any] = self._workflow.parser["network_def"]
        return {name: self._parsed(f"network_def#{name}") for name in definition if name != "_target_"}

    @property
    def profile(self) -> str:
        """Voxel size of its preprocessing."""
        return str(self._parsed("profile"))

    @property
    def box_mm(self) -> list[float]:
        """Box of its preprocessing."""
        return [float(size) for size in self._parsed("box_mm")]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the run is a run of, but the member's number."""
        return {name: value for name, value in self._parsed("run_state#identity").items() if name != "member"}

    @property
    def seed(self) -> int:
        """What its weights and shuffling were drawn from."""
        return int(self._parsed("run_seed"))

    @property
    def validation(self) -> CachedDataset:
        """The fold this member was validated on."""
        return self._parsed("validate#dataset")

    def dataset(self, entries: Sequence[Entry]) -> CachedDataset:
        """Other entries, prepared as in training."""
        transforms = self._parsed("train#preprocessing")
        hidden = [self._parsed("train#hidden")]
        return CachedDataset(entries, transforms, augment=hidden, cache_dir=str(self._parsed("cache_dir")))

    def score(self, dataset: CachedDataset) -> dict[int, float]:
        """Logit by index."""
        device = next(self.network.parameters()).device
        scores: dict[int, float] = {}
        with torch.inference_mode():
            for batch in DataLoader(dataset, batch_size=8):
                logits = self.network(batch["image"].to(device)).reshape(-1).cpu()
                scores |= dict(zip(batch["index"].tolist(), logits.tolist(), strict=True))
        return scores

    def _parsed(self, name: str) -> Any:
        return self._workflow.parser.get_parsed_content(name)


def _workflow(arguments: Mapping[str, Any]) -> ConfigWorkflow:
    """The member's config, parsed; without the messages that MONAI prints for each."""
    settings = {
        name: value for name, value in arguments.items() if name not in ("config_file", "meta_file", "logging_file")
    }
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        workflow = ConfigWorkflow(
            config_file=arguments["config_file"],
            meta_file=arguments["meta_file"],
            logging_file=False,
            workflow_type="train",
            **settings,
        )
    workflow.initialize()
    return workflow


def on_training_set(run: EnsembleRun, members: Sequence[TrainedMember]) -> MemberScores:
    """Score every training patient with every member.

    Raises:
        TrainingError: a patient was not left out by exactly R members.
    """
    entries = read_datalist(run.datalist).entries("training")
    unseen = [{int(entry["index"]) for entry in member.validation.data} for member in members]
    return MemberScores(
        entries,
        _member_logits(members, entries),
        np.array([[int(entry["index"]) in indices for entry in entries] for indices in unseen]),
        times=run.repeats,
    )


def on_calibration_set(run: EnsembleRun, members: Sequence[TrainedMember], calibration: Path) -> MemberScores:
    """Score patients that no member trained or was validated on.

    Args:
        run: the finished run.
        members: all of its members.
        calibration: a datalist; both its sections are used.

    Raises:
        CohortError: a patient of it was in training, or is in the run's own test section.
    """
    own, other = read_datalist(run.datalist), read_datalist(calibration)
    entries = [*other.entries("training"), *other.entries("test")]
    known = {entry["patient"] for section in ("training", "test") for entry in own.entries(section)}
    shared = known & {entry["patient"] for entry in entries}
    if shared:
        raise CohortError(
            f"{len(shared)} patients of the calibration set are in the training datalist too; "
            "a calibration set must be untouched."
        )
    logits = _member_logits(members, entries)
    return MemberScores(entries, logits, np.ones(logits.shape, dtype=np.bool_), times=len(members))


def write_scores(scores: Scores, path: Path) -> None:
    """Keep the scores as evidence: one row a patient."""
    rows = zip(scores.index.tolist(), scores.labels.tolist(), scores.logits.tolist(), strict=True)
    write_json(path, [{"index": i, "label": y, "logit": z} for i, y, z in rows])


def _member_logits(members: Sequence[TrainedMember], entries: Sequence[Entry]) -> NDArray[np.float64]:
    """``[K, N]``, in the order of the entries."""
    by_member = [member.score(member.dataset(entries)) for member in members]
    return np.array([[scores[int(entry["index"])] for entry in entries] for scores in by_member], dtype=np.float64)
