"""docs/deployment.md and docs/safety.md speak of settings, metrics, faults and reasons that there are."""

import re
from datetime import UTC, datetime
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Basis, Recommendation
from prostate_alm.service.metrics import ServiceMetrics
from prostate_alm.service.readiness import Fault
from prostate_alm.service.settings import CompletenessRule, ServiceSettings

DOCS = Path(__file__).parents[2] / "docs"
DEPLOYMENT = (DOCS / "deployment.md").read_text(encoding="utf-8")
SAFETY = (DOCS / "safety.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_table() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", DEPLOYMENT.split("## Configure")[1].split("\n## ")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    of_groups = {f"complete.{name}" for name in CompletenessRule.model_fields}
    assert named == (set(ServiceSettings.model_fields) - {"complete"}) | of_groups


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", DEPLOYMENT, re.DOTALL | re.MULTILINE)
    settings = ServiceSettings.model_validate(yaml.safe_load(example))
    assert settings.silent
    assert settings.pacs[0].store_sr


def test_every_metric_and_fault_that_is_named_exists() -> None:
    exposed = generate_latest(ServiceMetrics(datetime(2026, 1, 1, tzinfo=UTC)).registry).decode()
    kinds = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
    named = set(re.findall(r"prostate_alm_\w+", DEPLOYMENT)) - {"prostate_alm_"}
    assert named
    assert named <= kinds
    faults = set(re.findall(r"`([A-Z][A-Z_]+)`", DEPLOYMENT.split("## Watch it")[1].split("\n## ")[0]))
    assert faults <= {fault.value for fault in Fault}


def test_every_reason_of_the_safety_document_exists() -> None:
    codes = set(re.findall(r"`([A-Z]+(?:_[A-Z0-9]+)+|TIMEOUT|FAILSAFE)`", SAFETY))
    assert codes
    assert codes <= {*Reason, *Recommendation, *Basis}
