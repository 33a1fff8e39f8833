"""Small studies, cohorts and CIFAR archives, built in code."""

import functools
import io
import json
import os
import signal
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoints, choose_operating_point
from prostate_alm.evaluation.reference import Reference
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.networks.two_path import TwoPathNet
from prostate_alm.preprocessing import PreparedImage, Preprocessing
from prostate_alm.preprocessing.image_features import image_features
from prostate_alm.preprocessing.phantoms import golden_images
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.report.triage import BELIEVABILITY_GATES, Evidence, ModelIdentity, TriageAnswer, decide
from prostate_alm.study import QUALITY_GATES, Geometry, QualityFinding, Study, Volume
from prostate_alm.training.ensemble_writer import EnsembleContent, join_members, write_ensemble
from prostate_alm.training.reference import Validated, golden_cases, make_reference

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("untimed")

BUNDLE = Path(__file__).parents[1] / "bundles" / "prostate_dce"
NETWORK: dict[str, Any] = {"widths": [2, 4], "depth_pools": 1, "t2_pool": [1, 1, 1]}
Weights = Mapping[str, torch.Tensor]


def make_study(seed: int, *, positive: bool = False) -> Study:
    """Noise in the scanner's coordinates, with a focus of high b800 signal and low ADC in a positive one."""
    rng = np.random.default_rng(seed)
    t2_grid = Geometry((44, 44, 10), np.diag([3.2, 3.2, 7.0, 1.0]) + np.eye(4, k=3) * -70.0)
    dwi_grid = Geometry((36, 36, 10), np.diag([4.0, 4.0, 7.0, 1.0]) + np.eye(4, k=3) * -70.0)
    focus = np.zeros(dwi_grid.shape)
    focus[14:22, 14:22, 3:7] = float(positive)
    adc = 1200 + 60 * rng.standard_normal(dwi_grid.shape) - 700 * focus
    base = 400 + 20 * rng.standard_normal(dwi_grid.shape)
    dwi = {b: Volume(np.asarray(base * np.exp(-b * adc * 1e-6), np.float32), dwi_grid) for b in (50.0, 400.0, 800.0)}
    t2 = Volume(np.asarray(300 + 40 * rng.standard_normal(t2_grid.shape), np.float32), t2_grid)
    return Study(key=f"study{seed:03d}", t2=t2, dwi=dwi, adc=Volume(np.asarray(adc, np.float32), dwi_grid))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt, here and in new processes: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def study_factory() -> Callable[..., Study]:
    """Build a study from a seed."""
    return make_study


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a cohort of 18 training and 6 test patients as NIfTI; returns the path of its datalist."""
    folder = tmp_path_factory.mktemp("cohort")
    entries: list[dict[str, Any]] = []
    for index in range(24):
        study = make_study(index, positive=index % 3 == 0)
        place = folder / "studies" / study.key
        place.mkdir(parents=True)
        files = {
            k: f"studies/{study.key}/{v}" if isinstance(v, str) else v
            for k, v in write_nifti_study(study, place).items()
        }
        entries.append(
            {"index": index, "study": study.key, "patient": study.key, "label": int(index % 3 == 0), **files}
        )
    path = folder / "datalist.json"
    path.write_text(json.dumps({"schema_version": 1, "name": "built", "training": entries[:18], "test": entries[18:]}))
    return path


def member_weights(seed: int) -> Weights:
    """Random weights of a small network."""
    torch.manual_seed(seed)
    return TwoPathNet(**NETWORK).state_dict()


@functools.cache
def prepared_images() -> tuple[list[PreparedImage], dict[str, torch.Tensor]]:
    """Eight built patients and the golden phantoms, prepared once a session."""
    preprocessing = Preprocessing("tiny")
    return [preprocessing(make_study(seed)) for seed in range(8)], golden_images(preprocessing)


def small_reference(weights: Sequence[Weights], *, spread_limit: float, outlier_limit: float) -> Reference:
    """What training writes of eight built patients, but for the limits; golden logits that are no number become 0."""
    prepared, phantoms = prepared_images()
    network = join_members(NETWORK, [{k: torch.nan_to_num(v) for k, v in member.items()} for member in weights])
    with torch.inference_mode():
        logits = np.stack([network.eval().member_logits(p.image[None])[0].double().numpy() for p in prepared], axis=1)
    patients = Validated(
        patients=[str(seed) for seed in range(8)],
        features=np.array([image_features(p.image) for p in prepared]),
        quality=np.array([[finding.value for finding in p.quality] for p in prepared]),
        member_logits=logits,
        logits=logits.mean(axis=0),
    )
    reference = make_reference(patients, None, golden=golden_cases(network, phantoms))
    outlier = reference.outlier.limit.model_copy(update={"limit": outlier_limit})
    return reference.model_copy(
        update={
            "spread": reference.spread.model_copy(update={"limit": spread_limit}),
            "outlier": reference.outlier.model_copy(update={"limit": outlier}),
        }
    )


def small_ensemble(
    folder: Path,
    *,
    threshold: float = 0.0,
    weights: Sequence[Weights] | None = None,
    spread_limit: float = 1e9,
    outlier_limit: float = 1e9,
    known: KnownStudies | None = None,
) -> Path:
    """Write an ensemble of three members as training writes it; its "0-fn" stands at `threshold`, "1-fn" one above.

    By default it believes itself for every study.
    """
    scores, labels = threshold + np.arange(-3.0, 3.0), [0, 0, 0, 1, 1, 1]
    points = [choose_operating_point(scores, labels, false_negatives=k) for k in (0, 1, 2)]
    weights = weights or [member_weights(seed) for seed in range(3)]
    content = EnsembleContent(
        name="small", bundle=BUNDLE, network=NETWORK, weights=weights, profile="tiny", box_mm=(128.0, 128.0, 72.0),
        points=OperatingPoints(points=points), card="# Small\n", seeds=[0, 1, 2], datalist_sha256="0" * 64,
        reference=small_reference(weights, spread_limit=spread_limit, outlier_limit=outlier_limit),
        training={"loss": "bce"}, known=known or KnownStudies(training=[]),
        validation=ValidationScores.of(scores, [0, 0, 1, 0, 1, 1], evidence="out-of-fold"),
    )  # fmt: skip
    write_ensemble(folder, content)
    return folder


@pytest.fixture(scope="session")
def ensemble_factory() -> Callable[..., Path]:
    """Write a small ensemble with random weights."""
    return small_ensemble


def make_answer(**changes: Any) -> TriageAnswer:
    """An answer by `decide`: "not needed", but for what `changes` to the `Evidence`, `point` or `model` make of it."""
    model = changes.pop("model", ModelIdentity(name="small", version="0.1.0", sha256="ab" * 32, members=3))
    point = changes.pop("point", choose_operating_point([-3.0, -2.0, 0.5, 2.0], [0, 0, 1, 1]))
    passed = tuple(QualityFinding(gate, 0.5, 0.5, passed=True) for gate in (*QUALITY_GATES, *BELIEVABILITY_GATES))
    answer_id = changes.pop("id", "0f" * 16)
    known: dict[str, Any] = {"complete": True, "accepted_for": model.sha256 if model else ""}
    known |= {"member_logits": (-2.0, -1.0, -3.0), "quality": passed}
    return decide(answer_id, Evidence(**(known | changes)), operating_point=point, model=model)


@pytest.fixture(scope="session")
def answer_factory() -> Callable[..., TriageAnswer]:
    """Make an answer: "not needed", but for what the changes to its evidence make of it."""
    return make_answer


@pytest.fixture(scope="session")
def weights_factory() -> Callable[[int], Weights]:
    """Make a member's weights from a seed."""
    return member_weights


