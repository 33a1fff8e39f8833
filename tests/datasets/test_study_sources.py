"""A row finds its study by name or by header, or not at all; nothing is guessed."""

import shutil
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from prostate_alm.datasets.label_table import LabelRow, read_label_table
from prostate_alm.datasets.study_sources import Resolution, StudySource, resolve_sources
from prostate_alm.errors import CohortError
from prostate_alm.readers import FoundStudy


def write_image(path: Path, *, study: str, patient: str, accession: str = "") -> None:
    """One image of two by two voxels."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.1"
    image.PatientID, image.AccessionNumber, image.Modality = patient, accession, "MR"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = 2
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = bytes(8)
    image["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A flat dump of two patients, the first examined twice, a folder of a third, and two patients of PI-CAI."""
    root = tmp_path / "tree"
    write_image(root / "dump" / "1", study="1.2.3.1", patient="4711", accession="A100")
    write_image(root / "dump" / "2", study="1.2.3.2", patient="4711", accession="A200")
    write_image(root / "dump" / "deep" / "3", study="1.2.3.3", patient="4712", accession="A300")
    write_image(root / "site" / "B7" / "4.dcm", study="1.2.3.4", patient="4713", accession="A400")
    for name in ("10000_1000000", "10001_1000001"):
        for suffix in ("t2w", "adc", "hbv"):
            path = root / "images" / name[:5] / f"{name}_{suffix}.mha"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"ObjectType = Image\n")
    return root


def rows(tree: Path, *cells: str) -> tuple[LabelRow, ...]:
    path = tree.parent / "labels.csv"
    path.write_text("study,patient,label\n" + "".join(f"{cell},p{n},0\n" for n, cell in enumerate(cells)))
    return read_label_table(path).rows


def resolve(tree: Path, *cells: str) -> Resolution:
    return resolve_sources(tree, rows(tree, *cells))


def files_of(source: StudySource) -> list[str]:
    if isinstance(source.input, FoundStudy):
        return [path.name for path in source.input.files]
    return [source.input.name] if isinstance(source.input, Path) else [file.path.name for file in source.input]


def test_uid_accession_number_name_and_mha_lead_to_their_study(tree: Path) -> None:
    found = resolve(tree, "1.2.3.1", "A200", "site/B7", "10001_1000001")
    assert [files_of(found.sources[line]) for line in range(2, 6)] == [
        ["1"],
        ["2"],
        ["B7"],
        [f"10001_1000001_{suffix}.mha" for suffix in ("adc", "hbv", "t2w")],
    ]
    assert (found.ambiguous, found.missing, found.studies_without_row) == ({}, (), 2)


def test_a_patient_id_leads_to_the_only_study_of_its_patient(tree: Path) -> None:
    found = resolve(tree, "4712", "1.2.3.1")
    assert [files_of(found.sources[line]) for line in (2, 3)] == [["3"], ["1"]]


def test_a_table_of_patient_ids_and_accession_numbers_matches_neither(tree: Path) -> None:
    found = resolve(tree, "A200", "4712", "1.2.3.1")
    assert list(found.ambiguous) == [2, 3]
    assert list(found.sources) == [4]


def test_the_accession_number_of_another_is_no_patient_id(tree: Path) -> None:
    """Patient A200 was not exported, and a stranger's examination has that number."""
    path = tree.parent / "labels.csv"
    path.write_text("study,patient,label\nA200,A200,1\n")
    found = resolve_sources(tree, read_label_table(path).rows)
    assert (found.sources, list(found.ambiguous)) == ({}, [2])


def test_a_patient_with_two_studies_is_no_study(tree: Path) -> None:
    found = resolve(tree, "4711", "1.2.3.9")
    assert (found.sources, list(found.ambiguous), found.missing) == ({}, [2], (3,))
    assert "StudyInstanceUID" in found.ambiguous[2]
    assert found.studies_without_row == 6


def test_a_cell_that_is_the_id_of_one_and_the_accession_number_of_another_is_ambiguous(tree: Path) -> None:
    write_image(tree / "dump" / "5", study="1.2.3.5", patient="4715", accession="4712")
    assert list(resolve(tree, "4712").ambiguous) == [2]


def test_names_come_before_headers_and_named_folders_are_not_searched(tree: Path) -> None:
    (tree / "dump" / "deep").rename(tree / "1.2.3.3")
    found = resolve(tree, "1.2.3.3")
    assert files_of(found.sources[2]) == ["1.2.3.3"]
    assert resolve(tree, "dump", "A200").missing == (3,)


def test_the_files_of_one_study_in_two_places_are_not_half_a_study(tree: Path) -> None:
    part = tree.parent / "part"
    write_image(part / "6", study="1.2.3.3", patient="4712")
    shutil.make_archive(str(tree / "part"), "zip", part)
    source = resolve(tree, "1.2.3.3").sources[2]
    assert isinstance(source.input, FoundStudy)
    assert source.input.refusal is not None


def test_a_study_in_two_named_inputs_is_in_none(tree: Path) -> None:
    write_image(tree / "T2" / "series" / "7", study="1.2.3.7", patient="4717")
    write_image(tree / "part" / "8", study="1.2.3.7", patient="4717")
    (tree / "part" / "LIESMICH").write_text("not an image")
    shutil.make_archive(str(tree / "DWI"), "zip", tree / "part")
    shutil.rmtree(tree / "part")
    found = resolve(tree, "T2", "DWI", "site/B7")
    assert (list(found.sources), list(found.ambiguous)) == ([4], [2, 3])
    assert "several folders or zips" in found.ambiguous[2]


def test_a_study_in_a_named_folder_and_beside_it_is_in_neither(tree: Path) -> None:
    write_image(tree / "site" / "B7" / "other" / "9", study="1.2.3.1", patient="4711")
    found = resolve(tree, "site/B7", "A100", "A200")
    assert (list(found.sources), list(found.ambiguous)) == ([4], [2, 3])
    assert list(resolve(tree, "site/B7", "A200").ambiguous) == [2]


@pytest.mark.parametrize("cells", [("A100", "1.2.3.1"), ("site", "site/B7"), ("10000_1000000", "1000000")])
def test_two_rows_for_one_study_are_refused_by_line(tree: Path, cells: tuple[str, str]) -> None:
    table = tree.parent / "labels.csv"
    table.write_text(f"study,patient,label\n{cells[0]},10000,0\n{cells[1]},10000,1\n")
    with pytest.raises(CohortError, match="lines 2 and 3"):
        resolve_sources(tree, read_label_table(table).rows)


def test_a_name_finds_its_folder_in_either_normal_form(tree: Path) -> None:
    (tree / "Mu\u0308ller").mkdir()
    (tree / "J\u00f6rg").mkdir()
    assert list(resolve(tree, "M\u00fcller", "Jo\u0308rg").sources) == [2, 3]


def test_a_study_as_folder_and_zip_is_refused(tree: Path) -> None:
    shutil.make_archive(str(tree / "dump"), "zip", tree / "dump")
    with pytest.raises(CohortError, match=r"line 2 .* as a folder and as a zip"):
        resolve(tree, "dump")


def test_a_fingerprint_follows_files_and_what_lies_near(tree: Path) -> None:
    def fingerprint() -> str:
        return resolve(tree, "1.2.3.3").sources[2].fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    (tree / "dump" / "deep" / "broken.dcm").write_bytes(b"")
    assert fingerprint() != first
