"""The response of STOW-RS: what became of each instance, in DICOM JSON or XML (PS3.18 §10.5.3)."""

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any
from xml.etree import ElementTree

from pydicom.datadict import keyword_for_tag

from prostate_alm.service.instances import Instance, Result

JSON, XML = "application/dicom+json", "application/dicom+xml"

STORED, FAILED, OTHERS = "00081199", "00081198", "0008119A"
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"

Item = dict[str, Any]


def status_of(results: Sequence[Result]) -> HTTPStatus:
    """200 when every instance was taken, 409 when none, 202 between."""
    failed = [result for result in results if result.failure is not None]
    if not failed:
        return HTTPStatus.OK
    return HTTPStatus.CONFLICT if len(failed) == len(results) else HTTPStatus.ACCEPTED


def store_response(results: Sequence[Result]) -> Item:
    """The data set of the response, in the DICOM JSON model."""
    stored = [_reference(one.instance) for one in results if one.instance and one.failure is None]
    failed = [_reference(one.instance) | _reason(one) for one in results if one.instance and one.failure is not None]
    others = [_reason(one) for one in results if one.instance is None]
    sequences = {FAILED: failed, STORED: stored, OTHERS: others}
    return {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


def _reference(instance: Instance) -> Item:
    return {_CLASS: {"vr": "UI", "Value": [instance.sop_class]}, _INSTANCE: {"vr": "UI", "Value": [instance.sop]}}


def _reason(result: Result) -> Item:
    return {_REASON: {"vr": "US", "Value": [int(result.failure or 0)]}}


def preferred_type(accept: str) -> str | None:
    """Which of the two forms a client wants, JSON where it does not care; None where it wants neither.

    >>> preferred_type("application/dicom+xml, */*;q=0.1")
    'application/dicom+xml'
    >>> preferred_type("text/html") is None
    True
    """
    wanted = sorted(map(_quality, accept.split(",")), key=lambda one: -one[1])
    for media_type, quality in wanted:
        if media_type == XML and quality > 0:
            return XML
        if media_type in {"", "*/*", "application/*", "application/json", JSON} and quality > 0:
            return JSON
    return None


def _quality(part: str) -> tuple[str, float]:
    media_type, _, parameters = part.partition(";")
    quality = parameters.replace(" ", "").partition("q=")[2].partition(";")[0] or "1"
    try:
        return media_type.strip().lower(), float(quality)
    except ValueError:
        return media_type.strip().lower(), 0.0


def written(response: Item, media_type: str) -> bytes:
    """The response in one of the two forms."""
    if media_type == JSON:
        return json.dumps(response).encode()
    root = ElementTree.Element("NativeDicomModel", {"xml:space": "preserve"})
    _append(root, response)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _append(parent: ElementTree.Element, data_set: Item) -> None:
    """Add a data set's elements in the native DICOM model (PS3.19 A.1)."""
    for tag, element in sorted(data_set.items()):
        names = {"tag": tag, "vr": element["vr"], "keyword": keyword_for_tag(int(tag, 16))}
        attribute = ElementTree.SubElement(parent, "DicomAttribute", names)
        for number, value in _numbered(element["Value"]):
            if element["vr"] == "SQ":
                _append(ElementTree.SubElement(attribute, "Item", {"number": number}), value)
            else:
                ElementTree.SubElement(attribute, "Value", {"number": number}).text = str(value)


def _numbered(values: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    return ((str(number), value) for number, value in enumerate(values, start=1))
