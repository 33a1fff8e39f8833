"""Who asks: tokens, kept as hashes with scopes, and the sessions of browsers.

A token is 256 random bits, so a plain SHA-256 keeps it: there is no dictionary to try. What a token may do follows from
method and path alone and is decided before the body is read.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from prostate_alm.errors import ArgumentError
from prostate_alm.service.problems import Problem, ProblemCode, problem_response
from prostate_alm.service.settings import ServiceSettings

COOKIE = "prostate_alm_session"
SESSION_HOURS = 12
SHORTEST_TOKEN = 16
LARGEST_FILE = 2**20
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN = ("/healthz/", "/static/")
LOGIN, LOGOUT = "/login", "/logout"


class TokenScope(StrEnum):
    """What a token may do."""

    SUBMIT = "submit"
    READ = "read"
    METRICS = "metrics"


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: of the token; `local` where the service needs none, `anonymous` before the login.
        scopes: what it may do.
        browser: whether it came by a session's cookie.
    """

    name: str
    scopes: frozenset[TokenScope]
    browser: bool = False


LOCAL = Caller("local", frozenset(TokenScope))
ANONYMOUS = Caller("anonymous", frozenset())


class TokenEntry(BaseModel):
    """A line of the tokens' file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="appears in logs and in the audit")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the token")
    scopes: Annotated[tuple[TokenScope, ...], Field(min_length=1)]


def new_token(name: str, scopes: Iterable[TokenScope]) -> tuple[str, str]:
    """A random token, and its line for the tokens' file.

    Raises:
        ArgumentError: the name or the scopes can't stand in the file.
    """
    token = secrets.token_urlsafe(32)
    try:
        entry = TokenEntry(name=name, sha256=_sha256(token), scopes=tuple(scopes))
    except ValidationError:
        raise ArgumentError(
            "a token has a name of up to 64 letters, digits, `_`, `.` or `-`, and at least one scope of "
            f"{', '.join(TokenScope)}."
        ) from None
    return token, f"- {{name: {entry.name}, sha256: {entry.sha256}, scopes: [{', '.join(entry.scopes)}]}}"


class Tokens:
    """The tokens that a service knows.

    Args:
        entries: with names and hashes that differ.
    """

    def __init__(self, entries: Iterable[TokenEntry]) -> None:
        self._entries = tuple(entries)
        for values in ([entry.name for entry in self._entries], [entry.sha256 for entry in self._entries]):
            if len(set(values)) < len(values):
                raise ArgumentError("two tokens have one name or one hash; give each its own.")

    @classmethod
    def of(cls, settings: ServiceSettings) -> "Tokens":
        """Those of the file and the one of the environment.

        Raises:
            ArgumentError: the file can't be used, or the one of the environment is too short.
        """
        entries = [] if settings.tokens_file is None else _read_tokens(settings.tokens_file)
        if settings.token is not None:
            token = settings.token.get_secret_value()
            if len(token) < SHORTEST_TOKEN:
                raise ArgumentError(
                    f"`token` needs {SHORTEST_TOKEN} random characters; `prostate-alm token` makes one."
                )
            entries.append(TokenEntry(name="token", sha256=_sha256(token), scopes=tuple(TokenScope)))
        return cls(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: str) -> Caller | None:
        """Whose token it is; takes the same time for each."""
        digest, found = _sha256(token), None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, digest):
                found = Caller(entry.name, frozenset(entry.scopes))
        return found


def check_exposure(settings: ServiceSettings) -> None:
    """Refuse to serve other machines without a token.

    Raises:
        ArgumentError: there is none, and `host` can be reached from outside; or the tokens can't be used.
    """
    if not len(Tokens.of(settings)) and not is_loopback(settings.host):
        raise ArgumentError(
            f"`host` {settings.host} can be reached from other machines, and there is no token. Set `tokens_file` or "
            "the environment variable PROSTATE_ALM_TOKEN, or listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Sessions:
    """Browsers that showed a token; they are forgotten when the service ends."""

    def __init__(self, largest: int = 1000) -> None:
        self._largest = largest
        self._sessions: dict[str, tuple[Caller, datetime]] = {}

    def open(self, caller: Caller, now: datetime) -> str:
        """The value of a new session's cookie. A browser never gets the scope of metrics."""
        self._sessions = {key: one for key, one in self._sessions.items() if one[1] > now}
        while len(self._sessions) >= self._largest:
            del self._sessions[next(iter(self._sessions))]
        key = secrets.token_urlsafe(32)
        seen = Caller(caller.name, caller.scopes - {TokenScope.METRICS}, browser=True)
        self._sessions[_sha256(key)] = (seen, now + timedelta(hours=SESSION_HOURS))
        return key

    def find(self, key: str, now: datetime) -> Caller | None:
        """Whose session it is, while it lasts."""
        caller, until = self._sessions.get(_sha256(key), (None, now))
        return caller if until > now else None

    def close(self, key: str) -> None:
        """Forget a session."""
        self._sessions.pop(_sha256(key), None)


