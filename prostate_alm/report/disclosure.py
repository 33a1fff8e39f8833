"""What is shown of an answer: silent mode and random audits. What was decided stays in the record."""

import hashlib
import hmac
from dataclasses import dataclass, field

from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.report.triage import Basis, Recommendation, TriageAnswer

SHORTEST_SECRET = 16


@dataclass(frozen=True)
class DisclosurePolicy:
    """What a deployment chose.

    Attributes:
        silent: hide every answer, so that all patients get DCE while the model is watched.
        audit_share: share of the studies, 0 to 1, that are recommended DCE whatever the model says.
        secret: of the deployment, at least 16 bytes: who does not know it can't tell which studies are drawn.

    Raises:
        ArgumentError: a share outside 0 to 1, or a secret too short.
    """

    silent: bool = False
    audit_share: float = 0.0
    secret: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.audit_share <= 1.0:
            raise ArgumentError(f"`audit_share` must lie between 0 and 1, got {self.audit_share}.")
        if self.audit_share > 0 and len(self.secret) < SHORTEST_SECRET:
            raise ArgumentError(f"`secret` must have at least {SHORTEST_SECRET} bytes where audits are drawn.")


@dataclass(frozen=True)
class Disclosed:
    """An answer as it is shown.

    Attributes:
        shown: what everybody gets.
        silent: whether it is hidden because the service runs silently.
        audited: whether it is hidden because its study was drawn for an audit.
    """

    shown: TriageAnswer
    silent: bool = False
    audited: bool = False


def disclose(recorded: TriageAnswer, policy: DisclosurePolicy, *, content: str) -> Disclosed:
    """Hide an answer, or show it.

    Hidden is only ever shown as ``DCE_RECOMMENDED``. An audit is drawn among all answers of the model, those that
    recommend DCE too: these patients get it anyway, and so `Reason.RANDOM_AUDIT` tells nobody what the model said.
    The share of "not needed" that is audited is the same. A fail-safe answer hides nothing and is shown, unless the
    service is silent.

    Args:
        recorded: what was decided.
        policy: what the deployment chose.
        content: SHA-256 of what the model saw. The draw is a function of it, so that a study sent again, in whatever
            file, is not drawn again.
    """
    if policy.silent:
        return Disclosed(hidden(recorded, Reason.SILENT_MODE), silent=True)
    if recorded.basis is Basis.MODEL and is_drawn(policy, content):
        return Disclosed(hidden(recorded, Reason.RANDOM_AUDIT), audited=True)
    return Disclosed(recorded)


def still_shown(shown: TriageAnswer, *, superseded: bool, deployed: bool, policy: DisclosurePolicy) -> TriageAnswer:
    """What is left of an answer when it is read: the word of the model holds only as long as all that it rests on.

    Args:
        shown: as it was stored.
        superseded: whether more of the study came after it.
        deployed: whether the service still runs the ensemble and the operating point that gave it.
        policy: what the deployment chooses now. Whoever switches the silent mode on hides what was shown before, too.
    """
    if shown.basis is Basis.MODEL and superseded:
        return hidden(shown, Reason.SUPERSEDED)
    if shown.basis is Basis.MODEL and not deployed:
        return hidden(shown, Reason.MODEL_DIFFERS)
    return hidden(shown, Reason.SILENT_MODE) if policy.silent else shown  # one that failed safe may bear a score, too


def is_drawn(policy: DisclosurePolicy, content: str) -> bool:
    """Whether a study is audited: a keyed hash of its content, as a number from 0 to 1, is below the share."""
    digest = hmac.new(policy.secret, content.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8]) < policy.audit_share * 2**64


def hidden(recorded: TriageAnswer, reason: Reason) -> TriageAnswer:
    """The answer without anything that depends on the score: it tells what was read, and that DCE is recommended."""
    return TriageAnswer(
        id=recorded.id,
        recommendation=Recommendation.DCE_RECOMMENDED,
        basis=Basis.FAILSAFE,
        reasons=(reason,),
        probability=None,
        logit=None,
        member_logits=(),
        operating_point=recorded.operating_point,
        series=recorded.series,
        flags=recorded.flags,
        quality=(),
        model=recorded.model,
    )
