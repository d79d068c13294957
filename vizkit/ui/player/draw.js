/** Painting on the canvas: panels, heat maps, marks and arrows. Nothing here knows of buttons or of Streamlit. */

import { toCanvas } from "./layout.js";
import { angleOf, headOf, linkLine, ownLine, shaftOf } from "./arcs.js";

const PX_PER_PT = 2.6;
const CASING_PX = 1.8;
const SHORT_PX = 40;
const CASING_OPACITY = 0.7;

/**
 * @typedef {Object} Scene what one painting needs
 * @property {Object} figure the payload
 * @property {HTMLImageElement} sprite all frames in one picture
 * @property {Map<string, {visible: boolean, opacity: number}>} layers what the reader set
 * @property {{text: string, accent: string, faint: string, font: string, dark: boolean}} look
 * @property {number} frame the current frame
 * @property {?number} group the query whose arrows stand out
 * @property {?{layer: number, index: number}} link the arrow under the pointer
 * @property {?{x: number, y: number}} cursor linked cross hair in panel pixels
 * @property {boolean} bare overlays are held back
 */

/** Paint the whole film strip: panels first, then arrows across them, then marks. */
export function paintStrip(context, scene, placement) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const box of placement.boxes) {
    paintTitle(context, scene, box);
    paintPanel(context, scene, box);
  }
  if (!scene.bare) {
    scene.figure.links.forEach((layer, order) => paintLinks(context, scene, layer, order, placement.boxes));
    for (const box of placement.boxes) paintPoints(context, scene, box);
  }
  for (const box of placement.boxes) {
    paintFrameLine(context, scene, box);
    if (scene.cursor) paintCursor(context, scene, box);
  }
}

/** Paint the current frame alone; arrows end where their match lies in its own frame. */
export function paintLarge(context, scene, box) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  paintPanel(context, scene, box);
  if (!scene.bare) {
    scene.figure.links.forEach((layer, order) => paintOwnLinks(context, scene, layer, order, box));
    paintPoints(context, scene, box);
  }
  if (scene.cursor) paintCursor(context, scene, box);
}

function paintTitle(context, scene, box) {
  const panel = scene.figure.panels[box.panel];
  const current = panel.frame === scene.frame;
  context.font = `${current ? 600 : 400} 12px ${scene.look.font}`;
  context.fillStyle = current ? scene.look.text : scene.look.faint;
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillText(panel.title, box.x, box.y - 6, box.w);
}

function paintFrameLine(context, scene, box) {
  if (scene.figure.panels[box.panel].frame !== scene.frame) return;
  context.strokeStyle = scene.look.text;
  context.lineWidth = 3;
  context.setLineDash([]);
  context.strokeRect(box.x + 1.5, box.y + 1.5, box.w - 3, box.h - 3);
}

function paintPanel(context, scene, box) {
  const panel = scene.figure.panels[box.panel];
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.w, box.h);
  context.clip();
  for (const layer of panel.layers) {
    const set = scene.layers.get(layer.name);
    if (!set.visible || (scene.bare && layer.kind !== "image")) continue;
    context.globalAlpha = set.opacity;
    if (layer.kind === "image") paintImage(context, scene, layer, box);
    if (layer.kind === "heat") paintHeat(context, scene.figure, layer, panel, box);
    if (layer.kind === "arrows") paintArrows(context, scene, layer, panel, box);
  }
  context.restore();
}

function paintImage(context, scene, layer, box) {
  const [x, y, w, h] = layer.tile;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scene.sprite, x, y, w, h, box.x, box.y, box.w, box.h);
}

const heatPictures = new WeakMap();

/** One small picture per heat layer: a pixel per cell and the outermost cells once more around them; transparent where nothing is known. */
function heatPicture(figure, layer) {
  if (heatPictures.has(layer)) return heatPictures.get(layer);
  const [wide, high] = [layer.w + 2, layer.h + 2];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  const picture = context.createImageData(wide, high);
  const inside = (place, count) => Math.min(Math.max(place - 1, 0), count - 1);
  for (let pixel = 0; pixel < wide * high; pixel++) {
    const value = layer.values[inside(Math.floor(pixel / wide), layer.h) * layer.w + inside(pixel % wide, layer.w)];
    if (!Number.isNaN(value)) picture.data.set(colorOf(value, layer.limits, figure.luts[layer.colors]), 4 * pixel);
  }
  context.putImageData(picture, 0, 0);
  heatPictures.set(layer, canvas);
  return canvas;
}

/** 256 equal bins between the limits, as everywhere else. */
function colorOf(value, [low, high], colors) {
  const bin = Math.min(Math.floor(256 * Math.min(Math.max((value - low) / (high - low), 0), 1)), 255);
  return [colors[3 * bin], colors[3 * bin + 1], colors[3 * bin + 2], 255];
}

function paintHeat(context, figure, layer, panel, box) {
  const scale = box.w / panel.w;
  const corner = (layer.origin - 1.5 * layer.stride + 0.5) * scale;
  const [w, h] = [layer.w + 2, layer.h + 2].map((cells) => cells * layer.stride * scale);
  context.imageSmoothingEnabled = layer.smooth;
  context.drawImage(heatPicture(figure, layer), box.x + corner, box.y + corner, w, h);
}

