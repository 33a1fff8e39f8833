"""The time, in one place; everything below the processes' main loops gets it as an argument."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
