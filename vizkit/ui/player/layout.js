/** Where the panels lie on the canvases, and the way back from a place on a canvas to a panel's pixel. */

const GAP = 8;
const TITLE = 19;
const LARGEST_TILE = 380;
const SMALLEST_TILE = 44;
const GRID_GAP_SHARE = 0.1;
const MOST_SIDE_BY_SIDE = 6;
const WIDE_PX = 1120;
const GRID_PX = 720;
const GRID_SIDE_PX = 280;
const NARROW_PX = 640;
const PAIRED_SHARE = 0.45;

/**
 * @typedef {{x: number, y: number, w: number, h: number, panel: number}} Box
 * @typedef {{boxes: Box[], width: number, height: number}} Placement
 */

/** Whether the figure's own rows and columns are kept: more than one panel shows the same frame. */
export function isGrid(panels) {
  return new Set(panels.map((panel) => panel.frame)).size < panels.length;
}

/**
 * What stands where: the strip or the figure's own grid, and beside it or below it the large view.
 * @param {Object[]} panels of the payload
 * @param {"strip"|"film"|"still"} wish how the space is used
 * @param {number} width CSS pixels
 * @param {number} indent room at the left of a grid for its rows' titles
 * @returns {{layout: string, placement: Placement, large: {width: number, tallest: number}}}
 */
export function planOf(panels, wish, width, indent) {
  if (wish === "still") return { layout: "still", placement: placeGrid(panels, width, Infinity, indent), large: { width, tallest: width } };
  return isGrid(panels) ? gridPlan(panels, width, indent) : stripPlan(panels, width, wish === "film");
}

/** A film strip beside or above the large view. */
function stripPlan(panels, width, film) {
  const wide = film || width >= WIDE_PX;
  const side = Math.min(wide ? Math.round(width * (film ? 0.42 : 0.25)) : 280, 460, width);
  const tallest = film ? side + TITLE + 1 : Math.max(420, Math.min(window.innerHeight * 0.72, 640));
  const placement = placeStrip(panels, wide ? width - side - 20 : width, tallest);
  return { layout: film ? "film" : wide ? "wide" : width < NARROW_PX ? "narrow" : "stacked", placement, large: { width: side, tallest: side } };
}

/** The figure's own grid, small enough to be seen whole, and beside it the current frame's panels in large. */
function gridPlan(panels, width, indent) {
  const beside = width >= GRID_PX;
  const tallest = Math.max(420, Math.min(window.innerHeight * 0.76, 720));
  const most = panels.some((panel) => panel.pair) ? width * PAIRED_SHARE : width - GRID_SIDE_PX - 20;
  const placement = placeGrid(panels, beside ? most : width, tallest, indent);
  const rest = beside ? width - Math.ceil(placement.width) - 20 : width;
  return { layout: beside ? "grid" : "narrow", placement, large: { width: rest, tallest: Math.min(tallest, rest) } };
}

/**
 * Place the frames of one view from left to right, in as many columns as make the tiles largest within the width and height at hand.
 * @param {Object[]} panels of the payload
 * @param {number} width CSS pixels
 * @param {number} tallest CSS pixels that the strip should not exceed
 * @returns {Placement}
 */
function placeStrip(panels, width, tallest) {
  const aspect = Math.max(...panels.map((panel) => panel.h / panel.w));
  let best = null;
  for (let columns = 1; columns <= panels.length; columns++) {
    const tile = Math.min(LARGEST_TILE, Math.floor((width - (columns - 1) * GAP) / columns));
    const height = Math.ceil(panels.length / columns) * (tile * aspect + TITLE + GAP) - GAP;
    const fits = height <= tallest;
    if (!best || (fits && (!best.fits || tile > best.tile)) || (!fits && !best.fits)) best = { columns, tile, fits };
  }
  const line = Math.round(best.tile * aspect) + TITLE + GAP;
  const boxes = panels.map((panel, index) => {
    const [row, column] = [Math.floor(index / best.columns), index % best.columns];
    return { x: column * (best.tile + GAP), y: row * line + TITLE, w: best.tile, h: (best.tile * panel.h) / panel.w, panel: index };
  });
  return sized(boxes);
}

