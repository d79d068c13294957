/** The lines of arrows: the same arcs as in print, so that the screen shows the figure that is exported. */

import { toCanvas } from "./layout.js";

const BOW_PX = 0.1;
const BOW_SHARE = 0.055;
const HEAD_WIDTH = 0.9;
const MAX_HEAD_PX = 16;
const LINK_NEAR_PX = 7;

/** @typedef {{start: number[], control: number[], end: number[], head: number}} Line a quadratic curve and its head's length */

/** The arc of an arrow across panels: it bends to its role's side, long ones pass over short ones, none leaves its two panels. */
export function linkLine(figure, layer, index, boxes) {
  const [from, to] = [boxes[layer.from[index]], boxes[layer.to[index]]];
  const start = toCanvas(from, figure.panels[from.panel], layer.start[2 * index], layer.start[2 * index + 1]);
  const end = toCanvas(to, figure.panels[to.panel], layer.end[2 * index], layer.end[2 * index + 1]);
  const head = (layer.head * to.w) / figure.panels[to.panel].w;
  return line(start, bend(start, end, from, to, figure.roles[layer.role].side), end, head);
}

/** A straight arrow within one panel; for a link: from its start to the place of its match, as if both were in this panel. */
export function ownLine(layer, index, panel, box) {
  const start = toCanvas(box, panel, layer.start[2 * index], layer.start[2 * index + 1]);
  const end = toCanvas(box, panel, layer.end[2 * index], layer.end[2 * index + 1]);
  return line(start, [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2], end, (layer.head * box.w) / panel.w);
}

function line(start, control, end, head) {
  return { start, control, end, head: Math.min(head, MAX_HEAD_PX, 0.6 * Math.hypot(end[0] - start[0], end[1] - start[1])) };
}

function bend(start, end, from, to, side) {
  const chord = [end[0] - start[0], end[1] - start[1]];
  const length = Math.hypot(...chord);
  const middle = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
  if (length === 0) return middle;
  const flip = -chord[0] > 0 ? -1 : 1;
  const upward = [(flip * chord[1]) / length, (flip * -chord[0]) / length];
  const wanted = Math.min(BOW_PX * from.w + BOW_SHARE * length, 0.25 * length);
  const room = roomAlong(middle, [upward[0] * side, upward[1] * side], from, to);
  const other = roomAlong(middle, [-upward[0] * side, -upward[1] * side], from, to);
  const turned = room < wanted / 2 && other > room;
  const height = Math.min(wanted, turned ? other : room) * (turned ? -side : side);
  return [middle[0] + 2 * height * upward[0], middle[1] + 2 * height * upward[1]];
}

/** How far a point can move in a direction inside the rectangle around two boxes. */
function roomAlong(point, direction, from, to) {
  const low = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
  const high = [Math.max(from.x + from.w, to.x + to.w), Math.max(from.y + from.h, to.y + to.h)];
  const steps = direction.map((way, axis) => (way === 0 ? Infinity : ((way > 0 ? high[axis] : low[axis]) - point[axis]) / way));
  return Math.max(Math.min(...steps), 0);
}

/** A point on the curve, `at` in 0..1. */
function pointOn({ start, control, end }, at) {
  const rest = 1 - at;
  return [0, 1].map((axis) => rest * rest * start[axis] + 2 * at * rest * control[axis] + at * at * end[axis]);
}

/** The curve without its last part, which the head covers. */
export function shaftOf({ start, control, end, head }) {
  const speed = 2 * Math.hypot(end[0] - control[0], end[1] - control[1]);
  const at = speed > 0 ? 1 - (0.8 * head) / speed : 1;
  const between = [0, 1].map((axis) => (1 - at) * start[axis] + at * control[axis]);
  return { start, control: between, end: pointOn({ start, control, end }, at) };
}

/** The head's three corners, tip first. */
export function headOf({ control, end, head }) {
  const toward = [end[0] - control[0], end[1] - control[1]];
  const length = Math.hypot(...toward);
  const along = toward.map((part) => (length > 0 ? (part / length) * head : 0));
  const across = [(-along[1] * HEAD_WIDTH) / 2, (along[0] * HEAD_WIDTH) / 2];
  return [end, [end[0] - along[0] + across[0], end[1] - along[1] + across[1]], [end[0] - along[0] - across[0], end[1] - along[1] - across[1]]];
}

/** Direction of the head, radians. */
export function angleOf({ control, end }) {
  return Math.atan2(end[1] - control[1], end[0] - control[0]);
}

/** The link under a pointer, as (layer, index), or null; `large`: in the large view, where links are drawn within their panel. */
export function nearestLink(figure, layers, event, { box, boxes, panel }, large) {
  let best = { distance: LINK_NEAR_PX };
  figure.links.forEach((layer, order) => {
    if (!layers.get(layer.name).visible) return;
    for (let index = 0; index < layer.weight.length; index++) {
      if (large && layer.from[index] !== box.panel) continue;
      const line = large ? ownLine(layer, index, panel, box) : linkLine(figure, layer, index, boxes);
      const distance = distanceTo(line, event.offsetX, event.offsetY);
      if (distance <= best.distance) best = { distance, layer: order, index };
    }
  });
  return best.layer === undefined ? null : best;
}

/** Distance in pixels from a place to a line. */
function distanceTo(arc, x, y) {
  let nearest = Infinity;
  for (let step = 0; step <= 32; step++) {
    const [px, py] = pointOn(arc, step / 32);
    nearest = Math.min(nearest, Math.hypot(px - x, py - y));
  }
  return nearest;
}
