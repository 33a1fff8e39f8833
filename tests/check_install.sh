#!/usr/bin/env bash
# Installs the package without extras into a new environment and uses the losses there. Too slow for each run of the
# tests: `make check-install`.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3.11}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --constraint constraints.txt torch==2.13.0 .
cd "$place"
"$place/venv/bin/python" -W error - <<'PYTHON'
import importlib.metadata
import sys

import torch

from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint

loss = ALMLoss(BCELoss(), RankingConstraint(delta=0.25), num_samples=8, mu=1e-2)
logits = torch.zeros(8, requires_grad=True)
loss(logits, torch.tensor([1, 0] * 4), index=torch.arange(8)).backward()
loss.update_multipliers_()
assert int(loss.multipliers.count_nonzero()) == 4

asked = {"torch", "numpy", "prostate-alm", "pip", "setuptools"}
of_torch = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "sympy", "typing-extensions"}
installed = {d.metadata["Name"].lower().replace("_", "-") for d in importlib.metadata.distributions()}
print("installed:", ", ".join(sorted(installed)))
assert installed <= asked | of_torch, sorted(installed - asked - of_torch)
assert not {"monai", "pydicom"} & set(sys.modules)
PYTHON
echo "prostate_alm.losses runs on torch and numpy alone"