def coloured_images(counts: Sequence[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around one colour a class, `counts` images of each, shuffled: images ``[N, 3, 32, 32]`` and labels."""
    colours = np.random.default_rng(0).integers(40, 216, size=(len(counts), 3, 1, 1))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    noise = rng.integers(-20, 21, size=(len(labels), 3, 32, 32))
    return (colours[labels] + noise).astype(np.uint8), labels


def write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    """Pack files into a tar whose compression the suffix names."""
    modes = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".txz": "w:xz", ".bz2": "w:bz2", ".tbz2": "w:bz2"}
    mode = modes.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType] - mode is any str
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def cifar10_files(training: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> dict[str, bytes]:
    """The official binary layout of CIFAR-10; the training images are spread over the five files in their order."""

    def records(images: np.ndarray, labels: np.ndarray) -> bytes:
        return np.hstack([labels[:, None].astype(np.uint8), images.reshape(len(labels), -1)]).tobytes()

    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    parts = np.array_split(np.arange(len(training[1])), 5)
    batches = {f"data_batch_{i}.bin": records(training[0][p], training[1][p]) for i, p in enumerate(parts, 1)}
    files = {"batches.meta.txt": "\n".join([*names, "", ""]).encode(), **batches, "test_batch.bin": records(*test)}
    return {f"cifar-10-batches-bin/{name}": content for name, content in files.items()}


def cifar100_files(training: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> dict[str, bytes]:
    """The official binary layout of CIFAR-100; class c is of super-class c // 5."""

    def records(images: np.ndarray, labels: np.ndarray) -> bytes:
        both = np.stack([labels // 5, labels], axis=1).astype(np.uint8)
        return np.hstack([both, images.reshape(len(labels), -1)]).tobytes()

    files = {
        "coarse_label_names.txt": "".join(f"super{c}\n" for c in range(20)).encode(),
        "fine_label_names.txt": "".join(f"class{c}\n" for c in range(100)).encode(),
        "train.bin": records(*training),
        "test.bin": records(*test),
    }
    return {f"cifar-100-binary/{name}": content for name, content in files.items()}


@pytest.fixture(scope="session")
def cifar_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write tiny CIFAR archives, one colour a class: 60 + 10 images a class of CIFAR-10, 12 + 3 of CIFAR-100.

    Recipes fit with, say, ``validation_per_class=4, ratio=10`` (CIFAR-10; consistent: ``size=(20, 10, 10), ratio=5``)
    and ``validation_per_class=2, ratio=6`` (CIFAR-100, long-tailed and binary).
    """
    folder = tmp_path_factory.mktemp("cifar")
    write_tar(
        folder / "cifar-10-binary.tar.gz", cifar10_files(coloured_images([60] * 10, 1), coloured_images([10] * 10, 2))
    )
    write_tar(
        folder / "cifar-100-binary.tar.gz",
        cifar100_files(coloured_images([12] * 100, 3), coloured_images([3] * 100, 4)),
    )
    return folder


@pytest.fixture(scope="session")
def cifar_writers() -> SimpleNamespace:
    """What tests write archives of their own with."""
    return SimpleNamespace(images=coloured_images, cifar10=cifar10_files, cifar100=cifar100_files, tar=write_tar)


class Killed(BaseException):
    """Stands for a kill: no handler catches it."""


def run_and_kill(workflow: ConfigWorkflow, iteration: int) -> None:
    """Train until an iteration, in the middle of an epoch, and die there."""

    def die(engine: Engine) -> None:
        if engine.state.iteration == iteration:
            raise Killed

    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, die)
    with pytest.raises(Killed):
        workflow.run()


def numbers_of(state: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Every number in a run's state, by its place."""
    if isinstance(state, torch.Tensor):
        return {name: state}
    if isinstance(state, dict | list | tuple):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        return {k: v for key, value in items for k, v in numbers_of(value, f"{name}.{key}").items()}
    return {name: torch.tensor(state)} if isinstance(state, int | float) else {}


def differing(a: Any, b: Any) -> list[str]:
    """What is not equal bit by bit in two states of runs; NaN, of what no sample has yet, equals NaN."""
    first, second = numbers_of(a), numbers_of(b)
    assert first.keys() == second.keys()
    return [k for k in first if not torch.allclose(first[k], second[k], rtol=0.0, atol=0.0, equal_nan=True)]


@pytest.fixture(scope="session")
def runs() -> SimpleNamespace:
    """`kill(workflow, iteration)` trains until an iteration and dies; `differing(a, b)` compares states."""
    return SimpleNamespace(kill=run_and_kill, differing=differing)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of two nodes of one processor each, on this machine."""
    pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'prostate-alm[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    memory = 100 * 2**20
    head = {"num_cpus": 1, "object_store_memory": memory, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=memory)  # a GPU in Ray's books alone
    yield f"127.0.0.1:{str(cluster.address).rpartition(':')[2]}"  # tests may connect to this machine alone
    cluster.shutdown()