/**
 * Place panels by the figure's own rows and columns: columns of equal width, titles only above rows that have some.
 * @param {Object[]} panels of the payload
 * @param {number} width CSS pixels
 * @param {number} tallest CSS pixels that the grid should not exceed, unless its tiles get very small
 * @param {number} indent room at the left for the rows' titles
 * @returns {Placement}
 */
function placeGrid(panels, width, tallest, indent) {
  const ordered = (name) => [...new Set(panels.map((panel) => panel[name]))].sort((one, other) => one - other);
  const [rows, columns] = [ordered("row"), ordered("column")];
  const pitch = (width - indent) / columns.length;
  const gap = Math.max(2, Math.min(GAP, Math.round(pitch * GRID_GAP_SHARE)));
  const inRow = (row) => panels.filter((panel) => panel.row === row);
  const aspects = rows.map((row) => Math.max(...inRow(row).map((panel) => panel.h / panel.w)));
  const titles = rows.map((row) => (inRow(row).some((panel) => panel.title) ? TITLE : 0));
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const low = (tallest - sum(titles) - gap * (rows.length - 1)) / sum(aspects);
  const across = pitch - gap * (1 - 1 / columns.length);
  const tile = Math.floor(Math.min(LARGEST_TILE, across, Math.max(low, SMALLEST_TILE)));
  const tops = rows.map((_, place) => sum(titles.slice(0, place + 1)) + sum(aspects.slice(0, place).map((aspect) => Math.round(tile * aspect) + gap)));
  const boxes = panels.map((panel, index) => {
    const x = indent + columns.indexOf(panel.column) * (tile + gap);
    return { x, y: tops[rows.indexOf(panel.row)], w: tile, h: (tile * panel.h) / panel.w, panel: index };
  });
  return sized(boxes);
}

function sized(boxes) {
  return { boxes, width: Math.max(...boxes.map((box) => box.x + box.w)), height: Math.max(...boxes.map((box) => box.y + box.h)) };
}

/** The panels of the large view: every view at the current frame, or of many views the one that was clicked last. */
export function largePanels(panels, frame, focus) {
  const at = (view, column) =>
    panels.findIndex((panel) => panel.view === view && panel.frame === frame && (column === undefined || panel.column === column));
  const views = [...new Set(panels.filter((panel) => panel.frame !== null).map((panel) => panel.view))];
  if (views.length > 1 && views.length <= MOST_SIDE_BY_SIDE) return views.map((view) => at(view)).filter((index) => index >= 0);
  const { view, column, frame: own } = panels[focus];
  if (own === frame || own === null) return [focus];
  return [[at(view, column), at(view), 0].find((index) => index >= 0)];
}

/** Place some panels as large as they get within a width and a height; a single one needs no title. */
export function placeLarge(panels, chosen, width, tallest) {
  const [title, aspect] = [chosen.length > 1 ? TITLE : 0, Math.max(...chosen.map((index) => panels[index].h / panels[index].w))];
  let best = null;
  for (let columns = 1; columns <= chosen.length; columns++) {
    const rows = Math.ceil(chosen.length / columns);
    const tile = Math.min((width - (columns - 1) * GAP) / columns, (tallest - rows * title - (rows - 1) * GAP) / rows / aspect);
    if (!best || tile > best.tile) best = { columns, tile };
  }
  const tile = chosen.length > 1 ? Math.floor(best.tile) : best.tile;
  const boxes = chosen.map((index, place) => {
    const [row, column] = [Math.floor(place / best.columns), place % best.columns];
    const y = row * (tile * aspect + title + GAP) + title;
    return { x: column * (tile + GAP), y, w: tile, h: (tile * panels[index].h) / panels[index].w, panel: index };
  });
  return sized(boxes);
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
