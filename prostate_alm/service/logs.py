"""Logs without patients: JSON lines whose keys stand on a list, with constant events.

Whatever another library says loses its text: pydicom, nibabel and tracebacks quote the values of a file.
"""

import logging
import re
import sys
import warnings
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from prostate_alm.service.descriptions import describe_error

ALLOWED = frozenset(
    {
        *("event", "level", "timestamp"),
        *("answer_id", "attempt", "backend", "basis", "bytes", "caller", "code", "count", "destination", "difference"),
        *(
            "error",
            "failures",
            "fault",
            "flags",
            "host",
            "job",
            "kind",
            "library",
            "lines",
            "members",
            "method",
            "model",
        ),
        *("name", "operating_point", "pacs", "parts", "pid", "port", "reason", "reasons", "recommendation", "route"),
        *("seconds", "sha256", "signal", "source", "stage", "state", "status", "version", "worker"),
    }
)
EVENT = re.compile(r"[a-z][a-z0-9 _'-]{0,79}")
VALUE = re.compile(r"[\w .,:;()<>\[\]/+=-]{0,200}", re.ASCII)
_dropped = 0


def configure_logs(level: int = logging.INFO) -> None:
    """Send what this package logs to stderr as JSON, and of everything else only who spoke and how loud."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Mute()]
    root.setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        found = logging.getLogger(name)
        found.handlers.clear()
        found.propagate = True
    warnings.simplefilter("ignore")


def only_allowed(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Drop every key that is not allowed, and every value that could be free text; say how many."""
    global _dropped  # noqa: PLW0603 - one process, one count
    kept = {key: value for key, value in entry.items() if key in ALLOWED and _is_plain(value)}
    if not EVENT.fullmatch(str(entry.get("event", ""))):
        kept["event"] = "an event without a constant name"
    dropped = len(entry) - len(kept.keys() & entry.keys())
    if dropped:
        kept["dropped"] = dropped
        _dropped += dropped
    return kept


def dropped_keys() -> int:
    """How many keys were dropped in this process; more than 0 is a fault in this package."""
    return _dropped


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, str) and VALUE.fullmatch(value) is not None


class _Mute(logging.Handler):
    """Turns a library's record into an entry that holds none of its text."""

    def emit(self, record: logging.LogRecord) -> None:
        extra: MutableMapping[str, Any] = {"library": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            extra["error"] = describe_error(record.exc_info[1])
        level = min(logging.CRITICAL, max(logging.DEBUG, record.levelno // 10 * 10))
        structlog.get_logger().log(level, "a library spoke", **extra)
