/** The buttons around the canvas: transport, layers, keys of the figure, the sheet of shortcuts. */

import { el, icon, sizeCanvas, readable } from "./dom.js";
import { mark } from "./draw.js";

const SPEEDS = [0.25, 0.5, 1, 2];

const SHORTCUTS = [
  ["Space", "play or pause"],
  ["\u2190 \u2192", "one frame back or on"],
  ["Home End", "first or last frame"],
  ["Shift + arrow keys", "move the cross hair by one cell"],
  ["Enter", "pick the cell under the cross hair"],
  ["O (hold)", "bare frames, no overlays"],
  ["1 to 9", "show or hide a layer of the list"],
  ["?", "this sheet"],
];

/**
 * Build the component's elements once.
 * @param {Object} on listeners: play, step, seek, speed, loop
 * @returns {Object<string, HTMLElement>} the elements that are touched later
 */
export function buildView(on) {
  const strip = el("canvas", { class: "strip", tabindex: "0", role: "application", "aria-describedby": "alt" });
  const large = el("canvas", { class: "large", "aria-hidden": "true" });
  const veil = el("div", { class: "veil", role: "status" });
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  const alt = el("p", { id: "alt", class: "unseen" });
  const layers = el("div", { class: "layers", role: "group", "aria-label": "Layers" });
  const keys = el("div", { class: "keys" });
  const transport = buildTransport(on);
  const sheet = buildSheet();
  const side = el("div", { class: "side" }, large, el("div", { class: "panel" }, transport.bar, layers, keys));
  const root = el("section", { class: "player" }, side, el("div", { class: "film" }, strip, veil), tip, alt, sheet);
  transport.help.addEventListener("click", () => sheet.showModal());
  return { root, strip, large, veil, tip, alt, layers, keys, sheet, side, ...transport };
}

function button(name, label, onclick) {
  return el("button", { type: "button", "aria-label": label, title: label, onclick }, icon(name));
}

function buildTransport(on) {
  const play = button("play", "Play", on.play);
  const loop = button("loop", "Loop", on.loop);
  const scrub = el("input", { type: "range", min: 0, step: 1, class: "scrub", "aria-label": "Frame", oninput: () => on.seek(Number(scrub.value)) });
  const speed = el("select", { "aria-label": "Speed", title: "Speed", onchange: () => on.speed(Number(speed.value)) });
  for (const value of SPEEDS) speed.append(el("option", { value, selected: value === 1 }, `${value}\u00d7`));
  const place = el("output", { class: "place" });
  const help = el("button", { type: "button", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts (?)" }, "?");
  const steps = [button("previous", "One frame back", () => on.step(-1)), play, button("next", "One frame on", () => on.step(1))];
  const bar = el("div", { class: "transport", role: "toolbar", "aria-label": "Playback" }, ...steps, scrub, place, speed, loop, help);
  return { bar, play, loop, scrub, speed, place, help };
}

function buildSheet() {
  const rows = SHORTCUTS.map(([keys, what]) => el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, keys)), el("td", {}, what)));
  const close = el("form", { method: "dialog" }, el("button", { type: "submit" }, "Close"));
  return el("dialog", { class: "sheet", "aria-label": "Keyboard shortcuts" }, el("h2", {}, "Keyboard shortcuts"), el("table", {}, ...rows), close);
}

/** Show the playback state on the buttons. */
export function syncTransport(view, figure, state) {
  const last = figure.frames.length - 1;
  view.play.replaceChildren(icon(state.playing ? "pause" : "play"));
  view.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
  view.play.title = state.playing ? "Pause (space)" : "Play (space)";
  view.loop.setAttribute("aria-pressed", String(state.loop));
  view.scrub.max = String(last);
  view.scrub.value = String(state.place);
  const time = figure.times[figure.frames[state.place]];
  const seconds = time === undefined ? "" : ` \u00b7 ${time.toFixed(2)} s`;
  view.place.textContent = `${state.place + 1} / ${last + 1}${seconds}`;
  view.scrub.setAttribute("aria-valuetext", `frame ${state.place + 1} of ${last + 1}${seconds}`);
  view.bar.hidden = last < 1;
}

