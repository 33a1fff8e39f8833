"""The pelvis of one patient as an ordered list of soft shapes, each with its tissue.

Sizes follow 1500 published gland masks of the PI-CAI challenge: median volume 51 mL, the transition
zone's centre anterior and superior to the gland's, its share growing with the volume.
"""

from dataclasses import dataclass

import numpy as np

from prostate_alm.datasets.synthetic import tissue as ts
from prostate_alm.datasets.synthetic.presets import Cause, Truth
from prostate_alm.datasets.synthetic.shapes import EVERYWHERE, Ellipsoid, Point, Shape, Shell, Tube, Wedge

GLAND_POWER = 2.3
# Volume of |x/a|^p + |y/b|^p + |z/c|^p <= 1 at p = 2.3, in units of abc: 8 Γ(1+1/p)^3 / Γ(1+3/p).
GLAND_VOLUME_FACTOR = 4.75


@dataclass(frozen=True)
class Part:
    """One tissue painted into a shape, over what was painted before.

    Attributes:
        shape: where.
        tissue: what.
        within: shapes it is clipped to.
        outside: shapes it keeps out of.
        opacity: share of the voxel it takes, 0 to 1.
    """

    shape: Shape
    tissue: ts.Tissue
    within: tuple[Shape, ...] = ()
    outside: tuple[Shape, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Anatomy:
    """One patient's pelvis.

    Attributes:
        parts: in the order of painting.
        gland: the prostate.
        rectum: its lumen.
        has_gas: whether the lumen holds gas.
    """

    parts: tuple[Part, ...]
    gland: Ellipsoid
    rectum: Tube
    has_gas: bool


def draw_anatomy(truth: Truth, rng: np.random.Generator) -> Anatomy:
    """Draw the pelvis of one patient; the focus or benign change of `truth` is part of it."""
    gland, zone = _draw_zones(rng)
    rectum, content = _draw_rectum(gland, truth, rng)
    parts = (
        *_fat_with_septa(rng),
        *_bones_and_muscles(rng),
        *_organs_around(gland, rng),
        Part(_grown(rectum, 3.5), ts.BOWEL_WALL),
        Part(rectum, content),
        Part(gland, ts.PERIPHERAL_ZONE),
        *_change(truth, gland, zone, rng),
        Part(zone, ts.TRANSITION_ZONE, within=(gland,)),
        *_nodules(gland, zone, rng),
        *_landmarks(gland, zone),
        *_focus(truth, gland, zone, rng),
    )
    return Anatomy(parts, gland, rectum, content is ts.GAS)


def _draw_zones(rng: np.random.Generator) -> tuple[Ellipsoid, Ellipsoid]:
    """The gland, and the transition zone within it."""
    volume_mm3 = 1000 * float(np.clip(51 * np.exp(rng.normal(0, 0.42)), 24, 115))
    ratio = np.array([26.5, 22.0, 24.0]) * np.exp(rng.normal(0, 0.06, 3))
    a, b, c = ratio * (volume_mm3 / (GLAND_VOLUME_FACTOR * ratio.prod())) ** (1 / 3)
    x, y, z = rng.normal((0.0, -4.0, 0.0), (3.0, 4.0, 4.0))
    gland = Ellipsoid((x, y, z), (a, b, c), GLAND_POWER, wobble=_wobble(0.025, rng))
    share = float(np.clip(0.42 + 0.10 * np.log(volume_mm3 / 51e3) + rng.normal(0, 0.05), 0.25, 0.62))
    scale = share ** (1 / 3)
    centre = (x, y - b * (1 - scale) * 0.85, z + c * (1 - scale) * 0.55)
    zone = Ellipsoid(centre, (a * scale * 1.02, b * scale * 0.98, c * scale), 2.2, wobble=_wobble(0.03, rng))
    return gland, zone


def _wobble(
    amplitude: float, rng: np.random.Generator, wavelength_mm: float = 42.0
) -> tuple[tuple[float, float, float, float, float], ...]:
    waves = rng.normal(0, 2 * np.pi / wavelength_mm, (4, 3))
    phases, amplitudes = rng.uniform(0, 2 * np.pi, 4), rng.normal(0, amplitude, 4)
    return tuple(
        (float(k[0]), float(k[1]), float(k[2]), float(phase), float(size))
        for k, phase, size in zip(waves, phases, amplitudes, strict=True)
    )


def _draw_rectum(gland: Ellipsoid, truth: Truth, rng: np.random.Generator) -> tuple[Tube, ts.Tissue]:
    """The lumen behind the gland and what it holds."""
    distended = truth.artefact == Cause.GAS_DISTORTION.value
    gas = distended or rng.random() < 0.35
    radius = 8 + 10 * truth.severity + rng.uniform(0, 3) if distended else rng.uniform(5, 11)
    (x, y, _), (_, b, _) = gland.centre, gland.semi_axes
    half_depth = radius * rng.uniform(0.75, 0.95)
    centre = (x + rng.normal(0, 4), y + b + 4.5 + half_depth)
    lumen = Tube(centre, (radius * 1.15, half_depth), slope=rng.uniform(0.05, 0.25), bend=rng.uniform(0.002, 0.006))
    if gas:
        return lumen, ts.GAS
    return lumen, ts.STOOL if rng.random() < 0.6 else ts.BOWEL_WALL


def _grown(tube: Tube, by_mm: float) -> Tube:
    """The same tube, thicker all around."""
    a, b = tube.semi_axes
    return Tube(tube.centre, (a + by_mm, b + by_mm), tube.slope, tube.bend, tube.bottom)


def _bones_and_muscles(rng: np.random.Generator) -> list[Part]:
    """Obturator and gluteal muscles, ischium and femoral heads, pubic bones, coccyx."""
    size, parts = rng.uniform(0.94, 1.06), []
    for side in (-1.0, 1.0):
        gluteus = _rough((side * 64 * size, 84, 0), (44, 28, EVERYWHERE), side * 0.45, rng)
        hip = _rough((side * 92 * size, -8, 22), (27, 27, 26), 0.0, rng)
        ischium = _rough((side * 74 * size, 12, -14), (13, 26, 36), side * 0.35, rng)
        obturator = _rough((side * 57 * size, 0, 0), (10, 38, EVERYWHERE), side * 0.2, rng)
        pectineus = _rough((side * 48 * size, -58, -16), (22, 12, 40), side * -0.5, rng)
        pubis = _rough((side * 16 * size, -54, -20), (13, 9, 24), side * -0.4, rng)
        parts += [Part(muscle, ts.MUSCLE) for muscle in (gluteus, pectineus, obturator)]
        for bone in (hip, ischium, pubis):
            parts += [Part(bone, ts.MARROW), Part(Shell(bone, 2.2), ts.CORTEX, opacity=0.85)]
    coccyx = _rough((0, 74, 8), (8, 6, 30), 0.0, rng)
    return [*parts, Part(coccyx, ts.MARROW), Part(Shell(coccyx, 1.8), ts.CORTEX, opacity=0.8)]


def _rough(centre: Point, semi_axes: Point, turn: float, rng: np.random.Generator) -> Ellipsoid:
    """A boxy ellipsoid with an uneven surface."""
    return Ellipsoid(centre, semi_axes, 2.4, turn + rng.normal(0, 0.04), _wobble(0.06, rng, 110.0)[:3])


def _fat_with_septa(rng: np.random.Generator) -> list[Part]:
    """Vessels and septa that run through the pelvic fat."""
    parts = []
    for _ in range(60):
        x, y = rng.uniform((-78, -70), (78, 78))
        length, width = rng.uniform(2, 11), rng.uniform(0.8, 2.0)
        strand = Ellipsoid(
            (x, y, rng.uniform(-36, 36)), (length, width, rng.uniform(4, 14)), 2.0, rng.uniform(0, np.pi)
        )
        kind = ts.VENOUS_PLEXUS if rng.random() < 0.25 else ts.SEPTUM
        parts.append(Part(strand, kind, opacity=rng.uniform(0.2, 0.6)))
    return parts


def _organs_around(gland: Ellipsoid, rng: np.random.Generator) -> list[Part]:
    """Levator ani, venous plexus, bladder, seminal vesicles."""
    (x, y, z), (a, b, c) = gland.centre, gland.semi_axes
    wobble = _wobble(0.04, rng, 100.0)
    sling = Ellipsoid((x, y + 12, z - 18), (a + 8, b + 26, 46), 2.2, wobble=wobble)
    plexus = Ellipsoid((x, y - 3, z - 1), (a + 5, b + 3, c), GLAND_POWER, wobble=wobble)
    fill = rng.uniform(0.7, 1.25)
    bladder = Ellipsoid((x, y - 9, z + c + 17 * fill), (36 * fill, 27 * fill, 20 * fill), 2.3, wobble=wobble)
    parts = [
        Part(Shell(sling, 3.4), ts.MUSCLE, opacity=0.85),
        Part(plexus, ts.VENOUS_PLEXUS, opacity=0.45),
        Part(bladder, ts.URINE),
        Part(Shell(bladder, 4.0), ts.BLADDER_WALL),
    ]
    for side in (-1.0, 1.0):
        vesicle = Ellipsoid((x + side * 17, y + b * 0.72, z + c + 6), (17, 7, 8), turn=side * -0.3)
        bundle = Ellipsoid((x + side * 0.8 * a, y + 0.85 * b, z), (3.0, 2.4, c))
        parts += [Part(vesicle, ts.SEMINAL_VESICLE), Part(Shell(vesicle, 1.5), ts.CAPSULE, opacity=0.7)]
        parts.append(Part(bundle, ts.SEPTUM, opacity=0.6))
    return parts


def _nodules(gland: Ellipsoid, zone: Ellipsoid, rng: np.random.Generator) -> list[Part]:
    """Benign hyperplasia: bright glandular and dark stromal nodules with a rim, in every class."""
    parts, centre, axes = [], np.array(zone.centre), np.array(zone.semi_axes)
    for _ in range(4 + int(rng.poisson(axes.prod() ** (1 / 3) / 3))):
        direction = rng.normal(0, 1, 3)
        direction *= rng.uniform(0.15, 0.85) / np.linalg.norm(direction)
        radius = rng.uniform(2.5, 0.40 * axes.min())
        semi = tuple(float(value) for value in radius * rng.uniform(0.8, 1.2, 3))
        nodule = Ellipsoid(_point(centre + direction * axes), (semi[0], semi[1], semi[2]))
        kind = ts.STROMAL_NODULE if rng.random() < 0.45 else ts.GLANDULAR_NODULE
        parts.append(Part(nodule, kind, within=(zone, gland), opacity=rng.uniform(0.5, 1.0)))
        parts.append(Part(Shell(nodule, 1.2), ts.CAPSULE, within=(zone, gland), opacity=0.45))
    return parts


def _landmarks(gland: Ellipsoid, zone: Ellipsoid) -> list[Part]:
    """Anterior fibromuscular stroma, urethra, the capsules of zone and gland."""
    (x, y, z), (a, b, c) = gland.centre, gland.semi_axes
    stroma = Ellipsoid((x, y - b * 0.95, z), (a * 0.45, b * 0.22, c * 0.8))
    urethra = Ellipsoid((x, y + b * 0.12, z - c * 0.2), (2.8, 3.2, c * 0.9))
    return [
        Part(Shell(zone, 1.5), ts.CAPSULE, within=(gland,), opacity=0.45),
        Part(stroma, ts.FIBROMUSCULAR_STROMA, within=(gland,)),
        Part(urethra, ts.URETHRA, within=(gland,), opacity=0.8),
        Part(Shell(gland, 1.3), ts.CAPSULE, opacity=0.6),
    ]


def _change(truth: Truth, gland: Ellipsoid, zone: Ellipsoid, rng: np.random.Generator) -> list[Part]:
    """Benign change of the peripheral zone, a wedge or both lobes: it darkens T2w more than ADC."""
    t2, adc = (ts.PERIPHERAL_ZONE.towards_cancer(share * truth.contrast) for share in (1.5, 0.5))
    benign = ts.Tissue(ts.PERIPHERAL_ZONE.pd, t2.t2, adc.adc)
    (x, y, z), (_, _, c) = gland.centre, gland.semi_axes
    if truth.reason == Cause.DIFFUSE.value:
        return [Part(gland, benign, outside=(zone,))]
    if truth.reason != Cause.WEDGE.value:
        return []
    direction = float(rng.choice((-1, 1)) * rng.uniform(0.35, 1.1))
    height = z + rng.uniform(-0.35, 0.35) * c
    wedge = Wedge((x, y, height), direction, rng.uniform(0.18, 0.32), rng.uniform(5, 9))
    return [Part(wedge, benign, within=(gland,), outside=(zone,))]


def _focus(truth: Truth, gland: Ellipsoid, zone: Ellipsoid, rng: np.random.Generator) -> list[Part]:
    """The equivocal focus or the clear lesion, in the peripheral zone of one side."""
    if not truth.diameter_mm:
        return []
    direction = float(rng.choice((-1, 1)) * rng.uniform(0.35, 1.05))
    height = rng.uniform(-0.45, 0.35)
    (x, y, z), (a, b, c) = gland.centre, gland.semi_axes
    radius = truth.diameter_mm / 2
    rim = (1 - abs(height) ** GLAND_POWER) ** (1 / GLAND_POWER)
    sin, cos = np.sin(direction), np.cos(direction)
    surface = rim / ((abs(sin) / a) ** GLAND_POWER + (cos / b) ** GLAND_POWER) ** (1 / GLAND_POWER)
    depth = surface - 0.72 * radius
    centre = (x + depth * sin, y + depth * cos, z + height * c)
    lesion = Ellipsoid(centre, (radius * 1.12, radius * 0.88, radius), turn=-direction, wobble=_wobble(0.05, rng))
    return [Part(lesion, ts.PERIPHERAL_ZONE.towards_cancer(truth.contrast), within=(gland,), outside=(zone,))]


def _point(values: np.ndarray) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
