/** What the pointer is over, in words: panel, cell, the values of maps and vectors there, and the marks' own words. */

import { readable } from "./dom.js";
import { cellValues } from "./cells.js";

const NEAR_PX = 7;

/** The name of the result that a panel is of; empty where a figure has one, and for what several have in common. */
export function sideName(panel, figure) {
  return panel.side in figure.sides ? panel.side : "";
}

/** The first of several results, whose cells a place is told in on what they have in common; empty where there is one. */
export function firstSide(figure) {
  return Object.keys(figure.sides)[0] || "";
}

/** Whose cells a place on a panel is told in. */
export function teller(panel, figure) {
  return sideName(panel, figure) || firstSide(figure);
}

/** Cells, clip, source and fields of the result that a place on a panel is told of. */
export function sideOf(panel, figure) {
  return figure.sides[teller(panel, figure)] || figure;
}

/** The cells that a place on a panel is told in: the motion's own, its result's on a frame, those of a map without a picture or of a difference. */
export function gridOf(panel, figure) {
  const own = panel.layers.find((layer) => layer.kind === "motion") || panel.layers.find((layer) => layer.kind === "heat");
  const pictured = panel.layers.some((layer) => layer.kind === "image");
  const { grid } = sideOf(panel, figure);
  const apart = Boolean(panel.pair) && !sideName(panel, figure);
  if (pictured && !apart && (!own || own.kind === "heat")) return grid && { ...grid, timed: true };
  return own ? { origin: own.origin, stride: own.stride, rows: own.h, columns: own.w, place: panel.pair || panel.view, strideFrames: 1 } : null;
}

/** The lines of the tip; `scale` is canvas pixels per panel pixel. */
export function describe(figure, panel, cursor, scale) {
  const { x, y, frame, field } = cursor;
  const lines = [`${panel.label} \u00b7 x ${x.toFixed(0)}, y ${y.toFixed(0)} px`];
  const grid = gridOf(panel, figure);
  const whose = sideName(panel, figure) === teller(panel, figure) ? "" : `${teller(panel, figure)}: `;
  if (grid) {
    const time = grid.timed && panel.frame !== null ? `t ${Math.floor(frame / grid.strideFrames)}, ` : "";
    lines.push(`${whose}cell ${time}y ${cellAt(y, grid, grid.rows)}, x ${cellAt(x, grid, grid.columns)}`);
  }
  for (const layer of panel.layers) {
    if (layer.kind === "heat" || layer.kind === "motion") lines.push(valueLine(layer, x, y));
  }
  const words = panel.layers.flatMap((layer) => wordsAt(layer, x, y, NEAR_PX / scale));
  return [...lines, ...sourceLines(sideOf(panel, figure).source, panel, cursor), ...(field ? [whose + fieldLine(field, panel)] : []), ...words].join("\n");
}

/** Where the place lies in the source, for panels that are as large as a frame. */
function sourceLines(source, panel, { x, y, frame }) {
  if (!source || panel.w !== source.size[0] || panel.h !== source.size[1]) return [];
  const [across, down] = [source.offset[0] + source.scale[0] * x, source.offset[1] + source.scale[1] * y];
  return [`source x ${across.toFixed(0)}, y ${down.toFixed(0)} px, frame ${source.index[frame]}`];
}

/** How much the cell looks at: pixels of the model's input, and frames. */
function fieldLine({ left, top, right, bottom, frames }, panel) {
  const whole = left <= 0 && top <= 0 && right >= panel.w - 1 && bottom >= panel.h - 1;
  const size = `${right - left + 1} \u00d7 ${bottom - top + 1} px`;
  const when = frames[0] === frames[1] ? `frame ${frames[0]}` : `frames ${frames[0]} to ${frames[1]}`;
  return `sees ${size}${whole ? ", the whole picture," : ""} of ${when}`;
}

export function cellAt(value, { origin, stride }, count) {
  return Math.min(Math.max(Math.round((value - origin) / stride), 0), count - 1);
}

function valueLine(layer, x, y) {
  const [first, ...rest] = cellValues(layer, cellAt(y, layer, layer.h), cellAt(x, layer, layer.w));
  if (layer.kind === "heat") return `${layer.name} ${Number.isNaN(first) ? "unknown" : `${readable(first)} ${layer.unit}`}`.trim();
  const [dy, confidence] = rest;
  if (Number.isNaN(first + dy + confidence)) return `${layer.name} unknown`;
  return `${layer.name} dx ${signed(first)}, dy ${signed(dy)} ${layer.unit}\nconfidence ${confidence.toFixed(2)}`;
}

function signed(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(1)}`;
}

/** The words of the marks of a layer within `near` panel pixels, of outlines around the place. */
function wordsAt(layer, x, y, near) {
  const tests = {
    polygons: (index) => inside(layer.outlines[index], x, y),
    points: (index) => Math.hypot(layer.xy[2 * index] - x, layer.xy[2 * index + 1] - y) <= Math.max(near, layer.size / 2),
    arrows: (index) => toSegment(layer.start.slice(2 * index, 2 * index + 2), layer.end.slice(2 * index, 2 * index + 2), x, y) <= near,
  };
  const test = tests[layer.kind];
  return test ? layer.label.filter((word, index) => word && test(index)) : [];
}

/** Whether a place lies inside an outline: a ray from it crosses the outline an odd number of times. */
function inside(outline, x, y) {
  let within = false;
  for (let corner = 0, before = outline.length - 2; corner < outline.length; before = corner, corner += 2) {
    const [x1, y1, x2, y2] = [outline[corner], outline[corner + 1], outline[before], outline[before + 1]];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) within = !within;
  }
  return within;
}

function toSegment([x1, y1], [x2, y2], x, y) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const length = dx * dx + dy * dy;
  const at = length > 0 ? Math.min(Math.max(((x - x1) * dx + (y - y1) * dy) / length, 0), 1) : 0;
  return Math.hypot(x1 + at * dx - x, y1 + at * dy - y);
}