function paintPoints(context, scene, box) {
  const panel = scene.figure.panels[box.panel];
  for (const layer of panel.layers) {
    const set = scene.layers.get(layer.name);
    if (layer.kind !== "points" || !set.visible) continue;
    const style = styleOf(scene, layer.role);
    context.globalAlpha = set.opacity;
    for (let index = 0; index < layer.xy.length / 2; index++) {
      const [x, y] = toCanvas(box, panel, layer.xy[2 * index], layer.xy[2 * index + 1]);
      const side = Math.min(Math.max((layer.size * box.w) / panel.w, 7), 40);
      mark(context, layer.marker, x, y, side, style);
    }
  }
  context.globalAlpha = 1;
}

function mark(context, marker, x, y, side, style) {
  const half = side / 2;
  context.beginPath();
  if (marker === "cross") {
    context.moveTo(x - half, y);
    context.lineTo(x + half, y);
    context.moveTo(x, y - half);
    context.lineTo(x, y + half);
  } else if (marker === "square") context.rect(x - half, y - half, side, side);
  else context.arc(x, y, marker === "dot" ? half / 2 : half, 0, 2 * Math.PI);
  strokeTwice(context, style, style.width * PX_PER_PT, []);
  if (marker === "dot") {
    context.fillStyle = style.color;
    context.fill();
  }
}

function paintArrows(context, scene, layer, panel, box) {
  const strength = context.globalAlpha;
  for (let index = 0; index < layer.weight.length; index++) {
    context.globalAlpha = strength * layer.weight[index];
    arrow(context, ownLine(layer, index, panel, box), styleOf(scene, layer.role), 1);
  }
}

function paintLinks(context, scene, layer, order, boxes) {
  if (!scene.layers.get(layer.name).visible) return;
  for (let index = 0; index < layer.weight.length; index++) {
    paintLink(context, scene, layer, order, index, linkLine(scene.figure, layer, index, boxes));
  }
  context.globalAlpha = 1;
}

function paintOwnLinks(context, scene, layer, order, box) {
  if (!scene.layers.get(layer.name).visible) return;
  const panel = scene.figure.panels[box.panel];
  for (let index = 0; index < layer.weight.length; index++) {
    if (layer.from[index] === box.panel) {
      const line = ownLine(layer, index, panel, box);
      paintLink(context, scene, layer, order, index, line);
      paintOffset(context, scene, layer, index, line);
    } else if (layer.to[index] === box.panel) {
      const [x, y] = toCanvas(box, panel, layer.end[2 * index], layer.end[2 * index + 1]);
      context.globalAlpha = strengthOf(scene, layer, order, index);
      mark(context, "circle", x, y, 9, styleOf(scene, layer.role));
    }
  }
  context.globalAlpha = 1;
}

function paintLink(context, scene, layer, order, index, line) {
  const pointed = scene.link && scene.link.layer === order && scene.link.index === index;
  context.globalAlpha = strengthOf(scene, layer, order, index);
  arrow(context, line, styleOf(scene, layer.role), pointed ? 2 : 1);
}

/** "+2" beside a head: the match lies two frames later. Short arrows have no room for it. */
function paintOffset(context, scene, layer, index, line) {
  if (Math.hypot(line.end[0] - line.start[0], line.end[1] - line.start[1]) < SHORT_PX) return;
  const [from, to] = [layer.from[index], layer.to[index]].map((panel) => scene.figure.panels[panel].frame);
  if (from === null || to === null) return;
  const style = styleOf(scene, layer.role);
  const [x, y] = [line.end[0] + 11 * Math.cos(angleOf(line)), line.end[1] + 11 * Math.sin(angleOf(line))];
  Object.assign(context, { font: `600 11px ${scene.look.font}`, textAlign: "center", textBaseline: "middle", lineWidth: 3 });
  Object.assign(context, { strokeStyle: style.casing, fillStyle: style.color });
  context.setLineDash([]);
  const text = to > from ? `+${to - from}` : `\u2212${from - to}`;
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

function strengthOf(scene, layer, order, index) {
  const other = scene.group !== null && scene.group !== layer.group[index];
  return scene.layers.get(layer.name).opacity * layer.weight[index] * (other ? 0.15 : 1);
}

function styleOf(scene, role) {
  return scene.figure.roles[role];
}

function arrow(context, line, style, thickness) {
  const shaft = shaftOf(line);
  const width = style.width * PX_PER_PT * thickness;
  context.beginPath();
  context.moveTo(...shaft.start);
  context.quadraticCurveTo(...shaft.control, ...shaft.end);
  strokeTwice(context, style, width, style.dash.map((part) => part * width));
  context.beginPath();
  for (const corner of headOf(line)) context.lineTo(...corner);
  context.closePath();
  strokeTwice(context, style, 0.5, []);
  context.fillStyle = style.color;
  context.fill();
}

/** A wider line in a contrasting tone under the coloured one keeps it visible on any picture. */
function strokeTwice(context, style, width, dash) {
  const strength = context.globalAlpha;
  context.lineCap = "butt";
  context.setLineDash(dash);
  context.globalAlpha = strength * strength * CASING_OPACITY;
  context.strokeStyle = style.casing;
  context.lineWidth = width + CASING_PX;
  context.stroke();
  context.globalAlpha = strength;
  context.strokeStyle = style.color;
  context.lineWidth = width;
  context.stroke();
}

function paintCursor(context, scene, box) {
  const [x, y] = toCanvas(box, scene.figure.panels[box.panel], scene.cursor.x, scene.cursor.y);
  mark(context, "cross", x, y, 11, { color: "#111111", casing: "#ffffff", width: 0.5 });
}
