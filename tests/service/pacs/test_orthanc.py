"""The recipe of docs/pacs.md against a real Orthanc: sent, pulled, answered, and the SR is there and opens."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "pacs.md"
PROGRAMS = ("Orthanc", "storescu", "dsrdump", "curl", "jq", "unshare", "ip")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NAMESPACE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Of its own: Debian's Orthanc listens on every address, and all that was started ends with it."""


def what_is_missing():
    programs = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if programs or not PLUGIN.exists():
        return f"not installed: {', '.join(programs) or PLUGIN.name}"
    tried = subprocess.run([*NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return "this machine gives no network namespace" if tried.returncode else ""


def blocks_of(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def recipe(parcels, dicom_folders, tmp_path):
    """The files of the recipe with shorter times, in a folder with two studies; returns the script."""
    (orthanc,), (lua,), (settings,) = (blocks_of(language) for language in ("json", "lua", "yaml"))
    (tmp_path / "orthanc.json").write_text(orthanc.replace('"StableAge": 60', '"StableAge": 3'))
    (tmp_path / "forward.lua").write_text(lua)
    settings = settings.replace("/srv/ensemble", str(parcels["never"])).replace("quiet_seconds: 30", "quiet_seconds: 2")
    (tmp_path / "triage.yaml").write_text(settings + "free_disk_bytes: 0\n")
    for name, folder in zip(("study", "next-study"), dicom_folders, strict=True):
        shutil.copytree(folder, tmp_path / name)
    script = tmp_path / "recipe.sh"
    script.write_text("\n".join(["set -eu -o pipefail", "ip link set lo up", *blocks_of("bash")]))
    return script


@pytest.mark.timeout(900)
def test_the_recipe_works_against_a_real_orthanc(recipe):
    missing = what_is_missing()
    if missing:
        pytest.skip(f"{missing}; on Debian: apt-get install orthanc orthanc-dicomweb dcmtk curl jq iproute2")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROSTATE_ALM_")}
    done = subprocess.run(
        [*NAMESPACE, "bash", recipe], cwd=recipe.parent, env=environment | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, timeout=800, check=False,
    )  # fmt: skip
    log = (done.stdout + done.stderr).decode("latin-1")
    assert done.returncode == 0, log
    answer = json.loads((recipe.parent / "answer.json").read_text())
    assert (answer["recommendation"], answer["basis"]) == ("DCE_NOT_NEEDED", "MODEL")
    assert "Comprehensive 3D SR Document" in log
    assert '(DCE_NOT_NEEDED,99PALM,"Contrast-enhanced sequence (DCE) not needed")' in log
    newest, oldest = json.loads((recipe.parent / "studies.json").read_text())
    assert (newest["source"], newest["basis"]) == ("stow", "MODEL")
    assert oldest["id"] == answer["id"]
