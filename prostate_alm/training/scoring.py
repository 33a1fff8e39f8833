"""Scores that no trained member has seen: out of fold, and on an untouched calibration set."""

import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
        """Arguments of the network's class, as the config writes them."""
        definition: dict[str, Any] = self._workflow.parser["network_def"]
        return {name: value for name, value in definition.items() if name != "_target_"}

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
        return CachedDataset(entries, transforms, cache_dir=str(self._parsed("cache_dir")))

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


def out_of_fold(run: EnsembleRun, members: Sequence[TrainedMember]) -> Scores:
    """Mean logit of each training patient over the members that did not train on him.

    Raises:
        TrainingError: a patient was not scored by exactly R members.
    """
    collected: defaultdict[int, list[float]] = defaultdict(list)
    for member in members:
        for index, logit in member.score(member.validation).items():
            collected[index].append(logit)
    entries = read_datalist(run.datalist).entries("training")
    counts = {len(collected[int(entry["index"])]) for entry in entries}
    if counts != {run.repeats}:
        raise TrainingError(
            f"expected {run.repeats} out-of-fold scores a patient, found {sorted(counts)}; delete the run and repeat."
        )
    return _scores(entries, {index: float(np.mean(logits)) for index, logits in collected.items()})


def on_calibration_set(run: EnsembleRun, members: Sequence[TrainedMember], calibration: Path) -> Scores:
    """Mean logit over all members of patients that none of them trained or was validated on.

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
    by_member = [member.score(member.dataset(entries)) for member in members]
    return _scores(entries, {index: float(np.mean([scores[index] for scores in by_member])) for index in by_member[0]})


def write_scores(scores: Scores, path: Path) -> None:
    """Keep the scores as evidence: one row a patient."""
    rows = zip(scores.index.tolist(), scores.labels.tolist(), scores.logits.tolist(), strict=True)
    write_json(path, [{"index": i, "label": y, "logit": z} for i, y, z in rows])


def _scores(entries: Iterable[Entry], logits: Mapping[int, float]) -> Scores:
    labels = {int(entry["index"]): int(entry["label"]) for entry in entries}
    index = sorted(labels)
    return Scores(
        np.array(index, dtype=np.int64),
        np.array([logits[i] for i in index], dtype=np.float64),
        np.array([labels[i] for i in index], dtype=np.int64),
    )
