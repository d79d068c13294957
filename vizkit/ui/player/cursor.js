/** One cursor for all players of a clip: a place in source pixels and a time; and what the cell under it looks at. */

import { cellAt, firstSide, gridOf, sideOf, teller } from "./readout.js";

/** The cursor at a panel's pixel; `frame` is the panel's, or the current one where it shows none. */
export function cursorAt(figure, panel, x, y, frame) {
  const { fields } = sideOf(panel, figure);
  return { x, y, w: panel.w, h: panel.h, frame, side: teller(panel, figure), field: fieldAt(fields, gridOf(panel, figure), x, y, frame) };
}

/** What the cell under a place looks at, in panel pixels: its box, cut off at nothing, and its first and last frame; null where that is not known. */
function fieldAt(fields, grid, x, y, frame) {
  const field = grid && fields[grid.place];
  if (!field) return null;
  const [column, row] = [cellAt(x, grid, grid.columns), cellAt(y, grid, grid.rows)];
  const [left, top] = [field.first[0] + column * field.stride, field.first[1] + row * field.stride];
  const [right, bottom] = [field.last[0] + column * field.stride, field.last[1] + row * field.stride];
  const step = Math.min(Math.floor(frame / grid.strideFrames), field.frames.length - 1);
  return { left, top, right, bottom, frames: field.frames[step] };
}

/** What other players of the clip are told: the place in the source, or none. */
export function told(figure, cursor) {
  const { source, clip, times } = (cursor && figure.sides[cursor.side]) || figure;
  if (!cursor || !source || cursor.w !== source.size[0] || cursor.h !== source.size[1]) return { clip, place: null };
  const [x, y] = toSource(source, cursor.x, cursor.y);
  return { clip, place: { x, y, frame: cursor.frame, time: times[cursor.frame] } };
}

/** The cursor of another player on the frames of this one; null where they do not show that place. */
export function heard(figure, place) {
  const { source, frames } = figure;
  const at = place && source ? placeOf(figure, place.frame, place.time) : -1;
  if (at < 0) return null;
  const [x, y] = [0, 1].map((axis) => ((axis ? place.y : place.x) - source.offset[axis]) / source.scale[axis]);
  const [w, h] = source.size;
  if (x < -0.5 || y < -0.5 || x >= w - 0.5 || y >= h - 0.5) return null;
  const field = fieldAt(figure.fields, figure.grid, x, y, frames[at]);
  return { at, cursor: { x, y, w, h, frame: frames[at], side: firstSide(figure), field } };
}

/** Where a frame of another player stands among the frames of this one: the same number at the same time, or the nearest in time; else -1. */
export function placeOf({ times, frames }, frame, time) {
  if (times[frame] === time) return frames.indexOf(frame);
  const apart = frames.map((own) => Math.abs(times[own] - time));
  const nearest = apart.indexOf(Math.min(...apart));
  const steps = frames.slice(1).map((own, index) => Math.abs(times[own] - times[frames[index]]));
  return nearest >= 0 && apart[nearest] <= Math.max(...steps) / 2 ? nearest : -1;
}

/** Panel pixels of a frame to source pixels. */
export function toSource({ scale, offset }, x, y) {
  return [offset[0] + scale[0] * x, offset[1] + scale[1] * y];
}
