"""Train under the constraint that no critical case is missed, and answer from it.

Importing this package imports nothing heavy; take what you need from its parts, for example
``prostate_alm.losses`` (torch only) or ``prostate_alm.readers`` (no torch).
"""

__version__ = "0.1.0"