class Authentication:
    """ASGI middleware that says who asks, or ends the request with 401 or 403; it looks before the body is read.

    Args:
        app: what gets the request, with the `Caller` in its state.
        tokens: none lets everybody in; the service then listens to this machine alone.
        sessions: of browsers.
        clock: gives the time in UTC.
        on_refused: told of each request that is refused, with its code.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens,
        sessions: Sessions,
        clock: Callable[[], datetime],
        on_refused: Callable[[Caller, ProblemCode], Awaitable[None]] | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        caller = self._caller(scope)
        scope.setdefault("state", {})["caller"] = caller or ANONYMOUS
        if _is_open(scope["path"]) or (caller is not None and _needed(scope) in caller.scopes):
            await self._app(scope, receive, send)
        elif caller is None and _wants_page(scope):
            await RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)(scope, receive, send)
        else:
            problem, headers = _refusal(caller, _needed(scope))
            if self._on_refused is not None:
                await self._on_refused(caller or ANONYMOUS, problem.code)
            await problem_response(problem, headers)(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller | None:
        """A token in the header counts before a session."""
        if not len(self._tokens):
            return LOCAL
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if given:
            kind, _, token = given[0].partition(" ")
            return self._tokens.find(token.strip()) if len(given) == 1 and kind.lower() == "bearer" else None
        key = session_key(headers)
        return self._sessions.find(key, self._clock()) if key else None


def session_key(headers: Mapping[str, str]) -> str | None:
    """The value of the session's cookie."""
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookie[COOKIE].value if COOKIE in cookie else None


def _is_open(path: str) -> bool:
    return path.startswith(OPEN) or path == LOGIN


def _needed(scope: Scope) -> TokenScope:
    if scope["path"] == "/metrics":
        return TokenScope.METRICS
    return TokenScope.READ if scope.get("method") in SAFE_METHODS or scope["path"] == LOGOUT else TokenScope.SUBMIT


def _wants_page(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope.get("method") == "GET" and "text/html" in headers.get("accept", "") and "authorization" not in headers


def _refusal(caller: Caller | None, needed: TokenScope) -> tuple[Problem, dict[str, str]]:
    if caller is None:
        status, code = HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED
        detail, headers = (
            "send the header `Authorization: Bearer TOKEN` with a token of this service",
            {"WWW-Authenticate": "Bearer"},
        )
    else:
        status, code = HTTPStatus.FORBIDDEN, ProblemCode.SCOPE_MISSING
        detail, headers = f"this token lacks the scope `{needed}`; take one that has it", {}
    return Problem(title=status.phrase, status=status, code=code, detail=detail), headers


def _read_tokens(path: Path) -> list[TokenEntry]:
    try:
        with path.open("rb") as file:
            content: Any = yaml.safe_load(file.read(LARGEST_FILE))
        return TypeAdapter(list[TokenEntry]).validate_python(content or [])
    except OSError as error:
        raise ArgumentError(
            f"`tokens_file` can't be read ({type(error).__name__}); check its path and rights."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ArgumentError(
            "`tokens_file` must be a list of entries with `name`, `sha256` and `scopes`, as `prostate-alm token` "
            "prints them."
        ) from None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
