"""Draws the description of a clip (tracks, looks) from (version, split, seed, index). NumPy only; nothing is painted here.

Lengths are fractions of the frame side, so one scene is the same at every size; only camera pan and shake are in pixels.
Six layers, back to front: background, two still distractors, a second thing, the actor, a still occluder.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vizkit.errors import unknown_name
from vizkit.world.labels import LABELS

WORLD_VERSION = 1
SPLITS = {"train": 0, "test": 1, "demo": 2}
LAYERS = 6
BACKGROUND, DISTRACTOR, OTHER_DISTRACTOR, SECOND, ACTOR, OCCLUDER = range(LAYERS)
SPRITE_MARGIN = 0.75  # an outline of radius r lives on a canvas of half side r / SPRITE_MARGIN
BACKGROUND_REACH = 0.95  # half side of the background's canvas, in frame sides
OUTLINE_HARMONICS = 6
STROKES = 4
NOISE_SIDES = (3, 6, 12, 24, 48, 96)
SPRITE_NOISE_SIDE = 12
JITTER, TRAP = 1, 2  # last word of the entropy of streams of their own
TRAP_SATURATION, TRAP_VALUES, TRAP_SPREAD = 0.75, (0.75, 0.4), 0.04

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Scene:
    """One clip before it is painted."""

    label: int
    """0..15"""
    place: Floats
    """[L, T, 2] centre of every layer in frame sides, camera left out."""
    reach: Floats
    """[L, T] half side of every layer's canvas in frame sides."""
    turn: Floats
    """[L, T] rotation in radians, clockwise on the screen."""
    present: NDArray[np.bool_]
    """[L]"""
    camera_sides: Floats
    """[T, 2] camera offset in frame sides (the class "the camera moves")."""
    camera_px: Floats
    """[T, 2] camera offset in pixels (pan, shake, jitter)."""
    outline: Floats
    """[L, 2, H] cosine and sine coefficients of the relative radius; harmonic 0 is the mean (1)."""
    stroke: Floats
    """[L, S, 5] x0, y0, x1, y1, half width of strokes in canvas units; used where ``stroked``."""
    stroked: NDArray[np.bool_]
    """[L]"""
    color: NDArray[np.float32]
    """[L, 2, 3] base colour and second colour."""
    pattern: NDArray[np.float32]
    """[L, 6] frequency, direction, phase, and weights of stripes, checks and noise."""
    rooms: NDArray[np.float32]
    """[4, 5] normal x, y, offset, shade and tint of the planes behind a "room"; zero shade elsewhere."""
    noise: list[NDArray[np.float32]]
    """[3, n, n] background noise, one per octave."""
    noise_falloff: float
    """Weight of octave k is ``2 ** (-falloff * k)``."""
    sprite_noise: NDArray[np.float32]
    """[L, 3, n, n] noise of the layers' own textures."""
    gain: NDArray[np.float32]
    """[T] brightness."""
    blur_px: float
    """Standard deviation of the blur at 64 px; 0 for none."""
    sensor: float
    """Standard deviation of the sensor noise."""
    sensor_seed: int
    """Seed of the sensor noise."""


