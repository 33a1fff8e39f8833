"""How an unforeseen error is named without quoting it."""

import traceback


def describe_error(error: BaseException) -> str:
    """Type and place of an unforeseen error; its text could quote the input, and with it the patient."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
