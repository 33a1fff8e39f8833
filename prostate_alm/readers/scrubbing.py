"""Keep a patient out of what a scanner wrote as free text: words that are also in the patient's tags, dates, numbers.

The tags are kept as hashes of their words only, so what recognises a name can't give it away by itself.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

HIDDEN = "***"
_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"[^\W\d_]+|\d+")
_DATE_OR_UID = re.compile(
    r"(?<!\d)(\d{4}([-./])\d{1,2}\2\d{1,2}|\d{1,2}([-./])\d{1,2}\3(19|20)\d\d|\d+(\.\d+){3,})(?!\d)"
)
_SHORTEST_WORD = 3
_SHORTEST_NUMBER = 4  # 800 of a b-value may also stand in an ID
_IDENTIFYING_DIGITS = 6  # a date, a time or an ID; no scan parameter has as many


def pseudonym(text: str) -> str:
    """A name that tells two texts apart and gives neither away; empty for an empty one."""
    normal = text.strip(" \0^").casefold()
    return hashlib.sha256(normal.encode("utf-8", errors="replace")).hexdigest()[:12] if normal else ""


def word_hashes(texts: Iterable[str]) -> frozenset[str]:
    """Hashes of the words in the tags of a patient, to recognise them elsewhere."""
    return _word_hashes(tuple(texts))


@lru_cache(maxsize=256)  # the images of a study say the same
def _word_hashes(texts: tuple[str, ...]) -> frozenset[str]:
    runs = [run for text in texts for run in _RUN.findall(text)]
    words = {word for run in runs for word in (run, *_PART.findall(run))}
    return frozenset(pseudonym(word) for word in words if _says_something(word))


def _says_something(word: str) -> bool:
    return len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD)


def scrubbed(text: str, words: frozenset[str]) -> str:
    """Free text with the words in `words`, dates, UIDs, and numbers as long as dates, replaced by ``***``.

    >>> scrubbed("t2_tse_DOE 20240102", word_hashes(["Doe^Jane"]))
    't2_tse_*** ***'
    """

    def hide(run: re.Match[str]) -> str:
        return HIDDEN if _is_told(run[0], words) else _PART.sub(hide_part, run[0])

    def hide_part(part: re.Match[str]) -> str:
        return HIDDEN if _is_told(part[0], words) else part[0]

    return _RUN.sub(hide, _DATE_OR_UID.sub(HIDDEN, text))


def _is_told(word: str, words: frozenset[str]) -> bool:
    if word.isdigit() and len(word) >= _IDENTIFYING_DIGITS:
        return True
    return _says_something(word) and pseudonym(word) in words
