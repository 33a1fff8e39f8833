"""Keep a patient out of what a scanner wrote as free text: words that are also in the patient's tags, dates, numbers.

The tags are kept as hashes of their words only, so what recognises a name can't give it away by itself.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

HIDDEN = "***"
_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"[^\W\d_]+|\d+")
_MONTH = r"(?:JAN|FEB|MAR|M\u00c4R|APR|MA[IY]|JUN|JUL|AUG|SEP|O[CK]T|NOV|DE[CZ])[A-Z]*"
_DATE_OR_UID = re.compile(
    r"(?<!\d)(?:\d{4}([-./_ ])\d{1,2}\1\d{1,2}|\d{1,2}([-./_ ])\d{1,2}\2(?:19|20)\d\d|\d\d([-./])\d\d\3\d\d"
    rf"|\d{{1,2}}[-._ ]*{_MONTH}[-._ ]*(?:\d{{4}}|\d\d)|\d+(?:\.\d+){{3,}})(?!\d)",
    re.IGNORECASE,
)
_UMLAUTS = str.maketrans(
    {"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00f8": "oe", "\u00e5": "aa", "\u00e6": "ae"}
)
_SHORTEST_GLUED = 5  # letters of a patient's word that is hidden inside a longer one
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
    return frozenset(pseudonym(spelt) for word in words if _says_something(word) for spelt in _spellings(word))


def _spellings(word: str) -> frozenset[str]:
    """As it is, without accents, and with its umlauts written out: tags and free text differ in that."""
    small = unicodedata.normalize("NFC", word.casefold())
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", small) if not unicodedata.combining(sign))
    return frozenset((small, bare, small.translate(_UMLAUTS)))


def _says_something(word: str) -> bool:
    return len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST_WORD)


@lru_cache(maxsize=1024)
def scrubbed(text: str, words: frozenset[str]) -> str:
    """Free text with the words in `words`, dates, UIDs, and numbers as long as dates, replaced by ``***``.

    A word of five letters or more is found inside a longer one too.

    >>> scrubbed("t2_tse_DOE 20240102", word_hashes(["Doe^Jane"]))
    't2_tse_*** ***'
    """

    def hide(run: re.Match[str]) -> str:
        return HIDDEN if _is_told(run[0], words) else _PART.sub(hide_part, run[0])

    def hide_part(part: re.Match[str]) -> str:
        return HIDDEN if _is_told(part[0], words) or _holds_one(part[0], words) else part[0]

    return _RUN.sub(hide, _DATE_OR_UID.sub(HIDDEN, text))


def _is_told(word: str, words: frozenset[str]) -> bool:
    if word.isdigit() and len(word) >= _IDENTIFYING_DIGITS:
        return True
    return _says_something(word) and any(pseudonym(spelt) in words for spelt in _spellings(word))


def _holds_one(word: str, words: frozenset[str]) -> bool:
    """Whether a word of `words` is part of a longer one."""
    if not words or word.isdigit():
        return False
    ends = range(_SHORTEST_GLUED, len(word) + 1)
    return any(_is_told(word[start:end], words) for end in ends for start in range(end - _SHORTEST_GLUED + 1))
