/** The frame player: a film strip and a large view of any figure. Frames, arrows and text come as data, never as markup. */

import { decodeBytes, decodeFloats, sizeCanvas } from "./dom.js";
import { boxAt, isGrid, largePanels, placeGrid, placeLarge, placeStrip, toPanel } from "./layout.js";
import { distanceTo, linkLine, ownLine } from "./arcs.js";
import { paintLarge, paintStrip, rowTitlesWidth } from "./draw.js";
import { describe, gridOf } from "./readout.js";
import { buildKeys, buildLayers, buildView, syncTransport } from "./controls.js";

const WIDE_PX = 1120;
const GRID_PX = 720;
const GRID_SIDE_PX = 280;
const LINK_NEAR_PX = 7;
const TITLE_PX = 20;
const TICK = "vizkit-time";

const players = new WeakMap();

/** Called by Streamlit when the component appears and whenever its data change. */
export default function mount({ data, parentElement, setStateValue }) {
  const player = players.get(parentElement) || new Player(parentElement);
  players.set(parentElement, player);
  player.update(data, setStateValue);
  return () => player.leavePage();
}

class Player {
  constructor(parent) {
    this.parent = parent;
    this.picks = Date.now();
    this.layers = new Map();
    this.state = { place: 0, focus: 0, playing: false, loop: true, speed: 1, bare: false, group: null, link: null, cursor: null, aim: null };
    this.view = buildView(this.listeners());
    parent.append(this.view.root);
    this.listen();
    this.observer = new ResizeObserver(() => this.arrange());
    this.observer.observe(this.view.root);
  }

  listeners() {
    return {
      play: () => this.setPlaying(!this.state.playing),
      step: (by) => this.step(by),
      seek: (place) => this.seek(place),
      speed: (speed) => Object.assign(this.state, { speed }),
      loop: () => this.change({ loop: !this.state.loop }),
      layer: (name, visible) => this.setLayer(name, { visible }),
      opacity: (name, opacity) => this.setLayer(name, { opacity }),
    };
  }

  listen() {
    const { root, strip, large } = this.view;
    for (const canvas of [strip, large]) {
      canvas.addEventListener("pointermove", (event) => this.hover(canvas, event));
      canvas.addEventListener("pointerleave", () => this.leave());
      canvas.addEventListener("click", (event) => this.click(canvas, event));
    }
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("keyup", (event) => event.key.toLowerCase() === "o" && this.change({ bare: false }));
    strip.addEventListener("blur", () => this.change({ bare: false, aim: null }));
    this.follow = (event) => this.followTime(event.detail);
    window.addEventListener(TICK, this.follow);
  }

