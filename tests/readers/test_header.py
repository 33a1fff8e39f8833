"""The walk through a header against pydicom, which reads the same files in its own way."""

import io
import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from prostate_alm.datasets.synthetic.corpus import CasePlan, write_case
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.readers.b_values import B_VALUE_TAGS, read_b_value
from prostate_alm.readers.dicom import quiet_pydicom
from prostate_alm.readers.header import HeaderReader, values_of
from prostate_alm.readers.instance import HEADER_TAGS

PIXEL_DATA = 0x7FE0_0010


def assert_agrees_with_pydicom(path, tags=HEADER_TAGS):
    """Every element asked for has pydicom's value, those that pydicom lacks are absent, and the pixels are the same."""
    with quiet_pydicom():
        header, dataset = HeaderReader(tags).read(path), dcmread(path)
        expected = values_of(dataset, tags)
    private = set(B_VALUE_TAGS) & {tag for tag, value in expected.items() if header.values.get(tag) != value}
    if private:  # what pydicom looks up in its private dictionary stays as it was written: both read as one number
        assert read_b_value(header.values) == read_b_value(expected)
    assert {tag: str(value) for tag, value in header.values.items() if tag not in private} == {
        tag: str(value) for tag, value in expected.items() if tag not in private
    }
    assert header.syntax == dataset.file_meta.TransferSyntaxUID
    assert header.stored_class == dataset.file_meta.MediaStorageSOPClassUID
    assert (header.pixels is not None) == ("PixelData" in dataset)
    if header.pixels is not None and header.pixels.length is not None:
        content = path.read_bytes()[header.pixels.offset : header.pixels.offset + header.pixels.length]
        assert content == dataset.PixelData


def test_every_file_of_the_real_study():
    data = os.environ.get("PROSTATE_ALM_DATA")
    if not data:
        pytest.skip("PROSTATE_ALM_DATA does not name the folder with prostatex/ProstateX-0000")
    files = sorted((Path(data) / "prostatex" / "ProstateX-0000").rglob("*.dcm"))
    assert len(files) == 164
    for path in files[::4] + files[:3]:
        assert_agrees_with_pydicom(path)


