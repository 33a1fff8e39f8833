"""Every example of the documents runs; the blocks of one document share their names, in its order."""

import re
from pathlib import Path
from typing import Any

import pytest

from prostate_alm import losses

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(document: str) -> list[tuple[int, str]]:
    """Line of the first statement and source of each block."""
    text = (DOCS / document).read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("document", ["losses.md"])
def test_every_block_runs(document: str) -> None:
    found = blocks(document)
    assert found
    names: dict[str, Any] = {"__name__": "example"}
    for line, source in found:
        code = compile("\n" * line + source, str(DOCS / document), "exec")  # so that a failure names the line
        exec(code, names)


def test_the_table_of_losses_is_complete() -> None:
    table = set(re.findall(r"^\| `(\w+Loss)` \|", (DOCS / "losses.md").read_text(encoding="utf-8"), re.MULTILINE))
    public = {name for name in losses.__all__ if name.endswith("Loss")}
    assert table == public - {"ALMLoss", "PerSampleLoss"}
