/** Cells on pixels: values and vectors are interpolated first and coloured after that, by the same rules as in print. */

const SIDE_PX = 224;

/** @typedef {{w: number, h: number, origin: number, stride: number, smooth: boolean}} Cells a layer of the payload, its planes unpacked */

/** Of each layer its pixels' values, and its picture with the look that it was coloured for. */
const [grids, pictures] = [new WeakMap(), new WeakMap()];

/**
 * A layer's picture on its panel, at least SIDE_PX pixels across. Its values are interpolated once; another look only colours them again.
 * @param {{limits: ?number[], colors: ?string, reach: number}} set what the reader has set
 */
export function cellPicture(figure, layer, panel, set) {
  const look = `${set.limits} ${set.colors} ${set.reach}`;
  const made = pictures.get(layer);
  if (made && made.look === look) return made.canvas;
  const factor = Math.ceil(SIDE_PX / Math.max(panel.w, panel.h));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [panel.w * factor, panel.h * factor];
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const paint = layer.kind === "heat" ? heatPainter(figure, layer, set) : motionPainter(figure, layer, set);
  const { planes, known } = onPixels(layer, panel, canvas.width, canvas.height);
  const values = new Float64Array(planes.length);
  for (let pixel = 0; pixel < known.length; pixel++) {
    for (let plane = 0; plane < planes.length; plane++) values[plane] = planes[plane][pixel];
    paint(picture.data, 4 * pixel, known[pixel] ? values : null);
  }
  context.putImageData(picture, 0, 0);
  pictures.set(layer, { look, canvas });
  return canvas;
}

/** A layer's planes on the pixels of its picture, vectors as turn and length, and where they are known; worked out once. */
function onPixels(layer, panel, wide, high) {
  if (grids.has(layer)) return grids.get(layer);
  const planes = planesOf(layer).map(() => new Float64Array(wide * high));
  const known = new Uint8Array(wide * high);
  eachPixel(layer, panel, wide, high, (pixel, values) => {
    if (!values) return;
    known[pixel] = 1;
    if (layer.kind === "motion") toTurns(values);
    for (let plane = 0; plane < planes.length; plane++) planes[plane][pixel] = values[plane];
  });
  grids.set(layer, { planes, known });
  return grids.get(layer);
}

/** The planes of a layer, each a number per cell. */
function planesOf(layer) {
  return layer.kind === "heat" ? [layer.values] : [layer.dx, layer.dy, layer.confidence];
}

/** What a layer says at one cell, NaN where it is unknown. */
export function cellValues(layer, row, column) {
  return planesOf(layer).map((plane) => plane[row * layer.w + column]);
}

/** Visit every pixel with its values: bilinear between cell centres or the nearest cell's, constant beyond the outermost ones, null if unknown. */
function eachPixel(layer, panel, wide, high, visit) {
  const planes = planesOf(layer);
  const known = planes[0].map((_, cell) => Number(planes.every((plane) => !Number.isNaN(plane[cell]))));
  const rows = positions(layer, panel.h, high, layer.h);
  const columns = positions(layer, panel.w, wide, layer.w);
  const values = new Float64Array(planes.length);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [row, column] = [rows[y], columns[x]];
      const nearest = row.nearest * layer.w + column.nearest;
      if (known[nearest] && layer.smooth) blend(planes, known, layer.w, row, column, values);
      else planes.forEach((plane, index) => (values[index] = plane[nearest]));
      visit(y * wide + x, known[nearest] ? values : null);
    }
  }
}

/** Where the pixels along one side lie between the cells. */
function positions(layer, panelSide, side, cells) {
  return Array.from({ length: side }, (_, pixel) => {
    const place = ((pixel + 0.5) * panelSide) / side - 0.5;
    const cell = Math.min(Math.max((place - layer.origin) / layer.stride, 0), cells - 1);
    const low = Math.min(Math.floor(cell), Math.max(cells - 2, 0));
    return { low, high: Math.min(low + 1, cells - 1), share: cell - low, nearest: Math.floor(cell + 0.5) };
  });
}

/** The mean of four cells by their distances; unknown ones are left out. */
function blend(planes, known, width, row, column, values) {
  const cells = [row.low * width + column.low, row.low * width + column.high, row.high * width + column.low, row.high * width + column.high];
  const down = row.share;
  const right = column.share;
  const weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right];
  let total = 0;
  values.fill(0);
  for (let corner = 0; corner < 4; corner++) {
    if (!known[cells[corner]]) continue;
    total += weights[corner];
    for (let index = 0; index < planes.length; index++) values[index] += weights[corner] * planes[index][cells[corner]];
  }
  for (let index = 0; index < planes.length; index++) values[index] /= total;
}

/** 256 equal bins between the limits, as everywhere else; transparent where nothing is known. */
function heatPainter(figure, layer, set) {
  const [low, high] = set.limits || layer.limits;
  const table = figure.luts[set.colors || layer.colors];
  return (data, at, values) => {
    if (!values) return;
    const bin = Math.min(Math.floor(256 * Math.min(Math.max((values[0] - low) / (high - low), 0), 1)), 255);
    for (let part = 0; part < 3; part++) data[at + part] = table[3 * bin + part];
    data[at + 3] = 255;
  };
}

/** (x, y, confidence) -> (turn around the wheel 0..1, length, confidence); adding zero turns -0 into 0, which lies on the other branch. */
function toTurns(values) {
  const [right, down] = [values[0] + 0, values[1] + 0];
  values[0] = (Math.atan2(-down, -right) / Math.PI + 1) / 2;
  values[1] = Math.hypot(right, down);
}

/** The wheel's colour mixed with white, or as opaque over the picture below as it is sure. */
function motionPainter(figure, { longest: full, backdrop }, { reach }) {
  const longest = full * reach;
  const color = new Uint8Array(3);
  const white = backdrop === "white";
  return (data, at, values) => {
    const share = values ? Math.min(Math.max(values[2], 0), 1) : 0;
    if (values) wheelColor(figure.wheel, values[0], Math.min(values[1] / longest, 1), color);
    for (let part = 0; part < 3; part++) data[at + part] = white ? Math.round(255 + share * (color[part] - 255)) : color[part];
    data[at + 3] = white ? 255 : Math.round(255 * share);
  };
}

/** Hue from the turn, saturation from the length, up to 1. */
function wheelColor(hues, turn, radius, color) {
  const count = hues.length / 3;
  const place = turn * (count - 1);
  const below = Math.floor(place);
  const share = place - below;
  const next = 3 * ((below + 1) % count);
  for (let part = 0; part < 3; part++) {
    const hue = (1 - share) * hues[3 * below + part] + share * hues[next + part];
    color[part] = Math.floor(255 - radius * (255 - hue));
  }
}