@pytest.mark.parametrize(
    ("vendor", "layout"),
    [("siemens", Layout.MULTI_B), ("ge", Layout.MULTI_B), ("philips", Layout.MULTI_B), ("siemens", Layout.ENHANCED)],
)
def test_every_series_of_a_corpus_case(vendor, layout, tmp_path):
    case = write_case(CasePlan(0, 1, layout, vendor), tmp_path)
    files = sorted(path for path in case.path.rglob("*") if path.is_file())
    for path in files[:: max(1, len(files) // 12)]:
        assert_agrees_with_pydicom(path)


def odd(build):
    """An image with what headers hold between the elements that are asked for."""
    image = build.dwi(b_values=(800,))[0]
    item, inner = Dataset(), Dataset()
    inner.CodeValue, inner.PixelSpacing = "T-D0050", [9, 9]  # in a sequence: not the image's own
    item.ReferencedSOPInstanceUID, item.AnatomicRegionSequence = "1.2.3", [inner, inner]
    image.ReferencedImageSequence = [item, item]
    image.DerivationDescription, image.PatientComments = "x" * 1000, "Doe " * 2000
    image.add_new(0x00090010, "LO", "ACME")
    image.add_new(0x00091001, "UN", b"\0\1" * 700)
    image.add_new(0x00091002, "OB", b"odd length")
    image.add_new(0x00091003, "UT", "long text " * 2000)
    image.add_new(0x00091004, "SQ", [item])
    image.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    image.add_new(0x0019100C, "IS", "800")
    image.add_new(0x20011013, "SL", 23)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SeriesDescription = "ep2d µm²/s Größe"
    return image


def with_undefined_lengths(image):
    for element in image.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    return image


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_encoding(build, tmp_path, syntax, undefined):
    image = odd(build)
    if undefined:
        image = with_undefined_lengths(image)
    stream = io.BytesIO()
    if syntax == ExplicitVRBigEndian:
        image.file_meta.TransferSyntaxUID = syntax
        image["PixelData"].VR = "OW"
        image.save_as(stream, implicit_vr=False, little_endian=False, enforce_file_format=True)
    else:
        image.file_meta.TransferSyntaxUID = syntax or image.file_meta.TransferSyntaxUID
        image.save_as(stream, enforce_file_format=True)
    path = tmp_path / "image.dcm"
    path.write_bytes(stream.getvalue())
    assert_agrees_with_pydicom(path)
    assert HeaderReader(HEADER_TAGS).read(path).values[Tag("PixelSpacing")] == [2.0, 1.5]


def test_a_deflated_file_is_named_and_not_inflated(build, tmp_path):
    image = build.t2()[0]
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    header = HeaderReader(HEADER_TAGS).read(tmp_path / "image.dcm")
    assert (header.syntax, header.values, header.pixels) == (DeflatedExplicitVRLittleEndian, {}, None)


def test_a_file_that_lost_its_transfer_syntax_is_no_header(build, tmp_path):
    """pydicom guesses the byte order from the header; pixels in the other one would be noise."""
    build.t2()[0].save_as(tmp_path / "image.dcm", enforce_file_format=True)
    content = (tmp_path / "image.dcm").read_bytes()
    (tmp_path / "image.dcm").write_bytes(content.replace(b"\2\0\x10\0UI", b"\2\0\x11\0UI"))
    with quiet_pydicom(), pytest.raises(ValueError, match="transfer syntax"):
        HeaderReader(HEADER_TAGS).read(tmp_path / "image.dcm")


def test_elements_out_of_order_are_no_header(build, tmp_path):
    """pydicom takes them as they come; behind a damaged tag they would vanish unseen."""
    image = build.t2()[0]
    image.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    content = (tmp_path / "image.dcm").read_bytes()
    place = content.index(struct.pack("<HH2s", 0x0018, 0x0050, b"DS"))
    (tmp_path / "image.dcm").write_bytes(content[:place] + b"\x00\x40" + content[place + 2 :])
    with pytest.raises(ValueError, match="order"):
        HeaderReader(HEADER_TAGS).read(tmp_path / "image.dcm")


TEXT = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"], exclude_characters="\\"), max_size=60)
ELEMENTS = st.one_of(
    st.tuples(st.sampled_from([0x0008103E, 0x00181030, 0x00324000]), st.just("LT"), TEXT),
    st.tuples(st.sampled_from([0x00180081, 0x00200013, 0x00280010]), st.just("US"), st.integers(0, 65535)),
    st.tuples(st.sampled_from([0x00189087, 0x00180088]), st.just("FD"), st.floats(-1e6, 1e6)),
    st.tuples(st.sampled_from([0x00091010, 0x0019100C, 0x00431039]), st.just("UN"), st.binary(max_size=400)),
    st.tuples(st.sampled_from([0x00091011, 0x00291010]), st.just("OB"), st.binary(max_size=400)),
    st.tuples(st.sampled_from([0x00280030, 0x00200032]), st.just("DS"), st.lists(st.integers(-999, 999), max_size=3)),
    st.tuples(st.sampled_from([0x00091012, 0x00291011]), st.sampled_from(["UC", "UT"]), TEXT),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.lists(ELEMENTS, max_size=12), inner=st.lists(ELEMENTS, max_size=4), undefined=st.booleans())
def test_whatever_lies_in_a_header(build, tmp_path, top, inner, undefined):
    image, item = build.image(build.signal([[[0.0, 0, 0]] * 2] * 2), 1, "any", "1.2.3"), Dataset()
    for dataset, elements in ((image, top), (item, inner)):
        for tag, vr, value in elements:
            dataset.add_new(tag, vr, value)
    image.ReferencedImageSequence = [item, Dataset()]
    image.add_new(0x00291012, "SQ", [item])
    if undefined:
        with_undefined_lengths(image)
    image.save_as(tmp_path / "any.dcm", enforce_file_format=True)
    assert_agrees_with_pydicom(tmp_path / "any.dcm")


def test_a_damaged_header_is_an_error_or_what_pydicom_reads(build, tmp_path):
    """Whatever byte is wrong, the walk makes up no value of its own."""
    odd(build).save_as(tmp_path / "image.dcm", enforce_file_format=True)
    content = (tmp_path / "image.dcm").read_bytes()
    rng, read = random.Random(5), 0
    for _ in range(150):
        broken = bytearray(content)
        broken[rng.randrange(144, len(content) - 200)] = rng.randrange(256)
        (tmp_path / "image.dcm").write_bytes(broken)
        try:
            with quiet_pydicom():
                HeaderReader(HEADER_TAGS).read(tmp_path / "image.dcm")
        except Exception:  # refused whole
            continue
        assert_agrees_with_pydicom(tmp_path / "image.dcm")
        read += 1
    assert read > 50
