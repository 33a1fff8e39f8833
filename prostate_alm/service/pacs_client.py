"""How the service speaks with a configured PACS over DICOMweb: to its address alone, with limits, never redirected."""

import ssl
from typing import TypedDict

import httpx2

from prostate_alm.errors import ProstateALMError
from prostate_alm.service.problems import ProblemCode
from prostate_alm.service.settings import Pacs

CONNECT_SECONDS = 5.0


class PacsError(ProstateALMError):
    """A PACS did not do what was asked; the message quotes nothing of its answer."""

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Connection(TypedDict):
    """Arguments that both kinds of client take."""

    base_url: str
    headers: dict[str, str]
    auth: httpx2.BasicAuth | None
    verify: ssl.SSLContext
    timeout: httpx2.Timeout
    follow_redirects: bool
    trust_env: bool


def connection(pacs: Pacs) -> Connection:
    """Arguments of a client for `pacs`; its secrets are read from their files here, so that they may change.

    Raises:
        PacsError: a file with a secret or certificates can't be read.
    """
    try:
        token = pacs.token_file.read_text(encoding="utf-8").strip() if pacs.token_file else None
        password = pacs.password_file.read_text(encoding="utf-8").strip() if pacs.password_file else None
        certificates = ssl.create_default_context(cafile=pacs.ca_file)
    except (OSError, UnicodeDecodeError):
        raise PacsError(
            ProblemCode.PACS_FAILED, f"a file of the PACS `{pacs.name}` can't be read; see its settings."
        ) from None
    return Connection(
        base_url=str(pacs.url).rstrip("/"),
        headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        auth=httpx2.BasicAuth(pacs.user, password) if pacs.user and password else None,
        verify=certificates,
        timeout=httpx2.Timeout(pacs.timeout_seconds, connect=min(CONNECT_SECONDS, pacs.timeout_seconds)),
        follow_redirects=False,
        trust_env=False,  # no proxy and no password from elsewhere: the address in the settings is the one asked
    )


def pacs_error(pacs: Pacs, error: httpx2.HTTPError) -> PacsError:
    """Put a failed exchange into words of our own."""
    if isinstance(error, httpx2.TimeoutException):
        return PacsError(
            ProblemCode.PACS_TIMEOUT, f"the PACS `{pacs.name}` did not answer within {pacs.timeout_seconds:g} s."
        )
    return PacsError(ProblemCode.PACS_FAILED, f"the PACS `{pacs.name}` can't be reached ({type(error).__name__}).")