def draw_scene(
    index: int, *, split: str, seed: int, label: int | None, frames: int, nuisances: bool, shake: int = 0, trap: float = 0.0
) -> Scene:
    """Draw the scene of one clip.

    Args:
        index: number of the clip within its split; its label is ``index % 16`` unless ``label`` is given.
        split: "train", "test" or "demo": disjoint streams of random numbers.
        seed: another seed is another world of clips.
        label: number of the class, or None.
        frames: number of frames T; the motion over the whole clip does not depend on it.
        nuisances: sensor noise, blur, brightness drift, camera shake and pan, distractors and occluders.
        shake: the camera of every frame is moved by whole pixels of -shake..shake along each axis, drawn from numbers of its own:
            everything else is as without it.
        trap: share of the clips whose background has the colour of their label (:func:`background_color`), 0 to 1, drawn from numbers of
            its own: every other clip, and everything but colours in these, is as without it. A clip that is tied at one share is tied
            at every larger one.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, list(SPLITS))
    own_stream = [WORLD_VERSION, SPLITS[split], seed, index]
    rng = _generator(own_stream)
    number = index % len(LABELS) if label is None else label
    scene = _still_scene(rng, number, frames)
    _PAIR_MOTIONS[number // 2](rng, scene, np.linspace(0.0, 1.0, frames))
    if nuisances:
        _add_bystanders(rng, scene)
        _disturb(rng, scene)
    if shake:
        scene.camera_px += _generator([*own_stream, JITTER]).integers(-shake, shake + 1, (frames, 2))
    if trap:
        _tie_background(_generator([*own_stream, TRAP]), scene, trap)
    if number % 2 and number < 14:
        for track in (scene.place, scene.reach, scene.turn):
            track[:] = track[:, ::-1].copy()
        scene.camera_px[:] = scene.camera_px[::-1].copy()
    return scene


def _still_scene(rng: np.random.Generator, label: int, frames: int) -> Scene:
    """A scene with a background and one still actor."""
    place = np.full((LAYERS, frames, 2), 0.5)
    reach = np.full((LAYERS, frames), BACKGROUND_REACH)
    radius = rng.uniform(0.10, 0.18, LAYERS)
    reach[1:] = radius[1:, None] / SPRITE_MARGIN
    turn = np.zeros((LAYERS, frames)) + rng.uniform(-np.pi, np.pi, LAYERS)[:, None]
    turn[BACKGROUND] = 0.0
    present = np.zeros(LAYERS, bool)
    present[[BACKGROUND, ACTOR]] = True
    harmonics = np.arange(OUTLINE_HARMONICS)
    return Scene(
        label=label, place=place, reach=reach, turn=turn, present=present,
        camera_sides=np.zeros((frames, 2)), camera_px=np.zeros((frames, 2)),
        outline=np.stack([_draw_outline(rng, harmonics) for _ in range(LAYERS)]),
        stroke=np.stack([_draw_strokes(rng) for _ in range(LAYERS)]),
        stroked=rng.random(LAYERS) < 0.25,
        color=_draw_colors(rng), pattern=_draw_patterns(rng), rooms=_draw_rooms(rng),
        noise=[rng.standard_normal((3, side, side), np.float32) for side in NOISE_SIDES],
        noise_falloff=float(rng.uniform(0.1, 0.9)),
        sprite_noise=rng.standard_normal((LAYERS, 3, SPRITE_NOISE_SIDE, SPRITE_NOISE_SIDE), np.float32),
        gain=np.ones(frames, np.float32), blur_px=0.0, sensor=0.0, sensor_seed=int(rng.integers(2**31)),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ looks


def _draw_outline(rng: np.random.Generator, harmonics: NDArray[np.int64]) -> Floats:
    """An ellipse, a rounded polygon or a blob without symmetry, as Fourier coefficients of its radius."""
    outline = np.zeros((2, len(harmonics)))
    kind = rng.integers(3)
    if kind == 0:
        outline[0, 2] = rng.uniform(0.15, 0.3)
    elif kind == 1:
        outline[0, rng.integers(3, 5)] = rng.uniform(0.1, 0.2)
        outline[0, 1] = rng.uniform(0.1, 0.2)
    else:
        outline[:, 1:] = rng.normal(0, 0.3, (2, len(harmonics) - 1)) / np.maximum(harmonics[1:], 1)
    size = np.abs(outline[:, 1:]).sum()
    if size > 0.55:
        outline[:, 1:] *= 0.55 / size
    outline[0, 0] = 1.0
    return outline


def _draw_strokes(rng: np.random.Generator) -> Floats:
    """Thick strokes that meet, like a letter; canvas units."""
    corners = rng.uniform(-0.55, 0.55, (STROKES + 1, 2))
    width = np.full(STROKES, rng.uniform(0.14, 0.2))
    return np.column_stack([corners[:-1], corners[1:], width])


def _draw_colors(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two colours per layer; every layer differs from the background and from the actor by 0.3 in some channel."""
    color = rng.uniform(0.08, 0.92, (LAYERS, 2, 3))
    _keep_apart(rng, color)
    color[1:, 1] = np.clip(color[1:, 0] + rng.uniform(-0.3, 0.3, (LAYERS - 1, 3)), 0, 1)
    return color.astype(np.float32)


def _keep_apart(rng: np.random.Generator, color: NDArray[np.floating]) -> None:
    """Draw the base colours of layers again that lie too near to the background's or the actor's."""
    for layer in (ACTOR, DISTRACTOR, OTHER_DISTRACTOR, SECOND, OCCLUDER):
        others = color[[BACKGROUND], 0] if layer == ACTOR else color[[BACKGROUND, ACTOR], 0]
        for _ in range(50):
            if np.abs(color[layer, 0] - others).max(axis=1).min() >= 0.3:
                break
            color[layer, 0] = rng.uniform(0.05, 0.95, 3)


