"""Whether two patients may be one person: one name and one birth date under two PatientIDs.

A hospital that changed its numbering, or two hospitals of one cohort, know a person twice. What is compared is a hash
under a key that this process draws and nobody keeps: of no use outside, and the same in no other run.
"""

import hashlib
import re
import secrets
import unicodedata
from functools import lru_cache

_KEY = secrets.token_bytes(32)
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_FIRST_YEAR = 1905  # before it are an anonymiser's dates: 19000101, 18500101
_PLACEHOLDER = re.compile(
    r"anon|pseudo|unknown|unbekannt|patient|subject|proband|volunteer|phantom|dummy|test|muster|removed|redacted|hidden"
    r"|de-?id|no-?name|prostat|study|studie|case|name|none|null|^(.)\1*$"
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"})


@lru_cache(maxsize=256)  # the images of a study say the same
def person_of(name: str, birth_date: str) -> str:
    """A hash that two examinations of one person share in this process; empty where the header names nobody.

    Nobody is who has one word for a name, or a digit or a placeholder (``ANONYMOUS^PATIENT``) in it, and who was born
    on no day, before 1905 or on the first of January: so anonymisers write a year.

    Args:
        name: PatientName; accents, spelling of umlauts, capitals, and names after the first given one don't count.
        birth_date: PatientBirthDate, as ``YYYYMMDD``.
    """
    words = _words(name)
    day = birth_date.strip(" \0")
    stated = _DATE.fullmatch(day) is not None and int(day[:4]) >= _FIRST_YEAR and not day.endswith("0101")
    if len(words) < 2 or not stated or any(_PLACEHOLDER.search(word) for word in words):
        return ""
    return hashlib.blake2b(f"{' '.join(words)}\0{day}".encode(), key=_KEY, digest_size=12).hexdigest()


def _words(name: str) -> list[str]:
    """Family name and first given name in small Latin letters, in the order of the alphabet; none of a code."""
    family, _, given = name.split("=", maxsplit=1)[0].partition("^")
    given = given.split("^")[0].split(" ")[0]
    small = unicodedata.normalize("NFC", f"{family} {given}".casefold()).translate(_UMLAUTS)
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", small) if not unicodedata.combining(sign))
    if any(sign.isdigit() for sign in bare):
        return []
    return sorted(word for word in re.findall(r"[^\W_]+", bare) if len(word) > 1)
