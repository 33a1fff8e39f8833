"""How hard the constraint finds each patient who needs DCE, epoch by epoch: his multiplier and his violation."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import distributed

from prostate_alm.errors import ArgumentError
from prostate_alm.files import replacing
from prostate_alm.losses import ALMLoss

QUANTILES = {"q10": 0.1, "q25": 0.25, "median": 0.5, "q75": 0.75, "q90": 0.9}


class ConstraintLog:
    """Write `multipliers.jsonl`: a line an epoch with the multiplier and the mean violation of each critical patient.

    A patient who was in no batch of an epoch (the last, incomplete one is dropped) has the violation null.

    Args:
        path: of the file; the whole of it is written after each epoch, so it never holds a torn or repeated line.
        loss: None where there is no constraint; then nothing is written.
        index: of the critical patients that are trained on, each once.

    Raises:
        ArgumentError: there is a constraint and no critical patient, or an index stands twice.
    """

    def __init__(self, path: str, loss: ALMLoss | None, index: Sequence[int]) -> None:
        if loss is not None and not len(set(index)) == len(index) > 0:
            raise ArgumentError(
                "expected the index of each critical patient once, and at least one; got "
                f"{len(index)} of {len(set(index))} patients."
            )
        self.path = Path(path)
        self.loss = loss
        self.index = list(index)
        self._row_of = {number: row for row, number in enumerate(self.index)}
        self.multipliers = torch.zeros(0, len(self.index))
        self.violations = torch.zeros(0, len(self.index))
        self._start_epoch_()

    def attach(self, engine: Engine) -> None:
        """Collect after each iteration, write after each epoch; stands before `RunState`."""
        if self.loss is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def collect(self) -> None:
        """Add the violations of this batch."""
        assert self.loss is not None
        q, index = self.loss.terms.q.cpu(), self.loss.terms.index.tolist()
        rows = torch.tensor([self._row_of[number] for number in index], dtype=torch.long)
        self._sum.index_add_(0, rows, q.to(self._sum.dtype))
        self._count.index_add_(0, rows, torch.ones(len(rows)))

    def write(self) -> None:
        """Add this epoch and write the file."""
        assert self.loss is not None
        mean = torch.where(self._count > 0, self._sum / self._count.clamp_min(1.0), torch.nan)
        self.multipliers = torch.cat([self.multipliers, self.loss.multipliers.cpu()[self.index][None]])
        self.violations = torch.cat([self.violations, mean[None]])
        self._start_epoch_()
        if distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0:
            return
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A mapping an epoch: `epoch`, and by the critical patients' `index` their `multiplier` and `violation`."""
        both = zip(self.multipliers.tolist(), self.violations.tolist(), strict=True)
        return [
            {
                "epoch": epoch,
                "index": self.index,
                "multiplier": [round(value, 7) for value in multipliers],
                "violation": [None if math.isnan(value) else round(value, 7) for value in violations],
            }
            for epoch, (multipliers, violations) in enumerate(both, 1)
        ]

    def quantiles(self) -> dict[str, float]:
        """Of the critical patients' multipliers now, as `multiplier_median` and so on; empty without a constraint."""
        if self.loss is None:
            return {}
        values = self.loss.multipliers[self.index].double().cpu()
        at = torch.quantile(values, torch.tensor(list(QUANTILES.values()), dtype=torch.float64)).tolist()
        return {f"multiplier_{name}": value for name, value in zip(QUANTILES, at, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far."""
        return {"multipliers": self.multipliers, "violations": self.violations}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Continue after these epochs."""
        self.multipliers, self.violations = state_dict["multipliers"], state_dict["violations"]

    def _start_epoch_(self) -> None:
        self._sum, self._count = torch.zeros(len(self.index), dtype=torch.float64), torch.zeros(len(self.index))