/** Draw the colour bars, wheels and legends of the figure; a legend that only repeats the layers is left out. */
export function buildKeys(view, figure, layers) {
  const makers = { bar: colorBar, wheel: colorWheel, legend: legend };
  const listed = new Set(figure.layerList.map((layer) => layer.role));
  const keys = figure.keys.filter((key) => key.kind !== "legend" || !key.entries.every(([role]) => listed.has(role)));
  view.keys.replaceChildren(...keys.map((key) => makers[key.kind](key, figure, layers)));
}

function colorBar(key, figure, layers) {
  const { visible = true, limits, colors: map } = layers.get(key.layer) || {};
  const [low, high] = limits || key.limits;
  const canvas = el("canvas", { class: "bar", "aria-hidden": "true" });
  const context = sizeCanvas(canvas, 256, 10);
  const colors = figure.luts[map || key.colors];
  for (let step = 0; step < 256; step++) {
    context.fillStyle = `rgb(${colors[3 * step]}, ${colors[3 * step + 1]}, ${colors[3 * step + 2]})`;
    context.fillRect(step, 0, 1.5, 10);
  }
  const ends = el("div", { class: "ends" }, el("span", {}, readable(low)), el("span", {}, readable(high)));
  return el("div", { class: "key", "data-hidden": String(!visible) }, caption(key.label, key.note), canvas, ends);
}

function colorWheel(key, figure, layers) {
  const sets = key.layers.map((name) => layers.get(name) || { visible: true, reach: 1 });
  const lines = key.lines.map((line, place) => {
    const { reach } = sets[Math.min(place, sets.length - 1)];
    return reach === 1 || (sets.length === 1 && !place) ? line : `${line} \u00d7 ${reach}`;
  });
  const disc = el("img", { src: key.src, alt: "", class: "wheel" });
  const words = ["up", "left", "right", "down"].map((word) => el("small", { class: word }, word));
  return el("div", { class: "key wheels", "data-hidden": String(sets.every(({ visible }) => !visible)) }, el("div", { class: "disc" }, disc, ...words), el("div", {}, ...lines.map((line) => el("div", {}, line))));
}

function legend(key, figure) {
  const entries = key.entries.map(([role, text], place) => {
    const marker = key.markers[place] || markerOf(figure, role);
    return el("div", { class: "entry" }, sampleOf(figure.roles[role], `${key.sample}s`, marker), el("span", {}, text));
  });
  return el("div", { class: "key" }, ...entries);
}

/** The shape that a role's marks have in the figure. */
function markerOf(figure, role) {
  const listed = figure.layerList.find((layer) => layer.role === role && layer.marker);
  return listed && listed.marker;
}

/** A small canvas that shows one mark of a role on its casing. */
export function sampleOf(style, kind, marker) {
  const canvas = el("canvas", { class: "sample", "aria-hidden": "true" });
  const context = sizeCanvas(canvas, 30, 14);
  if (kind === "points") mark(context, marker || "square", 15, 7, 10, style);
  else sampleLine(context, style, kind);
  return canvas;
}

function sampleLine(context, style, kind) {
  context.lineJoin = "round";
  for (const [color, wider] of [[style.casing, 2], [style.color, 0]]) {
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = 2 + wider;
    if (kind === "polygons") context.strokeRect(10, 2, 10, 10);
    else sampleArrow(context, style, wider, kind !== "lines");
  }
}

function sampleArrow(context, style, wider, pointed) {
  context.setLineDash(style.dash.map((part) => 2 * part));
  context.beginPath();
  context.moveTo(2, 7);
  context.lineTo(pointed ? 21 : 28, 7);
  context.stroke();
  if (!pointed) return;
  context.setLineDash([]);
  context.beginPath();
  for (const corner of [[28, 7], [19, 3], [19, 11]]) context.lineTo(...corner);
  context.closePath();
  context.fill();
  if (!wider) return;
  context.lineWidth = wider;
  context.stroke();
}

function caption(label, note) {
  return el("div", { class: "caption" }, label, note ? el("small", {}, ` ${note}`) : "");
}
