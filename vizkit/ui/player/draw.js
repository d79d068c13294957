/** Painting on the canvas: panels, heat maps, marks and arrows. Nothing here knows of buttons or of Streamlit. */

import { toCanvas } from "./layout.js";
import { angleOf, headOf, linkLine, ownLine, shaftOf } from "./arcs.js";
import { cellPicture } from "./cells.js";
import { sideName } from "./readout.js";

const PX_PER_PT = 2.6;
const CASING_PX = 1.8;
const SHORT_PX = 40;
const CASING_OPACITY = 0.7;
const FILL_OPACITY = 0.7;
const TITLE_FONT_PX = 12;
const CURSOR_STYLE = { color: "#111111", casing: "#ffffff", width: 0.5 };
/** Okabe and Ito's colours that black letters can be read on; the number tells points of one colour apart. */
const POINT_COLORS = ["#e69f00", "#56b4e9", "#f0e442", "#2fbf94", "#ff8a50", "#e6a0c8", "#ffffff", "#b0b0b0"];
/** Ends of the arms of marks, for half a side of 1: the same as in print. */
const ARMS = {
  cross: [[-0.8, -0.8], [0.8, 0.8], [-0.8, 0.8], [0.8, -0.8]],
  plus: [[-1, 0], [1, 0], [0, -1], [0, 1]],
  star: [[0, -1], [0, 1], [-0.87, -0.5], [0.87, 0.5], [-0.87, 0.5], [0.87, -0.5]],
  fork: [[-0.87, -0.5], [0.87, -0.5], [0, 1]],
};

/**
 * @typedef {Object} Scene what one painting needs
 * @property {Object} figure the payload
 * @property {HTMLImageElement} sprite all frames in one picture
 * @property {Map<string, {visible: boolean, opacity: number}>} layers what the reader set
 * @property {{text: string, faint: string, line: string, font: string}} look
 * @property {number} frame the current frame
 * @property {?number} group the query whose arrows stand out
 * @property {?{layer: number, index: number}} link the arrow under the pointer
 * @property {?Object} cursor linked cross hair, in pixels of panels of its size, with what the cell under it looks at
 * @property {number[][]} points picked places (frame, x, y)
 * @property {number} focus the panel that was clicked last
 * @property {boolean} grid the strip keeps the figure's rows and columns
 * @property {boolean} bare overlays are held back
 */

/** Paint the whole film strip: panels first, then arrows across them, then marks. */
export function paintStrip(context, scene, placement) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const box of placement.boxes) {
    paintTitle(context, scene, box, scene.figure.panels[box.panel].title);
    paintRowTitle(context, scene, box);
    paintPanel(context, scene, box);
  }
  if (!scene.bare) {
    scene.figure.links.forEach((layer, order) => paintLinks(context, scene, layer, order, placement.boxes));
    for (const box of placement.boxes) paintPoints(context, scene, box);
    for (const box of placement.boxes) paintPicked(context, scene, box);
  }
  for (const box of placement.boxes) {
    paintFrameLine(context, scene, box);
    paintCursor(context, scene, box);
  }
}

/** Paint the current frame's panels; arrows end where their match lies in its own frame. */
export function paintLarge(context, scene, { boxes }) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const box of boxes) {
    if (boxes.length > 1) paintTitle(context, scene, box, scene.figure.panels[box.panel].heading);
    paintPanel(context, scene, box);
    if (!scene.bare) {
      scene.figure.links.forEach((layer, order) => paintOwnLinks(context, scene, layer, order, box));
      paintPoints(context, scene, box);
      paintPicked(context, scene, box);
    }
    paintCursor(context, scene, box);
  }
}

function paintTitle(context, scene, box, title) {
  setFont(context, scene, !scene.grid && scene.figure.panels[box.panel].frame === scene.frame);
  context.textBaseline = "alphabetic";
  context.textAlign = scene.grid ? "center" : "left";
  context.fillText(title, box.x + (scene.grid ? box.w / 2 : 0), box.y - 6, box.w);
}

function paintRowTitle(context, scene, box) {
  const panel = scene.figure.panels[box.panel];
  if (!panel.rowTitle) return;
  setFont(context, scene, panel.frame === scene.frame);
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.fillText(panel.rowTitle, box.x - 7, box.y + box.h / 2);
}

function setFont(context, scene, current) {
  context.font = `${current ? 600 : 400} ${TITLE_FONT_PX}px ${scene.look.font}`;
  context.fillStyle = current ? scene.look.text : scene.look.faint;
}

/** Room for the headings of a grid's rows. */
export function rowTitlesWidth(context, figure, look) {
  context.font = `600 ${TITLE_FONT_PX}px ${look.font}`;
  return Math.ceil(Math.max(...figure.panels.map((panel) => (panel.rowTitle ? context.measureText(panel.rowTitle).width + 10 : 0))));
}

/** The current frame has a line around it; in a grid it is thin, and the panel in focus has the thicker one. */
function paintFrameLine(context, scene, box) {
  const current = scene.figure.panels[box.panel].frame === scene.frame;
  const focused = scene.grid && box.panel === scene.focus;
  if (current || focused) outlineBox(context, box, scene.look.text, scene.grid && !focused ? 1 : 3);
}

