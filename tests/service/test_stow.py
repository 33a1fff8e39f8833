"""The response of STOW-RS: what a PACS reads of each instance."""

import json
from xml.etree import ElementTree

import pytest
from pydicom.dataset import Dataset

from prostate_alm.service.instances import Failure, Instance, Result
from prostate_alm.service.stow import JSON, XML, preferred_type, status_of, store_response, written

CLASS = "1.2.840.10008.5.1.4.1.1.4"
TAKEN = Result(Instance(CLASS, "1.2.1", "1.2"), None)
REFUSED = Result(Instance(CLASS, "1.2.2", "1.2"), Failure.DUPLICATE)
BROKEN = Result(None, Failure.NOT_UNDERSTOOD)


@pytest.mark.parametrize(
    ("results", "status"),
    [([TAKEN, TAKEN], 200), ([TAKEN, REFUSED], 202), ([TAKEN, BROKEN], 202), ([REFUSED, BROKEN], 409)],
)
def test_the_status_says_whether_all_some_or_none_were_taken(results, status):
    assert status_of(results) == status


def test_json_names_every_instance_and_why_it_was_not_taken():
    data_set = Dataset.from_json(written(store_response([TAKEN, REFUSED, BROKEN]), JSON).decode())
    (stored,), (failed,), (other,) = (
        data_set.ReferencedSOPSequence, data_set.FailedSOPSequence, data_set.OtherFailuresSequence,
    )  # fmt: skip
    assert (stored.ReferencedSOPClassUID, stored.ReferencedSOPInstanceUID) == (CLASS, "1.2.1")
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.2", 0x0111)
    assert other.FailureReason == 0xC000


def test_what_has_no_entry_has_no_sequence():
    assert json.loads(written(store_response([TAKEN]), JSON)).keys() == {"00081199"}


def test_xml_says_the_same_as_json():
    root = ElementTree.fromstring(written(store_response([TAKEN, REFUSED]), XML))
    failed = root.find("DicomAttribute[@keyword='FailedSOPSequence']/Item")
    assert root.tag == "NativeDicomModel"
    assert failed is not None
    said = {one.get("keyword"): (one.get("vr"), one.findtext("Value")) for one in failed}
    assert said == {
        "ReferencedSOPClassUID": ("UI", CLASS),
        "ReferencedSOPInstanceUID": ("UI", "1.2.2"),
        "FailureReason": ("US", "273"),
    }


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON), ("*/*", JSON), ("application/json", JSON), (JSON, JSON), (XML, XML), (f"{XML};q=0.5, {JSON}", JSON),
        (f"{XML}, */*;q=0.1", XML), ("text/html", None), (f"{JSON};q=0", None), (f"{JSON};q=x", None),
    ],
)  # fmt: skip
def test_the_form_is_the_one_that_the_client_prefers(accept, media_type):
    assert preferred_type(accept) == media_type
