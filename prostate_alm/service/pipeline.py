"""The one way from a study to its answer: read, score, decide. The command and the service both take it."""

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.evaluation.operating_point import OperatingPoint, OperatingPoints
from prostate_alm.inference.ensemble import Ensemble
from prostate_alm.report.triage import Evidence, ModelIdentity, TriageAnswer, decide
from prostate_alm.study import Study

logger = logging.getLogger(__name__)


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
        manifest = self.ensemble.manifest
        return ModelIdentity(
            name=manifest.name, version=manifest.version, sha256=self.ensemble.sha256, members=manifest.members
        )

    def answer(self, answer_id: str, read: Callable[[], Study]) -> TriageAnswer:
        """Answer for one study; whatever `read` or the ensemble raises becomes a fail-safe answer.

        Args:
            answer_id: name of the answer; holds no patient data.
            read: makes the study.
        """
        evidence = Evidence()
        try:
            study = read()
            evidence = Evidence(series=study.series, flags=study.flags)
            score = self.ensemble.score(study)
            evidence = Evidence(
                member_logits=score.member_logits, quality=score.quality, series=study.series, flags=study.flags
            )
            return decide(answer_id, evidence, operating_point=self.operating_point, model=self.model)
        except StudyRefusedError as refusal:
            logger.warning("study %s refused: %s", answer_id, refusal)
            return self.failed(answer_id, refusal.reason, evidence=evidence)
        except Exception as error:  # a patient is waiting: nothing may end without an answer
            logger.error("study %s failed: %s", answer_id, describe_error(error))
            return self.failed(answer_id, Reason.INTERNAL_ERROR)

    def failed(self, answer_id: str, reason: Reason, *, evidence: Evidence | None = None) -> TriageAnswer:
        """The fail-safe answer of a study that could not be scored."""
        known = evidence or Evidence()
        failure = Evidence(failures=(reason,), series=known.series, flags=known.flags)
        return decide(answer_id, failure, operating_point=self.operating_point, model=self.model)


def describe_error(error: BaseException) -> str:
    """Type and place of an unforeseen error; its text could quote the input, and with it the patient."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