function outlineBox(context, box, color, width) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.setLineDash([]);
  context.strokeRect(box.x + width / 2, box.y + width / 2, box.w - width, box.h - width);
}

function paintPanel(context, scene, box) {
  const panel = scene.figure.panels[box.panel];
  const pictured = panel.layers.some((layer) => layer.kind === "image");
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.w, box.h);
  context.clip();
  for (const layer of panel.layers) {
    const set = scene.layers.get(layer.name);
    if (!set.visible || (scene.bare && pictured && layer.kind !== "image")) continue;
    context.globalAlpha = set.opacity;
    if (layer.kind === "image") paintImage(context, scene, layer, box);
    if (layer.kind === "heat" || layer.kind === "motion") paintCells(context, scene, layer, panel, box, set);
    if (layer.kind === "polygons") paintPolygons(context, scene, layer, panel, box);
    if (layer.kind === "arrows") paintArrows(context, scene, layer, panel, box);
  }
  context.restore();
  if (scene.grid) outlineBox(context, box, scene.look.line, 1);
}

function paintImage(context, scene, layer, box) {
  const [x, y, w, h] = layer.tile;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scene.sprite, x, y, w, h, box.x, box.y, box.w, box.h);
}

function paintCells(context, scene, layer, panel, box, set) {
  context.imageSmoothingEnabled = layer.smooth;
  context.drawImage(cellPicture(scene.figure, layer, panel, set), box.x, box.y, box.w, box.h);
}

function paintPolygons(context, scene, layer, panel, box) {
  const strength = context.globalAlpha;
  const style = styleOf(scene, layer.role);
  for (const outline of layer.outlines) {
    context.beginPath();
    for (let corner = 0; corner < outline.length; corner += 2) context.lineTo(...toCanvas(box, panel, outline[corner], outline[corner + 1]));
    context.closePath();
    strokeTwice(context, style, style.width * PX_PER_PT, []);
    if (!layer.filled) continue;
    context.globalAlpha = strength * FILL_OPACITY;
    context.fillStyle = style.color;
    context.fill();
    context.globalAlpha = strength;
  }
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

/** Draw one mark; those made of lines run from arm to arm through the middle. */
export function mark(context, marker, x, y, side, style) {
  const half = side / 2;
  context.beginPath();
  if (ARMS[marker]) {
    ARMS[marker].forEach(([right, down], arm) => {
      if (arm) context.lineTo(x, y);
      context.lineTo(x + right * half, y + down * half);
    });
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
  if (!line.head) return;
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

/** The linked cross hair; on maps without a picture only the keyboard's, as the pointer's would hide their marks. */
function paintCursor(context, { figure, cursor, aim }, box) {
  const panel = figure.panels[box.panel];
  if (!cursor || cursor.w !== panel.w || cursor.h !== panel.h) return;
  if (!aim && !panel.layers.some((layer) => layer.kind === "image" || layer.kind === "motion")) return;
  if (cursor.field && ["", cursor.side].includes(sideName(panel, figure))) paintField(context, cursor, panel, box);
  const [x, y] = toCanvas(box, panel, cursor.x, cursor.y);
  mark(context, "plus", x, y, 11, CURSOR_STYLE);
}

/** The box that the cell under the cursor looks at: solid on its own frame, dashed on the others that it sees. */
function paintField(context, { field, frame }, panel, box) {
  if (panel.frame === null || panel.frame < field.frames[0] || panel.frame > field.frames[1]) return;
  const [left, top] = toCanvas(box, panel, field.left - 0.5, field.top - 0.5);
  const [right, bottom] = toCanvas(box, panel, field.right + 0.5, field.bottom + 0.5);
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.w, box.h);
  context.clip();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  strokeTwice(context, CURSOR_STYLE, 1.3, panel.frame === frame ? [] : [4, 3]);
  context.restore();
}

/** The picked places on their frames: a colour and a number each, so that they can be told apart without the colour. */
function paintPicked(context, { figure, points, look }, box) {
  const panel = figure.panels[box.panel];
  if (!figure.source || panel.w !== figure.source.size[0] || panel.h !== figure.source.size[1]) return;
  points.forEach(([frame, x, y], number) => {
    if (frame !== panel.frame) return;
    const [across, down] = toCanvas(box, panel, x, y);
    const color = POINT_COLORS[number % POINT_COLORS.length];
    mark(context, "circle", across, down, 9, { color, casing: "#000000", width: 0.8 });
    badge(context, String(number + 1), across, down, color, box, look.font);
  });
}

/** A point's number beside it, inside its panel. */
function badge(context, text, x, y, color, box, font) {
  const [half, radius] = [4 + 3 * text.length, 8];
  const across = x + 7 + 2 * half > box.x + box.w ? x - 7 - half : x + 7 + half;
  const down = y - 7 - 2 * radius < box.y ? y + 7 + radius : y - 7 - radius;
  Object.assign(context, { globalAlpha: 1, fillStyle: color, strokeStyle: "#000000", lineWidth: 1 });
  context.setLineDash([]);
  context.beginPath();
  context.roundRect(across - half, down - radius, 2 * half, 2 * radius, radius);
  context.fill();
  context.stroke();
  Object.assign(context, { font: `700 11px ${font}`, fillStyle: "#000000", textAlign: "center", textBaseline: "middle" });
  context.fillText(text, across, down + 0.5);
}
