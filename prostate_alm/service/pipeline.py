"""The one way from a study to its answer: read, prepare, score, decide. The command and the worker both take it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import structlog

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.evaluation.operating_point import OperatingPoint, OperatingPoints
from prostate_alm.inference.ensemble import Ensemble
from prostate_alm.preprocessing import PreparedImage, choose_high_b
from prostate_alm.report.triage import Evidence, ModelIdentity, TriageAnswer, decide
from prostate_alm.service.deployed_model import identity_of
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.fault_injection import step
from prostate_alm.study import Study

logger = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class SeenImage:
    """What the model saw.

    Attributes:
        prepared: its channels and quality.
        high_b: b-value of its DWI channel in s/mm².
    """

    prepared: PreparedImage
    high_b: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """An answer and what was seen on the way to it.

    Attributes:
        answer: what was decided.
        image: what the model saw; None when the study did not get so far.
        seconds: how long each stage took.
    """

    answer: TriageAnswer
    image: SeenImage | None
    seconds: dict[str, float]


@dataclass
class _Progress:
    """How far a study has come."""

    evidence: Evidence
    image: SeenImage | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage; then a test may kill the process."""
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        step(f"worker.{name}")


@dataclass(frozen=True, eq=False)
class TriagePipeline:
    """An ensemble at one of its operating points.

    Attributes:
        ensemble: verified and loaded.
        operating_point: the threshold to apply.
        operating_points: all that the ensemble carries.
    """

    ensemble: Ensemble
    operating_point: OperatingPoint
    operating_points: OperatingPoints

    @classmethod
    def at(cls, ensemble: Ensemble, operating_point: str) -> Self:
        """Take the operating point of that name.

        Raises:
            EnsembleError: the ensemble's operating points are malformed.
            ArgumentError: it has none of this name; the message lists the names.
        """
        points = OperatingPoints.from_json(ensemble.operating_points_json)
        return cls(ensemble, points.named(operating_point), points)

    @property
    def model(self) -> ModelIdentity:
        """Which ensemble answers."""
        return identity_of(self.ensemble.manifest, self.ensemble.sha256)

    def answer(self, answer_id: str, read: Callable[[], Study]) -> TriageAnswer:
        """The answer of `examine` alone, for a study that is there whole."""
        return self.examine(answer_id, read, complete=True, accepted_for=self.ensemble.sha256).answer

    def examine(self, answer_id: str, read: Callable[[], Study], *, complete: bool, accepted_for: str) -> Outcome:
        """Answer for one study; whatever `read` or the ensemble raises becomes a fail-safe answer.

        Args:
            answer_id: name of the answer; holds no patient data.
            read: makes the study.
            complete: whether all of the study was received.
            accepted_for: SHA-256 of the ensemble that the study was accepted for.
        """
        progress = _Progress(Evidence(complete=complete, accepted_for=accepted_for))
        try:
            answer = self._answer(answer_id, read, progress)
        except StudyRefusedError as refusal:
            logger.warning("study refused", job=answer_id, reason=refusal.reason)
            answer = self.failed(answer_id, refusal.reason, evidence=progress.evidence)
        except Exception as error:  # a patient is waiting: nothing may end without an answer
            logger.error("study failed", job=answer_id, error=describe_error(error))
            answer = self.failed(answer_id, Reason.INTERNAL_ERROR)
        return Outcome(answer, progress.image, progress.seconds)

    def _answer(self, answer_id: str, read: Callable[[], Study], progress: _Progress) -> TriageAnswer:
        with progress.stage("read"):
            study = read()
        progress.evidence = replace(progress.evidence, series=study.series, flags=study.flags)
        with progress.stage("prepare"):
            prepared = self.ensemble.prepare(study)
            progress.image = SeenImage(prepared, choose_high_b(study.dwi))
        with progress.stage("infer"):
            score = self.ensemble.score_prepared(prepared)
        evidence = replace(progress.evidence, member_logits=score.member_logits, quality=score.quality)
        with progress.stage("decide"):
            return decide(answer_id, evidence, operating_point=self.operating_point, model=self.model)

    def failed(self, answer_id: str, reason: Reason, *, evidence: Evidence | None = None) -> TriageAnswer:
        """The fail-safe answer of a study that could not be scored."""
        known = evidence or Evidence()
        failure = Evidence(failures=(reason,), series=known.series, flags=known.flags)
        return decide(answer_id, failure, operating_point=self.operating_point, model=self.model)