def _generator(entropy: list[int]) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def _draw_patterns(rng: np.random.Generator) -> NDArray[np.float32]:
    """Stripes, checks and noise of every layer's texture."""
    pattern = np.zeros((LAYERS, 6))
    pattern[:, 0] = rng.uniform(1.5, 4.0, LAYERS)
    pattern[:, 1] = rng.uniform(0, np.pi, LAYERS)
    pattern[:, 2] = rng.uniform(0, 2 * np.pi, LAYERS)
    kind = rng.integers(3, size=LAYERS)
    pattern[np.arange(LAYERS), 3 + kind] = rng.uniform(0.5, 1.0, LAYERS)
    pattern[:, 5] += 0.25
    return pattern.astype(np.float32)


def _draw_rooms(rng: np.random.Generator) -> NDArray[np.float32]:
    """Planes behind the scene: each half plane shades one side of a line."""
    rooms = np.zeros((4, 5))
    direction = rng.uniform(0, 2 * np.pi, 4)
    rooms[:, 0], rooms[:, 1], rooms[:, 2] = np.cos(direction), np.sin(direction), rng.uniform(-0.6, 0.6, 4)
    if rng.random() < 0.4:
        rooms[:, 3] = rng.uniform(-0.15, 0.15, 4)
        rooms[:, 4] = rng.uniform(-0.3, 0.3, 4)
    return rooms.astype(np.float32)


# ------------------------------------------------------------------------------------------------ motions, one per pair
# Each draws the even label of its pair; the odd one is the same track run backwards.


def _segment(rng: np.random.Generator, travel_xy: Floats, margin: float = 0.14) -> tuple[Floats, Floats]:
    """A start and an end that differ by ``travel_xy`` and both lie inside the frame."""
    middle = np.array([rng.uniform(low, 1 - low) for low in np.minimum(margin + np.abs(travel_xy) / 2, 0.5)])
    return middle - travel_xy / 2, middle + travel_xy / 2


def _blend(start: Floats, end: Floats, progress: Floats) -> Floats:
    return start + (end - start) * progress[:, None]


def _translate(rng: np.random.Generator, scene: Scene, progress: Floats, direction: float) -> None:
    angle = direction + rng.uniform(-0.3, 0.3)
    travel = rng.uniform(0.16, 0.56) * np.array([np.cos(angle), np.sin(angle)])
    scene.place[ACTOR] = _blend(*_segment(rng, travel), progress)


