/** The frame player: a film strip and a large view of any figure. Frames, arrows and text come as data, never as markup. */

import { decodeBytes, decodeFloats, readable, sizeCanvas } from "./dom.js";
import { boxAt, placeLarge, placeStrip, toPanel } from "./layout.js";
import { distanceTo, linkLine, ownLine } from "./arcs.js";
import { paintLarge, paintStrip } from "./draw.js";
import { buildKeys, buildLayers, buildView, syncTransport } from "./controls.js";

const WIDE_PX = 1120;
const NEAR_PX = 7;
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
    this.state = { place: 0, playing: false, loop: true, speed: 1, bare: false, group: null, link: null, cursor: null, aim: null };
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
    buildLayers(this.view, this.figure, this.layers, this.listeners());
  }

  /** Lay everything out for the width at hand. */
  arrange() {
    if (!this.figure) return;
    const { root, strip, large } = this.view;
    const width = root.clientWidth;
    if (!width) return;
    this.look = readLook(root);
    const film = this.options.layout === "film";
    const wide = film || width >= WIDE_PX;
    root.dataset.layout = film ? "film" : wide ? "wide" : "stacked";
    const side = Math.min(wide ? Math.round(width * (film ? 0.42 : 0.25)) : 280, 460, width);
    const tallest = film ? side + TITLE_PX : Math.max(420, Math.min(window.innerHeight * 0.72, 640));
    root.style.setProperty("--large", `${side}px`);
    this.placement = placeStrip(this.figure.panels, wide ? width - side - 20 : width, tallest);
    this.largeSide = side;
    sizeCanvas(strip, this.placement.width, this.placement.height);
    const box = placeLarge(this.current(), this.currentIndex(), side);
    sizeCanvas(large, box.w, box.h);
    buildKeys(this.view, this.figure);
    this.paint();
  }

  currentIndex() {
    const frame = this.figure.frames[this.state.place];
    return Math.max(this.figure.panels.findIndex((panel) => panel.frame === frame), 0);
  }

  current() {
    return this.figure.panels[this.currentIndex()];
  }

  paint() {
    if (!this.figure || !this.placement || !this.sprite.complete) return;
    const { state, figure } = this;
    const frame = figure.frames[state.place];
    const scene = { figure, sprite: this.sprite, layers: this.layers, look: this.look, frame, ...state };
    scene.cursor = state.aim || state.cursor;
    paintStrip(this.view.strip.getContext("2d"), scene, this.placement);
    paintLarge(this.view.large.getContext("2d"), scene, placeLarge(this.current(), this.currentIndex(), this.largeSide));
    syncTransport(this.view, figure, state);
    Object.assign(this.view.root.dataset, { frame, playing: state.playing });
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
    this.change({ playing });
    clearTimeout(this.timer);
    if (playing) this.schedule();
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
    window.dispatchEvent(new CustomEvent(TICK, { detail: { clip: this.figure.clip, time: this.figure.times[place] } }));
  }

  // ------------------------------------------------------------------------------------------ pointer and keys

  /** What lies under a pointer event: the box, its panel and the panel's pixel. */
  under(canvas, event) {
    const boxes = canvas === this.view.strip ? this.placement.boxes : [placeLarge(this.current(), this.currentIndex(), this.largeSide)];
    const box = boxAt(boxes, event.offsetX, event.offsetY);
    if (!box) return null;
    const panel = this.figure.panels[box.panel];
    const [x, y] = toPanel(box, panel, event.offsetX, event.offsetY);
    return { box, boxes, panel, x, y };
  }

  hover(canvas, event) {
    const found = this.under(canvas, event);
    if (!found) return this.leave();
    const link = this.nearestLink(canvas, event, found);
    const group = link ? this.figure.links[link.layer].group[link.index] : null;
    this.change({ link, group, cursor: { x: found.x, y: found.y } });
    return this.tip(event, link ? this.figure.links[link.layer].label[link.index] : describe(found, this.figure));
  }

  leave() {
    this.view.tip.hidden = true;
    this.change({ link: null, group: null, cursor: null });
  }

  nearestLink(canvas, event, { box, boxes, panel }) {
    let best = { distance: NEAR_PX };
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
    if (found) this.pick(found.panel, found.x, found.y);
  }

  pick(panel, x, y) {
    if (!this.options.pickable || this.options.busy || panel.frame === null) return;
    this.setPlaying(false);
    this.seek(this.figure.frames.indexOf(panel.frame));
    this.view.root.setAttribute("aria-busy", "true");
    this.view.veil.textContent = this.options.picking;
    this.picks += 1;
    this.setStateValue("pick", { view: panel.view, frame: panel.frame, x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100, number: this.picks });
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

  /** Move the keyboard's cross hair by one cell of the figure's grid. */
  moveAim(key) {
    const panel = this.current();
    const stride = this.figure.grid ? this.figure.grid.stride : 1;
    const origin = this.figure.grid ? this.figure.grid.origin : 0;
    const middle = (side) => origin + Math.round((side / 2 - origin) / stride) * stride;
    const aim = this.state.aim || { x: middle(panel.w), y: middle(panel.h) };
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const inside = (value, side) => Math.min(Math.max(value, 0), side - 1);
    this.change({ aim: { x: inside(aim.x + dx * stride, panel.w), y: inside(aim.y + dy * stride, panel.h) } });
  }

  /** Stop everything, once the component has really gone: Streamlit also asks for this when one update overtakes another. */
  leavePage() {
    if (this.parent.isConnected) return;
    clearTimeout(this.timer);
    this.observer.disconnect();
    players.delete(this.parent);
  }
}

/** Unpack the arrays of a payload and list its layers. */
function readFigure(figure) {
  const luts = Object.fromEntries(Object.entries(figure.luts).map(([name, text]) => [name, decodeBytes(text)]));
  const panels = figure.panels.map((panel) => ({
    ...panel,
    layers: panel.layers.map((layer) => (layer.kind === "heat" ? { ...layer, values: decodeFloats(layer.values) } : layer)),
  }));
  const layerList = new Map();
  for (const layer of [...panels.flatMap((panel) => panel.layers), ...figure.links]) {
    if (!layerList.has(layer.name)) layerList.set(layer.name, { name: layer.name, role: layer.role, kind: layer.kind, opacity: layer.opacity, visible: true });
  }
  return { ...figure, luts, panels, layerList: [...layerList.values()] };
}

/** What the pointer is over, in words: frame, cell and the values of the heat maps there. */
function describe({ panel, x, y }, figure) {
  const lines = [`${panel.title} \u00b7 x ${x.toFixed(0)}, y ${y.toFixed(0)} px`];
  const cell = (value, origin, stride, count) => Math.min(Math.max(Math.round((value - origin) / stride), 0), count - 1);
  if (figure.grid) {
    const { origin, stride, shape } = figure.grid;
    lines.push(`cell t ${panel.frame}, y ${cell(y, origin, stride, shape[1])}, x ${cell(x, origin, stride, shape[2])}`);
  }
  for (const layer of panel.layers.filter((one) => one.kind === "heat")) {
    const value = layer.values[cell(y, layer.origin, layer.stride, layer.h) * layer.w + cell(x, layer.origin, layer.stride, layer.w)];
    lines.push(`${layer.name} ${readable(value)} ${layer.unit}`.trim());
  }
  return lines.join("\n");
}

/** The colours and the font of the theme, resolved for the canvas. */
function readLook(root) {
  const [page, faint] = [getComputedStyle(root), getComputedStyle(root.querySelector(".place"))];
  return { text: page.color, faint: faint.color, font: page.fontFamily };
}