  /** Take new data; what the reader set on the layers stays. */
  update(data, setStateValue) {
    this.setStateValue = setStateValue;
    const first = !this.figure;
    this.options = data.options;
    if (first || data.figure.digest !== this.figure.digest) this.show(data.figure);
    if (first && this.options.playing && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.setPlaying(true);
    this.view.root.setAttribute("aria-busy", String(Boolean(this.options.busy)));
    this.view.veil.textContent = this.options.busy || "";
    this.view.root.dataset.pickable = String(this.options.pickable);
    this.arrange();
  }

  show(figure) {
    this.figure = readFigure(figure);
    this.state.place = Math.min(this.state.place, this.figure.frames.length - 1);
    this.state.focus = Math.max(this.figure.panels.findIndex((panel) => panel.name === this.focusName), 0);
    Object.assign(this.state, { group: null, link: null });
    this.keepLayers();
    this.view.alt.textContent = figure.alt;
    this.view.root.setAttribute("aria-label", figure.title);
    this.view.strip.setAttribute("aria-label", figure.title);
    const arrows = figure.links.reduce((sum, layer) => sum + layer.weight.length, 0);
    Object.assign(this.view.root.dataset, { figure: figure.digest, arrows });
    if (this.sprite && this.sprite.src === figure.sprite) return;
    this.sprite = new Image();
    this.sprite.onload = () => this.paint();
    this.sprite.src = figure.sprite;
  }

  keepLayers() {
    const before = this.layers;
    this.layers = new Map(this.figure.layerList.map(({ name, opacity, visible }) => [name, before.get(name) || { opacity, visible }]));
  }

  /** Lay everything out for the width at hand. */
  arrange() {
    if (!this.figure) return;
    const { root, strip, large } = this.view;
    const width = root.clientWidth;
    if (!width) return;
    this.look = readLook(root);
    this.dress();
    const still = this.options.layout === "still";
    const plan = still ? this.stillPlan(width) : isGrid(this.figure.panels) ? this.gridPlan(width) : this.stripPlan(width);
    root.dataset.layout = plan.layout;
    root.style.setProperty("--large", `${plan.large.width}px`);
    Object.assign(this, { placement: plan.placement, largeRoom: plan.large });
    sizeCanvas(strip, this.placement.width, this.placement.height);
    const { width: wide, height } = this.placedLarge();
    sizeCanvas(large, wide, height);
    this.paint();
  }

  /** Take the theme's roles; a new figure or another theme has other rows of layers and other keys. */
  dress() {
    const roles = this.figure.themes[this.look.theme];
    if (this.figure.roles === roles) return;
    this.figure.roles = roles;
    buildLayers(this.view, this.figure, this.layers, this.listeners());
    buildKeys(this.view, this.figure);
  }

  /** The figure's grid alone. */
  stillPlan(width) {
    return { layout: "still", placement: placeGrid(this.figure.panels, width, Infinity, this.indent()), large: { width, tallest: width } };
  }

  indent() {
    return rowTitlesWidth(this.view.strip.getContext("2d"), this.figure, this.look);
  }

  /** A film strip beside or above the large view. */
  stripPlan(width) {
    const film = this.options.layout === "film";
    const wide = film || width >= WIDE_PX;
    const side = Math.min(wide ? Math.round(width * (film ? 0.42 : 0.25)) : 280, 460, width);
    const tallest = film ? side + TITLE_PX : Math.max(420, Math.min(window.innerHeight * 0.72, 640));
    const placement = placeStrip(this.figure.panels, wide ? width - side - 20 : width, tallest);
    return { layout: film ? "film" : wide ? "wide" : "stacked", placement, large: { width: side, tallest: side } };
  }

  /** The figure's own grid, small enough to be seen whole, and beside it the current frame's panels in large. */
  gridPlan(width) {
    const beside = width >= GRID_PX;
    const tallest = Math.max(420, Math.min(window.innerHeight * 0.76, 720));
    const placement = placeGrid(this.figure.panels, beside ? width - GRID_SIDE_PX - 20 : width, tallest, this.indent());
    const rest = beside ? width - Math.ceil(placement.width) - 20 : width;
    return { layout: beside ? "grid" : "stacked", placement, large: { width: rest, tallest: Math.min(tallest, rest) } };
  }

  /** Panels of the large view; the first one is that of the keyboard. */
  shown() {
    return largePanels(this.figure.panels, this.figure.frames[this.state.place], this.state.focus);
  }

  placedLarge() {
    return placeLarge(this.figure.panels, this.shown(), this.largeRoom.width, this.largeRoom.tallest);
  }

  /** The panel that the keyboard's cross hair is on: of those in large the one whose view was clicked last. */
  current() {
    const panels = this.shown().map((index) => this.figure.panels[index]);
    return panels.find((panel) => panel.view === this.figure.panels[this.state.focus].view) || panels[0];
  }

  paint() {
    if (!this.figure || !this.placement || !this.sprite.complete) return;
    const { state, figure } = this;
    const frame = figure.frames[state.place];
    const grid = isGrid(figure.panels);
    const scene = { figure, sprite: this.sprite, layers: this.layers, look: this.look, frame, grid, ...state };
    scene.cursor = state.aim || state.cursor;
    if (this.options.layout === "still") scene.focus = null;
    paintStrip(this.view.strip.getContext("2d"), scene, this.placement);
    const placed = this.placedLarge();
    paintLarge(sizeCanvas(this.view.large, placed.width, placed.height), scene, placed);
    syncTransport(this.view, figure, state);
    Object.assign(this.view.root.dataset, { frame, playing: state.playing, focus: figure.panels[state.focus].name });
  }

  change(what) {
    Object.assign(this.state, what);
    this.paint();
  }

  setLayer(name, what) {
    Object.assign(this.layers.get(name), what);
    this.paint();
  }

  // ------------------------------------------------------------------------------------------ time

  setPlaying(playing) {
    const stopped = this.state.playing && !playing;
    this.change({ playing });
    clearTimeout(this.timer);
    if (playing) this.schedule();
    if (stopped) this.seek(this.state.place);
  }

  schedule() {
    this.timer = setTimeout(() => this.tick(), 1000 / (this.figure.fps * this.state.speed));
  }

  tick() {
    if (!this.parent.isConnected) return this.leavePage();
    const last = this.figure.frames.length - 1;
    if (this.state.place >= last && !this.state.loop) return this.setPlaying(false);
    this.seek(this.state.place >= last ? 0 : this.state.place + 1);
    return this.schedule();
  }

  step(by) {
    this.setPlaying(false);
    const count = this.figure.frames.length;
    this.seek((this.state.place + by + count) % count);
  }

  seek(place) {
    this.change({ place });
    const { clip, times, frames } = this.figure;
    const frame = frames[place];
    const detail = { clip, time: times[frame], frame, playing: this.state.playing, player: this };
    window.dispatchEvent(new CustomEvent(TICK, { detail }));
  }

  /** Go where another player of the same clip has stopped; while that one plays, this one stays as it is. */
  followTime({ clip, time, frame, playing, player }) {
    const { clip: own, times, frames } = this.figure || {};
    if (!player || player === this || playing || this.state.playing || clip !== own || !this.parent.isConnected) return;
    const place = frames.indexOf(frame);
    if (place >= 0 && times[frame] === time) this.change({ place });
  }

  // ------------------------------------------------------------------------------------------ pointer and keys

  /** What lies under a pointer event: the box, its panel and the panel's pixel. */
  under(canvas, event) {
    const boxes = canvas === this.view.strip ? this.placement.boxes : this.placedLarge().boxes;
    const box = boxAt(boxes, event.offsetX, event.offsetY);
    if (!box) return null;
    const panel = this.figure.panels[box.panel];
    const [x, y] = toPanel(box, panel, event.offsetX, event.offsetY);
    return { box, boxes, panel, x, y };
  }

  hover(canvas, event) {
    const found = this.under(canvas, event);
    if (!found) return this.leave();
    const { box, panel, x, y } = found;
    const link = this.nearestLink(canvas, event, found);
    const group = link ? this.figure.links[link.layer].group[link.index] : null;
    this.change({ link, group, cursor: { x, y, w: panel.w, h: panel.h } });
    return this.tip(event, link ? this.figure.links[link.layer].label[link.index] : describe(this.figure, panel, x, y, box.w / panel.w));
  }

  leave() {
    this.view.tip.hidden = true;
    this.change({ link: null, group: null, cursor: null });
  }

  nearestLink(canvas, event, { box, boxes, panel }) {
    let best = { distance: LINK_NEAR_PX };
    this.figure.links.forEach((layer, order) => {
      if (!this.layers.get(layer.name).visible) return;
      for (let index = 0; index < layer.weight.length; index++) {
        if (canvas === this.view.large && layer.from[index] !== box.panel) continue;
        const line = canvas === this.view.large ? ownLine(layer, index, panel, box) : linkLine(this.figure, layer, index, boxes);
        const distance = distanceTo(line, event.offsetX, event.offsetY);
        if (distance <= best.distance) best = { distance, layer: order, index };
      }
    });
    return best.layer === undefined ? null : best;
  }

  tip(event, text) {
    const { tip, root } = this.view;
    tip.textContent = text;
    tip.hidden = !text;
    const frame = root.getBoundingClientRect();
    const left = Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4);
    tip.style.transform = `translate(${Math.max(left, 0)}px, ${event.clientY - frame.top + 16}px)`;
  }

