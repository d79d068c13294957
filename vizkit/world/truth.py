"""What is known exactly about a clip of the world: flow, occlusion, objects, tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vizkit.contracts import Record
from vizkit.errors import SettingError
from vizkit.world.paint import PaintedScene

MOVING_PX = 0.25


@dataclass(frozen=True, eq=False, repr=False)
class Truth(Record):
    """The exact motion of one clip, from the transforms of its layers (never by chaining flow)."""

    flow_px: NDArray[np.float32]
    """[T-1, H, W, 2] (x, y) motion of the visible surface at each pixel from t to t + 1, camera included."""
    occluded: NDArray[np.bool_]
    """[T-1, H, W] the surface point is not visible at t + 1: covered, or out of the frame."""
    object_id: NDArray[np.uint8]
    """[T, H, W] 0 = background, else the number of the layer."""
    moving: NDArray[np.bool_]
    """[T, H, W] moves by more than 0.25 px relative to the background (last frame: since the frame before)."""
    camera: NDArray[np.float32]
    """[T, 2, 3] similarity transform of the background from frame 0 to frame t, in pixels."""
    painted: PaintedScene
    """The layers; a batch of one."""

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        sizes: dict[str, int] = {}
        self._expect("object_id", ("T", "H", "W"), sizes, "uint8")
        self._expect("moving", ("T", "H", "W"), sizes, "bool")
        sizes["T-1"] = sizes["T"] - 1
        self._expect("flow_px", ("T-1", "H", "W", 2), sizes, "float32")
        self._expect("occluded", ("T-1", "H", "W"), sizes, "bool")

    def track(self, t: int, xy_px: tuple[float, float] | NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Follow the surface point seen at one pixel of one frame.

        Args:
            t: frame number.
            xy_px: (x, y) in pixels; pixel indices name pixel centres.

        Returns:
            xy [T, 2] float32 in pixels (outside the frame where it has left it) and visible [T] bool.

        Raises:
            SettingError: the point or the frame lies outside the clip.
        """
        frames, height, width = self.object_id.shape
        x, y = (float(value) for value in xy_px)
        if not (0 <= t < frames and -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise SettingError(
                f"Point (t={t}, x={x}, y={y}) lies outside the clip (t 0..{frames - 1}, x 0..{width - 1}, y 0..{height - 1})."
            )
        xy, visible = self.tracks(np.array([[t, x, y]]))
        return xy[0], visible[0]

    def tracks(self, points_txy: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Follow many points at once.

        Args:
            points_txy: [N, 3] frame number and pixel position of each point.

        Returns:
            xy [N, T, 2] float32 in pixels and visible [N, T] bool.
        """
        points = torch.as_tensor(np.asarray(points_txy), dtype=torch.float32)[None]
        xy, visible = follow(self.painted, points[..., 0].long(), points[..., 1:])
        return xy[0].numpy(), visible[0].numpy()


def follow(painted: PaintedScene, frame: torch.Tensor, xy_px: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Follow the surface points seen at pixels, through all frames.

    Args:
        painted: the layers of B clips.
        frame: [B, P] frame numbers.
        xy_px: [B, P, 2] positions in pixels.

    Returns:
        xy [B, P, T, 2] in pixels and visible [B, P, T].
    """
    side, frames = painted.side_px, painted.place.shape[2]
    at = (xy_px + 0.5) / side
    layer = painted.top_layer(at, frame)
    canvas = painted.to_canvas(at, layer, frame)
    places, seen = [], []
    for t in range(frames):
        now = torch.full_like(frame, t)
        there = painted.to_frame(canvas, layer, now)
        inside = ((there > 0) & (there < 1)).all(-1)
        places.append(there * side - 0.5)
        seen.append(inside & (painted.top_layer(there, now) == layer))
    return torch.stack(places, 2), torch.stack(seen, 2)


def object_map(painted: PaintedScene) -> torch.Tensor:
    """[B, T, S, S] int64 number of the visible layer at every pixel."""
    batch, _, frames, _ = painted.place.shape
    xy, frame = _all_pixels(painted, range(frames))
    return painted.top_layer(xy, frame).view(batch, frames, painted.side_px, painted.side_px)


def _all_pixels(painted: PaintedScene, frames: range) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions [B, P, 2] in frame sides and frame numbers [B, P] of every pixel of some frames."""
    side, batch, device = painted.side_px, len(painted.place), painted.place.device
    axis = (torch.arange(side, device=device) + 0.5) / side
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    xy = torch.stack([x, y], -1).view(1, -1, 2).expand(batch, -1, -1).repeat(1, len(frames), 1)
    frame = torch.arange(frames.start, frames.stop, device=device).repeat_interleave(side * side).expand(batch, -1)
    return xy, frame


def measure_truth(painted: PaintedScene) -> Truth:
    """Work out the truth of one clip (a batch of one)."""
    side, frames = painted.side_px, painted.place.shape[2]
    objects = object_map(painted)
    flow, hidden, moving = (torch.zeros(0, side, side, *tail) for tail in ((2,), (), ()))
    if frames > 1:
        xy, frame = _all_pixels(painted, range(frames - 1))
        layer = objects[:, :-1].flatten(1)
        there = painted.to_frame(painted.to_canvas(xy, layer, frame), layer, frame + 1)
        behind = painted.to_frame(painted.to_canvas(xy, 0, frame), 0, frame + 1)
        inside = ((there > 0) & (there < 1)).all(-1)
        hidden = ~(inside & (painted.top_layer(there, frame + 1) == layer)).view(frames - 1, side, side)
        flow = ((there - xy) * side).view(frames - 1, side, side, 2)
        moving = ((there - behind).norm(dim=-1) * side > MOVING_PX).view(frames - 1, side, side)
    return Truth(
        flow_px=flow.numpy(),
        occluded=hidden.numpy().astype(bool),
        object_id=objects[0].to(torch.uint8).numpy(),
        moving=np.concatenate([moving.numpy().astype(bool), _moved_since(painted, objects)[None]]),
        camera=_camera(painted),
        painted=painted,
    )


def _moved_since(painted: PaintedScene, objects: torch.Tensor) -> NDArray[np.bool_]:
    """[S, S] what moved relative to the background between the last two frames, seen in the last."""
    side, last = painted.side_px, painted.place.shape[2] - 1
    if last == 0:
        return np.zeros((side, side), bool)
    xy, frame = _all_pixels(painted, range(last, last + 1))
    layer = objects[:, -1].flatten(1)
    before = painted.to_frame(painted.to_canvas(xy, layer, frame), layer, frame - 1)
    behind = painted.to_frame(painted.to_canvas(xy, 0, frame), 0, frame - 1)
    return ((before - behind).norm(dim=-1) * side > MOVING_PX).view(side, side).numpy()


def _camera(painted: PaintedScene) -> NDArray[np.float32]:
    """[T, 2, 3] motion of the background since frame 0; a translation in this world version."""
    moved = (painted.place[0, 0] - painted.place[0, 0, :1]) * painted.side_px
    frames = len(moved)
    camera = np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1))
    camera[:, :, 2] = moved.numpy()
    return camera
