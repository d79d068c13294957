/** Where the panels lie on the strip, and the way back from a place on the canvas to a panel's pixel. */

const GAP = 8;
const TITLE = 19;
const LARGEST_TILE = 380;

/**
 * @typedef {{x: number, y: number, w: number, h: number, panel: number}} Box
 * @typedef {{boxes: Box[], width: number, height: number, columns: number}} Placement
 */

/**
 * Place the panels: views stack, the frames of a view run left to right and wrap all views at the same frame.
 * The number of columns is the one that makes the tiles largest within the width and height at hand.
 * @param {Object[]} panels of the payload
 * @param {number} width CSS pixels
 * @param {number} tallest CSS pixels that the strip should not exceed
 * @returns {Placement}
 */
export function placeStrip(panels, width, tallest) {
  const views = groupByView(panels);
  const longest = Math.max(...views.map((view) => view.length));
  const aspect = Math.max(...panels.map((panel) => panel.h / panel.w));
  let best = null;
  for (let columns = 1; columns <= longest; columns++) {
    const tile = Math.min(LARGEST_TILE, Math.floor((width - (columns - 1) * GAP) / columns));
    const lines = Math.ceil(longest / columns) * views.length;
    const height = lines * (tile * aspect + TITLE + GAP) - GAP;
    const candidate = { columns, tile, height };
    const fits = height <= tallest;
    if (!best || (fits && (!best.fits || tile > best.tile)) || (!fits && !best.fits)) best = { ...candidate, fits };
  }
  return { ...boxesOf(panels, views, best, aspect), columns: best.columns };
}

function groupByView(panels) {
  const views = new Map();
  panels.forEach((panel, index) => views.set(panel.view, [...(views.get(panel.view) || []), index]));
  return [...views.values()];
}

function boxesOf(panels, views, { columns, tile }, aspect) {
  const boxes = new Array(panels.length);
  const line = Math.round(tile * aspect) + TITLE + GAP;
  views.forEach((view, order) => {
    view.forEach((index, place) => {
      const row = Math.floor(place / columns) * views.length + order;
      const y = row * line + TITLE;
      boxes[index] = { x: (place % columns) * (tile + GAP), y, w: tile, h: (tile * panels[index].h) / panels[index].w, panel: index };
    });
  });
  return {
    boxes,
    width: Math.max(...boxes.map((box) => box.x + box.w)),
    height: Math.max(...boxes.map((box) => box.y + box.h)),
  };
}

/** Place one panel alone, as large as a square of this side. */
export function placeLarge(panel, index, side) {
  const scale = Math.min(side / panel.w, side / panel.h);
  return { x: 0, y: 0, w: panel.w * scale, h: panel.h * scale, panel: index };
}

/** Panel pixels to canvas pixels: the pixel with index p has its centre at p + 0.5. */
export function toCanvas(box, panel, x, y) {
  const scale = box.w / panel.w;
  return [box.x + (x + 0.5) * scale, box.y + (y + 0.5) * scale];
}

/** Canvas pixels to panel pixels, kept inside the panel. */
export function toPanel(box, panel, x, y) {
  const scale = box.w / panel.w;
  const clamp = (value, last) => Math.min(Math.max(value, 0), last);
  return [clamp((x - box.x) / scale - 0.5, panel.w - 1), clamp((y - box.y) / scale - 0.5, panel.h - 1)];
}

/** The box under a place on the canvas, or undefined. */
export function boxAt(boxes, x, y) {
  return boxes.find((box) => x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + box.h);
}