  click(canvas, event) {
    const found = this.under(canvas, event);
    if (!found) return;
    this.focus(found.panel);
    this.pick(found.panel, found.x, found.y);
  }

  /** Go to a panel's frame and show it in large. */
  focus(panel) {
    this.setPlaying(false);
    this.focusName = panel.name;
    this.state.focus = this.figure.panels.indexOf(panel);
    this.seek(panel.frame === null ? this.state.place : this.figure.frames.indexOf(panel.frame));
  }

  pick(panel, x, y) {
    if (!this.options.pickable || this.options.busy) return;
    this.view.root.setAttribute("aria-busy", "true");
    this.view.veil.textContent = this.options.picking;
    this.picks += 1;
    const place = { x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100 };
    const frame = panel.frame === null ? this.figure.frames[this.state.place] : panel.frame;
    this.setStateValue("pick", { view: panel.view, panel: panel.name, frame, ...place, number: this.picks });
  }

  key(event) {
    const onControl = event.target.matches("input, select, button, dialog, dialog *");
    const action = this.action(event, onControl);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  action(event, onControl) {
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    if (event.key === "?") return () => this.view.sheet.showModal();
    if (event.key.toLowerCase() === "o") return () => this.change({ bare: true });
    if (onControl) return null;
    if (event.shiftKey && event.key.startsWith("Arrow")) return () => this.moveAim(event.key);
    const last = this.figure.frames.length - 1;
    const actions = {
      " ": () => this.setPlaying(!this.state.playing),
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.seek(0),
      End: () => this.seek(last),
      Enter: () => this.state.aim && this.pick(this.current(), this.state.aim.x, this.state.aim.y),
    };
    return actions[event.key] || null;
  }

  /** Move the keyboard's cross hair by one cell. */
  moveAim(key) {
    const panel = this.current();
    const { origin, stride } = gridOf(panel, this.figure) || { origin: 0, stride: 1 };
    const middle = (side) => origin + Math.round((side / 2 - origin) / stride) * stride;
    const aim = this.state.aim || { x: middle(panel.w), y: middle(panel.h) };
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const inside = (value, side) => Math.min(Math.max(value, 0), side - 1);
    this.change({ aim: { x: inside(aim.x + dx * stride, panel.w), y: inside(aim.y + dy * stride, panel.h), w: panel.w, h: panel.h } });
  }

  /** Stop everything, once the component has really gone: Streamlit also asks for this when one update overtakes another. */
  leavePage() {
    if (this.parent.isConnected) return;
    clearTimeout(this.timer);
    this.observer.disconnect();
    window.removeEventListener(TICK, this.follow);
    players.delete(this.parent);
  }
}

/** Unpack the arrays of a payload, name its panels and list its layers. */
function readFigure(figure) {
  const luts = Object.fromEntries(Object.entries(figure.luts).map(([name, text]) => [name, decodeBytes(text)]));
  const panels = figure.panels.map((panel) => ({ ...panel, ...words(figure, panel), layers: panel.layers.map(readLayer) }));
  const layerList = new Map();
  for (const layer of [...panels.flatMap((panel) => panel.layers), ...figure.links]) {
    const { name, role, kind, marker, head, opacity } = layer;
    if (!layerList.has(name)) layerList.set(name, { name, role, kind, marker, head, opacity, visible: true });
  }
  return { ...figure, luts, wheel: decodeBytes(figure.wheel), panels, layerList: [...layerList.values()] };
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
function readLook(root) {
  const [page, faint, sheet] = [root, root.querySelector(".place"), root.querySelector(".sheet")].map((node) => getComputedStyle(node));
  const [red, green, blue] = page.backgroundColor.match(/[\d.]+/g).map(Number);
  const theme = 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? "dark" : "light";
  return { text: page.color, faint: faint.color, line: sheet.borderTopColor, font: page.fontFamily, theme };
}
