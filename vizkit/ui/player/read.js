/** From the payload and the page to what the player works with. */

import { decodeBytes, decodeFloats } from "./dom.js";
import { listLayers } from "./layers.js";

/** Unpack the arrays of a payload, name its panels and list its layers. */
export function readFigure(figure) {
  const luts = Object.fromEntries(Object.entries(figure.luts).map(([name, text]) => [name, decodeBytes(text)]));
  const panels = figure.panels.map((panel) => ({ ...panel, ...words(figure, panel), layers: panel.layers.map(readLayer) }));
  return { ...figure, luts, wheel: decodeBytes(figure.wheel), panels, layerList: listLayers(panels, figure.links) };
}

/** A panel's heading, its own or its column's, and with its row's heading what the tip calls it. */
function words(figure, panel) {
  const column = figure.panels.find((other) => other.view === panel.view && other.column === panel.column && other.title);
  const row = figure.panels.find((other) => other.row === panel.row && other.rowTitle);
  const heading = panel.title || (column ? column.title : "");
  return { heading, label: [heading, row ? row.rowTitle : ""].filter(Boolean).join(" \u00b7 ") };
}

function readLayer(layer) {
  if (layer.kind === "heat") return { ...layer, values: decodeFloats(layer.values) };
  if (layer.kind !== "motion") return layer;
  return { ...layer, dx: decodeFloats(layer.dx), dy: decodeFloats(layer.dy), confidence: decodeFloats(layer.confidence) };
}

/** The colours and the font of the page, resolved for the canvas. */
export function readLook(root) {
  const [page, faint, sheet] = [root, root.querySelector(".place"), root.querySelector(".sheet")].map((node) => getComputedStyle(node));
  const [red, green, blue] = page.backgroundColor.match(/[\d.]+/g).map(Number);
  const theme = 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? "dark" : "light";
  return { text: page.color, faint: faint.color, line: sheet.borderTopColor, font: page.fontFamily, theme };
}
