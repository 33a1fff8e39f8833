"""From a request that brings a study to the job it becomes; the API and the page take the same way."""

import hashlib
from http import HTTPStatus

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.intake import KeyReusedError, QueueFullError
from prostate_alm.service.problems import ProblemCode, ProblemError
from prostate_alm.service.uploads import receive_study

RETRY_AFTER_SECONDS = 10


async def receive(request: Request, *, idempotency_key: str | None = None) -> str:
    """Receive the study in the body; returns the id of its job.

    Raises:
        ProblemError: no study in it, too large, too many wait, or the key stands for another study.
    """
    core: Core = request.app.state.core
    free = core.settings.free_disk_bytes
    async with receive_study(request, core.storage, free_disk_bytes=free) as received:
        try:
            return await run_in_threadpool(
                core.intake.accept,
                received.folder,
                source="upload",
                token=request.state.caller.name,
                content_sha256=received.content_sha256,
                idempotency_key=None if idempotency_key is None else _hashed(idempotency_key),
                now=utc_now(),
            )
        except QueueFullError:
            raise queue_full() from None
        except KeyReusedError as error:
            raise ProblemError(HTTPStatus.CONFLICT, ProblemCode.KEY_REUSED, detail=str(error)) from None


def _hashed(key: str) -> str:
    """A client's key is kept as a hash: whoever makes it from a patient's number tells us nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def queue_full() -> ProblemError:
    """Say that too many wait, and when to come back."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        ProblemCode.QUEUE_FULL,
        detail="too many studies wait; send this one again later and treat the patient as DCE recommended",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
