"""Paints scenes: textures, sprites, frames. Torch only, vectorised over a batch of clips, CPU and GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vizkit.world.scene import BACKGROUND_REACH, LAYERS, OUTLINE_HARMONICS, Scene

BACKGROUND_SIDE = 192
SPRITE_SIDE = 96
EDGE_TEXELS = 1.0
TENSORS = ("place", "reach", "turn", "present", "background", "sprites")
"""Names of the tensors of a batch of painted clips, in their order."""


@dataclass(eq=False)
class PaintedScene:
    """A batch of painted layers with their tracks; what both the frames and the truth are made from."""

    side_px: int
    """Frame side S."""
    place: torch.Tensor
    """[B, L, T, 2] centres in frame sides, camera included."""
    reach: torch.Tensor
    """[B, L, T] half canvas sides in frame sides."""
    turn: torch.Tensor
    """[B, L, T] radians."""
    present: torch.Tensor
    """[B, L] bool"""
    background: torch.Tensor
    """[B, 3, G, G] in 0..1; G is 0 where only the geometry was kept."""
    sprites: torch.Tensor
    """[B, L - 1, 4, N, N] RGB times alpha, and alpha; alpha alone, [B, L - 1, 1, N, N], where only the geometry was kept."""

    @classmethod
    def join(cls, parts: Sequence[PaintedScene]) -> PaintedScene:
        """One batch of several."""
        return cls(parts[0].side_px, *(torch.cat([getattr(part, name) for part in parts]) for name in TENSORS))

    def take(self, rows: torch.Tensor | slice) -> PaintedScene:
        """The clips of some rows."""
        return PaintedScene(self.side_px, *(getattr(self, name)[rows] for name in TENSORS))

    def to(self, device: torch.device) -> PaintedScene:
        """The clips on another device."""
        return PaintedScene(self.side_px, *(getattr(self, name).to(device) for name in TENSORS))

    def put(self, rows: torch.Tensor, clips: PaintedScene) -> PaintedScene:
        """The batch with other clips in some rows."""
        changed = (getattr(self, name).index_copy(0, rows, getattr(clips, name)) for name in TENSORS)
        return PaintedScene(self.side_px, *changed)

    def to_canvas(self, xy: torch.Tensor, layer: int | torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Map frame positions (in frame sides) to canvas positions in [-1, 1].

        Args:
            xy: [B, P, 2].
            layer: one layer, or one per point [B, P].
            frame: [B, P] frame number of each point.
        """
        place, reach, turn = self._pose(layer, frame)
        offset = (xy - place) / reach[..., None]
        cosine, sine = torch.cos(turn), torch.sin(turn)
        return torch.stack([cosine * offset[..., 0] + sine * offset[..., 1], -sine * offset[..., 0] + cosine * offset[..., 1]], -1)

    def to_frame(self, canvas: torch.Tensor, layer: int | torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Map canvas positions [B, P, 2] to frame positions in frame sides; the inverse of :meth:`to_canvas`."""
        place, reach, turn = self._pose(layer, frame)
        cosine, sine = torch.cos(turn), torch.sin(turn)
        turned = torch.stack([cosine * canvas[..., 0] - sine * canvas[..., 1], sine * canvas[..., 0] + cosine * canvas[..., 1]], -1)
        return place + turned * reach[..., None]

    def _pose(self, layer: int | torch.Tensor, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch = torch.arange(len(self.place), device=self.place.device)[:, None]
        return self.place[batch, layer, frame], self.reach[batch, layer, frame], self.turn[batch, layer, frame]

    def alpha_at(self, xy: torch.Tensor, layer: int, frame: torch.Tensor) -> torch.Tensor:
        """[B, P] opacity of one layer above the background at frame positions."""
        canvas = self.to_canvas(xy, layer, frame)
        alpha = F.grid_sample(self.sprites[:, layer - 1, -1:], canvas[:, None], align_corners=False)[:, 0, 0]
        return alpha * self.present[:, layer, None]

    def top_layer(self, xy: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """[B, P] int64 the front-most layer that is more than half opaque there."""
        top = torch.zeros(frame.shape, dtype=torch.int64, device=xy.device)
        for layer in range(1, LAYERS):
            if bool(self.present[:, layer].any()):
                top = torch.where(self.alpha_at(xy, layer, frame) > 0.5, layer, top)
        return top


def paint_layers(scenes: Sequence[Scene], side_px: int, device: torch.device | str = "cpu") -> PaintedScene:
    """Paint the canvases of scenes and place the camera.

    Canvases have fixed sides and are shrunk with anti-aliasing to about one texel per frame pixel.
    """

    def stack(arrays: Sequence[NDArray[np.generic]], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device, dtype)

    camera = stack([scene.camera_sides + scene.camera_px / side_px for scene in scenes])
    background = _paint_background(scenes, stack)
    sprites = _paint_sprites(scenes, stack)
    background_side = min(BACKGROUND_SIDE, round(2 * BACKGROUND_REACH * side_px))
    sprite_side = min(SPRITE_SIDE, side_px // 2)
    shrunk = F.interpolate(sprites.flatten(0, 1), size=(sprite_side, sprite_side), mode="bilinear", antialias=True, align_corners=False)
    return PaintedScene(
        side_px=side_px,
        place=stack([scene.place for scene in scenes]) + camera[:, None],
        reach=stack([scene.reach for scene in scenes]),
        turn=stack([scene.turn for scene in scenes]),
        present=stack([scene.present for scene in scenes], torch.bool),
        background=F.interpolate(background, size=(background_side, background_side), mode="bilinear", antialias=True, align_corners=False),
        sprites=shrunk.unflatten(0, sprites.shape[:2]),
    )


def paint_frames(painted: PaintedScene, scenes: Sequence[Scene]) -> torch.Tensor:
    """Compose the layers and add what the sensor does.

    Returns:
        uint8 [B, T, 3, S, S] RGB.
    """
    batch, _, frames, _ = painted.place.shape
    picture = _sample(painted, painted.background, torch.arange(batch), 0, frames)  # [B, 3, T, S, S]
    for layer in range(1, LAYERS):
        rows = torch.nonzero(painted.present[:, layer])[:, 0]
        if len(rows):
            cover = _sample(painted, painted.sprites[rows, layer - 1], rows, layer, frames)
            picture[rows] = picture[rows] * (1 - cover[:, 3:]) + cover[:, :3]
    picture = _expose(picture, painted, scenes)
    return (picture.clamp_(0, 1) * 255 + 0.5).to(torch.uint8).transpose(1, 2).contiguous()


def _sample(painted: PaintedScene, canvas: torch.Tensor, rows: torch.Tensor, layer: int, frames: int) -> torch.Tensor:
    """Draw one layer of the clips ``rows`` into all frames: [B', C, T, S, S]."""
    side = painted.side_px
    place, reach, turn = painted.place[rows, layer], painted.reach[rows, layer], painted.turn[rows, layer]
    axis = (torch.arange(side, device=place.device) + 0.5) / side
    dx, dy = axis - place[..., :1], axis - place[..., 1:]  # [B', T, S]
    cosine, sine = (torch.cos(turn) / reach)[..., None, None], (torch.sin(turn) / reach)[..., None, None]
    x, y = dx[:, :, None, :], dy[:, :, :, None]
    grid = torch.stack([cosine * x + sine * y, cosine * y - sine * x], -1)  # [B', T, S, S, 2]
    padding = "reflection" if layer == 0 else "zeros"
    drawn = F.grid_sample(canvas, grid.flatten(1, 2), padding_mode=padding, align_corners=False)
    return drawn.unflatten(2, (frames, side))


def _expose(picture: torch.Tensor, painted: PaintedScene, scenes: Sequence[Scene]) -> torch.Tensor:
    """Blur, brightness and sensor noise of each clip."""
    side = painted.side_px
    for row, scene in enumerate(scenes):
        if scene.blur_px:
            picture[row] = _blur(picture[row], scene.blur_px * side / 64)
        if scene.sensor:
            noise = np.random.default_rng(scene.sensor_seed).standard_normal(picture.shape[1:], np.float32)
            picture[row] += torch.from_numpy(noise).to(picture.device) * scene.sensor
    gain = torch.from_numpy(np.stack([scene.gain for scene in scenes])).to(picture.device)
    return picture * gain[:, None, :, None, None]


def _blur(picture: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Gaussian blur of [3, T, S, S] over the last two axes."""
    radius = max(1, math.ceil(2.5 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, device=picture.device, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    flat = F.pad(picture.flatten(0, 1)[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, kernel), kernel.transpose(2, 3))[:, 0].view_as(picture)


def _canvas_xy(side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    axis = (torch.arange(side, device=device) + 0.5) * 2 / side - 1
    return axis[None, :].expand(side, side), axis[:, None].expand(side, side)


def _patterns(pattern: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stripes and checks in -1..1 for patterns [..., 6]: two maps [..., side, side], weights applied."""
    frequency, direction, phase, stripes, checks, _ = (entry[..., None, None] for entry in pattern.unbind(-1))
    along = x * torch.cos(direction) + y * torch.sin(direction)
    across = y * torch.cos(direction) - x * torch.sin(direction)
    wave = torch.tanh(3 * torch.sin(math.pi * frequency * along + phase))
    other = torch.tanh(3 * torch.sin(math.pi * frequency * across + phase))
    return stripes * wave, checks * wave * other


def _paint_background(scenes: Sequence[Scene], stack) -> torch.Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """1/f noise, stripes, checks, gradients and rooms: [B, 3, G, G]."""
    pattern, color, rooms = (stack([getattr(scene, name) for scene in scenes]) for name in ("pattern", "color", "rooms"))
    falloff = stack([np.float32(scene.noise_falloff) for scene in scenes])
    noise = stack([scene.noise[0] for scene in scenes])
    for octave in range(1, len(scenes[0].noise)):
        finer = stack([scene.noise[octave] for scene in scenes])
        weight = 2.0 ** (-falloff * octave)
        noise = F.interpolate(noise, scale_factor=2, mode="bilinear", align_corners=False) + weight[:, None, None, None] * finer
    noise = F.interpolate(noise, size=(BACKGROUND_SIDE, BACKGROUND_SIDE), mode="bilinear", align_corners=False)
    noise = noise / noise.std(dim=(1, 2, 3), keepdim=True)
    x, y = _canvas_xy(BACKGROUND_SIDE, noise.device)
    stripes, checks = _patterns(pattern[:, 0], x, y)
    planes = torch.tanh(20 * (rooms[..., 0, None, None] * x + rooms[..., 1, None, None] * y - rooms[..., 2, None, None]))
    shade = ((rooms[..., 3] + rooms[..., 4] * 0.3)[..., None, None] * planes).sum(1)
    slope = pattern[:, 0, 1, None, None]
    gradient = 0.15 * (x * torch.cos(slope) + y * torch.sin(slope))
    tint = (color[:, 0, 1] - color[:, 0, 0])[..., None, None]
    texture = 0.35 * tint * (stripes + checks)[:, None] + (shade + gradient)[:, None]
    grain = 0.05 + 0.12 * pattern[:, 0, 5].view(-1, 1, 1, 1)
    return (color[:, 0, 0, :, None, None] + texture + grain * noise).clamp(0.02, 0.98)


def _paint_sprites(scenes: Sequence[Scene], stack) -> torch.Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Outline, texture and opacity of the five layers above the background: [B, L - 1, 4, N, N]."""
    names = ("pattern", "color", "outline", "stroke", "sprite_noise")
    pattern, color, outline, stroke, noise = (stack([getattr(scene, name) for scene in scenes])[:, 1:] for name in names)
    stroked = stack([scene.stroked for scene in scenes], torch.bool)[:, 1:]
    x, y = _canvas_xy(SPRITE_SIDE, noise.device)
    distance = torch.where(stroked[..., None, None], _stroke_distance(stroke, x, y), _outline_distance(outline, x, y))
    alpha = torch.sigmoid(distance * SPRITE_SIDE / 2 / EDGE_TEXELS * 2)[:, :, None]
    stripes, checks = _patterns(pattern, x * 1.5, y * 1.5)
    grain = F.interpolate(noise.flatten(0, 1), size=(SPRITE_SIDE, SPRITE_SIDE), mode="bilinear", align_corners=False).unflatten(
        0, noise.shape[:2]
    )
    base, second = color[:, :, 0, :, None, None], color[:, :, 1, :, None, None]
    texture = base + 0.5 * (second - base) * (stripes + checks)[:, :, None] + 0.12 * pattern[..., 5, None, None, None] * grain
    return torch.cat([texture.clamp(0.02, 0.98) * alpha, alpha], dim=2)


def _outline_distance(outline: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Positive inside r(angle) = 0.75 (1 + sum of harmonics) / their largest sum; canvas units: [B, L, N, N]."""
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    harmonics = torch.arange(OUTLINE_HARMONICS, device=x.device, dtype=x.dtype)
    waves = torch.stack([torch.cos(harmonics[:, None, None] * angle), torch.sin(harmonics[:, None, None] * angle)])
    edge = torch.einsum("blch,chxy->blxy", outline, waves)
    largest = 1 + torch.linalg.vector_norm(outline[..., 1:], dim=-2).sum(-1)
    return 0.75 * edge / largest[..., None, None].sqrt() - radius


def _stroke_distance(stroke: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Positive inside the union of thick segments; canvas units: [B, L, N, N]."""
    start, end, width = stroke[..., :2], stroke[..., 2:4], stroke[..., 4]
    along = end - start
    length = (along**2).sum(-1).clamp_min(1e-6)
    inside = torch.full((*stroke.shape[:2], *x.shape), -2.0, device=x.device)
    for number in range(stroke.shape[2]):
        dx, dy = (axis - start[:, :, number, part, None, None] for part, axis in enumerate((x, y)))
        ax, ay = along[:, :, number, 0, None, None], along[:, :, number, 1, None, None]
        share = ((dx * ax + dy * ay) / length[:, :, number, None, None]).clamp(0, 1)
        gap = torch.hypot(dx - share * ax, dy - share * ay)
        inside = torch.maximum(inside, width[:, :, number, None, None] - gap)
    return inside