def _move_left(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    _translate(rng, scene, progress, np.pi)


def _move_up(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    _translate(rng, scene, progress, -np.pi / 2)


def _approach(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    growth = rng.uniform(1.7, 2.4)
    scene.reach[ACTOR] = rng.uniform(0.09, 0.11) / SPRITE_MARGIN * growth**progress
    scene.place[ACTOR] = rng.uniform(0.32, 0.68, 2)


def _rotate(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    scene.reach[ACTOR] = rng.uniform(0.14, 0.19) / SPRITE_MARGIN
    scene.place[ACTOR] = rng.uniform(0.3, 0.7, 2)
    scene.turn[ACTOR] = scene.turn[ACTOR, 0] + 7 * rng.uniform(0.2, 0.45) * progress
    scene.outline[ACTOR] = 0
    scene.outline[ACTOR, 0, :4] = 1.0, rng.uniform(0.2, 0.3), rng.uniform(0.1, 0.2), rng.uniform(-0.12, 0.12)


def _close_in(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    scene.present[SECOND] = True
    radius = rng.uniform(0.10, 0.14, 2)
    scene.reach[[SECOND, ACTOR]] = radius[:, None] / SPRITE_MARGIN
    near, far = radius.sum() * rng.uniform(0.9, 1.15), rng.uniform(0.5, 0.62)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = rng.uniform(0.43, 0.57, 2)
    gap = far + (near - far) * progress
    scene.place[ACTOR] = middle + along * gap[:, None] / 2
    scene.place[SECOND] = middle - along * gap[:, None] / 2


def _uncover(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    scene.present[SECOND] = True
    radius = rng.uniform(0.13, 0.18)
    thing = radius * rng.uniform(0.6, 0.75)
    scene.reach[ACTOR], scene.reach[SECOND] = radius / SPRITE_MARGIN, thing / SPRITE_MARGIN
    scene.stroked[[SECOND, ACTOR]] = False
    angle = rng.uniform(0, 2 * np.pi)
    travel = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(1.1, 1.5) * (radius + thing)
    start, end = _segment(rng, travel)
    scene.place[ACTOR] = _blend(start, end, progress)
    scene.place[SECOND] = start + rng.uniform(-0.02, 0.02, 2)


def _fall(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    height, rebound, floor = rng.uniform(0.32, 0.5), rng.uniform(0.2, 0.35), rng.uniform(0.72, 0.84)
    hit = rng.uniform(0.5, 0.62)
    after = np.clip((progress - hit) / (1 - hit), 0, 1)
    fallen = height * np.clip(progress / hit, 0, 1) ** 2
    risen = height * rebound * (1 - (1 - after) ** 2)
    drift = rng.uniform(-0.15, 0.15)
    across = rng.uniform(0.3, 0.7) + drift * (progress - 0.5)
    scene.place[ACTOR] = np.column_stack([across, floor - height + fallen - risen])


def _move_camera(rng: np.random.Generator, scene: Scene, progress: Floats) -> None:
    """Even label: the camera travels; odd label: nothing does. The actor stands still in both."""
    scene.place[ACTOR] = rng.uniform(0.25, 0.75, 2)
    angle = rng.uniform(0, 2 * np.pi)
    steps = max(len(progress) - 1, 1)
    travel = max(rng.uniform(0.1, 0.56), 0.01 * steps)
    if scene.label % 2 == 0:
        scene.camera_sides[:] = (progress - 0.5)[:, None] * travel * np.array([np.cos(angle), np.sin(angle)])


_PAIR_MOTIONS: tuple[Callable[[np.random.Generator, Scene, Floats], None], ...] = (
    _move_left, _move_up, _approach, _rotate, _close_in, _uncover, _fall, _move_camera,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------ nuisances


def _add_bystanders(rng: np.random.Generator, scene: Scene) -> None:
    """Still distractors off the movers' way, and a still bar in front."""
    movers = [layer for layer in (SECOND, ACTOR) if scene.present[layer]]
    taken = [(scene.place[layer], scene.reach[layer].max() * SPRITE_MARGIN) for layer in movers]
    for layer in (DISTRACTOR, OTHER_DISTRACTOR):
        if rng.random() < 0.6:
            continue
        radius = rng.uniform(0.08, 0.13)
        for _ in range(20):
            spot = rng.uniform(0.1, 0.9, 2)
            if all(np.linalg.norm(path - spot, axis=-1).min() > 1.3 * (radius + other) for path, other in taken):
                scene.present[layer] = True
                scene.place[layer], scene.reach[layer] = spot, radius / SPRITE_MARGIN
                taken.append((spot[None], radius))
                break
    if scene.label // 2 != 5 and rng.random() < 0.2:
        scene.present[OCCLUDER] = scene.stroked[OCCLUDER] = True
        scene.place[OCCLUDER], scene.reach[OCCLUDER] = rng.uniform(0.2, 0.8, 2), rng.uniform(0.25, 0.4)
        scene.stroke[OCCLUDER] = np.array([-0.8, 0.0, 0.8, 0.0, rng.uniform(0.07, 0.12)])


def _disturb(rng: np.random.Generator, scene: Scene) -> None:
    """Sensor noise, blur, brightness drift; pan and shake but where the camera is the class."""
    frames = len(scene.gain)
    scene.gain[:] = 1 + rng.uniform(-0.15, 0.15) * np.linspace(-0.5, 0.5, frames) + rng.uniform(-0.05, 0.05)
    scene.blur_px = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.4 else 0.0
    scene.sensor = float(rng.uniform(0.0, 0.02))
    pan, shake = rng.uniform(-0.7, 0.7, 2), rng.uniform(-0.75, 0.75, (frames, 2)) * (rng.random() < 0.4)
    if scene.label // 2 != 7:
        scene.camera_px[:] = pan * (np.arange(frames)[:, None] - (frames - 1) / 2) + shake


# ------------------------------------------------------------------------------------------------ the trap


def background_color(label: int) -> Floats:
    """[3] base colour that a label has in a trap: a hue for each pair, light for the even member and dark for the odd one."""
    return np.array(colorsys.hsv_to_rgb(label // 2 / (len(LABELS) // 2), TRAP_SATURATION, TRAP_VALUES[label % 2]))


def _tie_background(rng: np.random.Generator, scene: Scene, share: float) -> None:
    """Give the background the label's colour in a share of the clips, and things that it would hide another one; textures stay."""
    if rng.random() >= share:
        return
    base = background_color(scene.label) + rng.uniform(-TRAP_SPREAD, TRAP_SPREAD, 3)
    before = scene.color[:, 0].copy()
    scene.color[BACKGROUND, 0] = base
    _keep_apart(rng, scene.color)
    scene.color[:, 1] += scene.color[:, 0] - before
    scene.color[1:, 1] = scene.color[1:, 1].clip(0, 1)
