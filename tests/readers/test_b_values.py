import struct

import pytest
from pydicom.dataset import Dataset

from prostate_alm.readers.b_values import BValue, BValueSource, read_b_value
from prostate_alm.readers.header import values_of


def header(manufacturer="", **attributes):
    dataset = Dataset()
    dataset.Manufacturer = manufacturer
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("manufacturer", "tag", "vr", "value", "expected"),
    [
        ("SIEMENS", 0x0019100C, "OB", b"800 ", 800),
        ("SIEMENS", 0x0019100C, "OB", b"50", 50),
        ("Siemens Healthineers", 0x0019100C, "IS", "400", 400),
        ("SIEMENS", 0x0019100C, "UN", b"0 ", 0),
        ("GE MEDICAL SYSTEMS", 0x00431039, "IS", ["1000001400", "8", "0", "0"], 1400),
        ("GE MEDICAL SYSTEMS", 0x00431039, "IS", ["500", "8", "0", "0"], 500),
        ("GE MEDICAL SYSTEMS", 0x00431039, "UN", b"500\\8\\0\\0 ", 500),
        ("Philips Medical Systems", 0x20011003, "FL", 1400.0, 1400),
        ("Philips Medical Systems", 0x20011003, "UN", struct.pack("<f", 800.0), 800),
        ("Philips Medical Systems", 0x20011003, "UN", struct.pack("<f", 0.0), 0),
    ],
)
def test_each_vendor_is_read_from_its_own_element(manufacturer, tag, vr, value, expected):
    dataset = header(manufacturer)
    dataset.add_new(tag, vr, value)
    found = read_b_value(values_of(dataset))
    assert found is not None
    assert found.value == expected


def test_the_sequence_name_outranks_the_description():
    dataset = header("SIEMENS", SequenceName="*ep_b1000t", SeriesDescription="dwi b1400")
    assert read_b_value(values_of(dataset)) == BValue(1000, BValueSource.SEQUENCE_NAME)


def test_the_standard_element_outranks_the_vendor_and_both_outrank_the_description():
    dataset = header("SIEMENS", SeriesDescription="dwi b1400")
    dataset.add_new(0x0019100C, "OB", b"800 ")
    assert read_b_value(values_of(dataset)) == BValue(800, BValueSource.SIEMENS)
    dataset.DiffusionBValue = 801.0
    assert read_b_value(values_of(dataset)) == BValue(801, BValueSource.STANDARD)


@pytest.mark.parametrize("standard", [0.0, 400.0, 1000.0])
def test_elements_that_contradict_each_other_give_no_b_value(standard):
    dataset = header("SIEMENS", DiffusionBValue=standard)
    dataset.add_new(0x0019100C, "OB", b"800 ")
    assert read_b_value(values_of(dataset)) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("*ep_b800t", 800), ("*ep_b801#3", 800), ("*ep_b80t", None), ("*ep_b0", None)]
)
def test_an_element_that_the_sequence_name_contradicts_is_no_b_value(name, expected):
    dataset = header("SIEMENS", SequenceName=name)
    dataset.add_new(0x0019100C, "OB", b"800 ")
    found = read_b_value(values_of(dataset))
    assert (found.value if found else None) == expected


def test_the_two_b_values_in_the_name_of_a_map_contradict_nothing():
    dataset = header("SIEMENS", SequenceName="*ep_b50_800")
    dataset.add_new(0x0019100C, "OB", b"1400")
    assert read_b_value(values_of(dataset)) == BValue(1400, BValueSource.SIEMENS)


def test_another_vendors_private_block_is_no_b_value():
    dataset = header("GE MEDICAL SYSTEMS")
    dataset.add_new(0x00190010, "LO", "GEMS_ACQU_01")
    dataset.add_new(0x0019100C, "IS", "77")
    assert read_b_value(values_of(dataset)) is None


def test_a_private_creator_outranks_the_manufacturer():
    dataset = header("ACME PACS")
    dataset.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    dataset.add_new(0x0019100C, "OB", b"800 ")
    assert read_b_value(values_of(dataset)) == BValue(800, BValueSource.SIEMENS)


@pytest.mark.parametrize("name", ["*ep_b50_800", "*tse2d1_25", "", "ep_b"])
def test_the_sequence_name_of_a_map_or_another_sequence_gives_none(name):
    assert read_b_value(values_of(header(SequenceName=name))) is None


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("DWI_b800", 800.0),
        ("AX DWI B 1400", 1400.0),
        ("diffusie b=50 tra", 50.0),
        ("diff tra b 50 500 800 WIP511b", None),  # which of the three?
        ("dwi b50 b800", None),
        ("ep2d_b50_800", None),
        ("AXIAL_ABB12", None),
    ],
)
def test_a_description_counts_only_when_it_names_one_b_value(description, expected):
    found = read_b_value(values_of(header(SeriesDescription=description)))
    assert (found.value if found else None) == expected


def test_the_protocol_name_never_counts():
    assert read_b_value(values_of(header(ProtocolName="DWI b800"))) is None


@pytest.mark.parametrize("value", [-1.0, float("nan"), 1e6])
def test_an_impossible_value_is_none(value):
    assert read_b_value(values_of(header(DiffusionBValue=value))) is None
