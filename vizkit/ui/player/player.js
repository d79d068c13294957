/** The frame player: a film strip and a large view of any figure. Frames, arrows and text come as data, never as markup. */

import { sizeCanvas } from "./dom.js";
import { boxAt, isGrid, largePanels, placeLarge, planOf, toCanvas, toPanel } from "./layout.js";
import { nearestLink } from "./arcs.js";
import { paintLarge, paintStrip, rowTitlesWidth } from "./draw.js";
import { describe, gridOf } from "./readout.js";
import { cursorAt, heard, placeOf, told } from "./cursor.js";
import { buildKeys, buildView, syncTransport } from "./controls.js";
import { actionOf } from "./keys.js";
import { Layers, buildLayers } from "./layers.js";
import { readFigure, readLook } from "./read.js";
import { Wipe, firstFocus, pairedPanels } from "./wipe.js";

const POINT_NEAR_PX = 8;
const TICK = "vizkit-time";
const CURSOR = "vizkit-cursor";

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
    this.layers = new Layers();
    this.state = { place: 0, focus: 0, playing: false, loop: true, speed: 1, bare: false, group: null, link: null, cursor: null, aim: null };
    this.view = buildView(this.listeners());
    this.wipe = new Wipe(() => this.paint());
    this.view.root.append(this.wipe.handle);
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
      layer: (name, what) => this.setLayer(name, what),
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
    strip.addEventListener("blur", () => this.blur());
    this.follow = (event) => this.followTime(event.detail);
    this.followPoint = (event) => this.followCursor(event.detail);
    window.addEventListener(TICK, this.follow);
    window.addEventListener(CURSOR, this.followPoint);
    this.listenToList(this.view.layers);
  }

  /** Hear when the list of layers is left, by the pointer or by the keyboard; a click on a label leaves the focus nowhere. */
  listenToList(list) {
    let pointed = false;
    list.addEventListener("pointerenter", () => (pointed = true));
    list.addEventListener("pointerleave", () => {
      pointed = false;
      this.settle();
    });
    list.addEventListener("focusout", (event) => pointed || list.contains(event.relatedTarget) || this.settle());
  }

  /** Take new data; what the reader set on the layers stays. */
  update(data, setStateValue) {
    this.setStateValue = setStateValue;
    const first = !this.figure;
    this.options = data.options;
    this.wipe.on = Boolean(this.options.wipe);
    if (first) this.layers.begin(this.options.layers || {});
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
    const kept = this.figure.panels.findIndex((panel) => panel.name === this.focusName);
    this.state.focus = kept < 0 ? firstFocus(this.figure.panels) : kept;
    Object.assign(this.state, { group: null, link: null });
    this.layers.keep(this.figure.layerList);
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

  /** Lay everything out for the width at hand. */
  arrange() {
    if (!this.figure) return;
    const { root, strip, large } = this.view;
    const width = root.clientWidth;
    if (!width) return;
    this.look = readLook(root);
    this.dress();
    const plan = planOf(this.figure.panels, this.options.layout, width, this.indent());
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
    buildKeys(this.view, this.figure, this.layers);
  }

  indent() {
    return rowTitlesWidth(this.view.strip.getContext("2d"), this.figure, this.look);
  }

  /** Panels of the large view; the first one is that of the keyboard. */
  shown() {
    const [panels, frame] = [this.figure.panels, this.figure.frames[this.state.place]];
    return pairedPanels(panels, frame, this.state.focus) || largePanels(panels, frame, this.state.focus);
  }

  placedLarge() {
    const { panels } = this.figure;
    return placeLarge(panels, this.wipe.boxed(this.shown(), panels), this.largeRoom.width, this.largeRoom.tallest);
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
    scene.points = this.options.points || [];
    if (this.options.layout === "still") scene.focus = null;
    paintStrip(this.view.strip.getContext("2d"), scene, this.placement);
    const placed = this.placedLarge();
    const large = sizeCanvas(this.view.large, placed.width, placed.height);
    paintLarge(large, scene, placed);
    this.wipe.paint(large, placed, this.view.large, scene, (boxes) => paintLarge(large, scene, { boxes }));
    syncTransport(this.view, figure, state);
    Object.assign(this.view.root.dataset, { frame, playing: state.playing, focus: figure.panels[state.focus].name });
  }

  change(what) {
    Object.assign(this.state, what);
    this.paint();
  }

  setLayer(name, what) {
    this.layers.set(name, what);
    buildKeys(this.view, this.figure, this.layers);
    this.paint();
  }

  /** Tell the page what the layers look like, once the reader has left their list: exports are drawn by it. */
  settle() {
    const news = this.layers.news();
    if (news) this.setStateValue("layers", news);
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
    if (!player || player === this || playing || this.state.playing || !this.shares(clip)) return;
    const place = placeOf(this.figure, frame, time);
    if (place >= 0) this.change({ place });
  }

  /** Show the place that is pointed at in another player of the same clip, and its frame unless this one plays. */
  followCursor({ clip, place, player }) {
    if (player === this || !this.shares(clip)) return;
    const found = heard(this.figure, place);
    if (!found) return this.state.cursor && this.change({ cursor: null });
    this.change({ cursor: found.cursor, ...(this.state.playing ? {} : { place: found.at }) });
  }

  shares(clip) {
    return Boolean(this.figure) && this.figure.clip === clip && this.parent.isConnected;
  }

  /** Point at a place, in this player and in all others of the clip. */
  point(cursor, what) {
    this.change({ ...what, cursor });
    window.dispatchEvent(new CustomEvent(CURSOR, { detail: { ...told(this.figure, cursor), player: this } }));
  }

  // ------------------------------------------------------------------------------------------ pointer and keys

  /** What lies under a pointer event: the box, its panel and the panel's pixel. */
  under(canvas, event) {
    const boxes = canvas === this.view.strip ? this.placement.boxes : this.placedLarge().boxes;
    const on = boxAt(boxes, event.offsetX, event.offsetY);
    const box = canvas === this.view.large ? this.wipe.under(on, event.offsetX) : on;
    if (!box) return null;
    const panel = this.figure.panels[box.panel];
    const [x, y] = toPanel(box, panel, event.offsetX, event.offsetY);
    return { box, boxes, panel, x, y };
  }

  hover(canvas, event) {
    const found = this.under(canvas, event);
    if (!found) return this.leave();
    const { box, panel, x, y } = found;
    const link = nearestLink(this.figure, this.layers, event, found, canvas === this.view.large);
    const group = link ? this.figure.links[link.layer].group[link.index] : null;
    const cursor = this.cursorOn(panel, x, y);
    this.point(cursor, { link, group });
    return this.tip(event, link ? this.figure.links[link.layer].label[link.index] : this.words(panel, cursor, box));
  }

  cursorOn(panel, x, y) {
    return cursorAt(this.figure, panel, x, y, panel.frame === null ? this.figure.frames[this.state.place] : panel.frame);
  }

  /** What the tip says of a place: the number of a point there, then the figure's own words. */
  words(panel, cursor, box) {
    const near = (point) => point[0] === cursor.frame && Math.hypot(point[1] - cursor.x, point[2] - cursor.y) * (box.w / panel.w) < POINT_NEAR_PX;
    const number = (this.options.points || []).findIndex(near);
    const text = describe(this.figure, panel, cursor, box.w / panel.w);
    return number < 0 ? text : `point ${number + 1}\n${text}`;
  }

  leave() {
    this.view.tip.hidden = true;
    this.point(null, { link: null, group: null });
  }

  /** The keyboard has left the strip: its cross hair and tip go. */
  blur() {
    if (this.state.aim) this.leave();
    this.change({ bare: false, aim: null });
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
    const action = actionOf(this, event, onControl);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  /** Move the keyboard's cross hair by one cell. */
  moveAim(key) {
    const panel = this.current();
    const { origin, stride } = gridOf(panel, this.figure) || { origin: 0, stride: 1 };
    const middle = (side) => origin + Math.round((side / 2 - origin) / stride) * stride;
    const aim = this.state.aim || { x: middle(panel.w), y: middle(panel.h) };
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const inside = (value, side) => Math.min(Math.max(value, 0), side - 1);
    const moved = this.cursorOn(panel, inside(aim.x + dx * stride, panel.w), inside(aim.y + dy * stride, panel.h));
    this.point(moved, { aim: moved });
    this.tipAt(panel, moved);
  }

  /** The tip beside the keyboard's cross hair, on the large view where there is one. */
  tipAt(panel, cursor) {
    const { strip, large } = this.view;
    const index = this.figure.panels.indexOf(panel);
    const canvas = large.checkVisibility() ? large : strip;
    const boxes = canvas === large ? this.placedLarge().boxes : this.placement.boxes;
    const box = boxes.find((other) => other.panel === index);
    if (!box) return;
    const [x, y] = toCanvas(box, panel, cursor.x, cursor.y);
    const corner = canvas.getBoundingClientRect();
    this.tip({ clientX: corner.left + x, clientY: corner.top + y }, this.words(panel, cursor, box));
  }

  /** Show or hide the n-th layer of the list. */
  toggle(number) {
    const entry = this.figure.layerList[number - 1];
    if (!entry) return;
    this.setLayer(entry.name, { visible: !this.layers.get(entry.name).visible });
    buildLayers(this.view, this.figure, this.layers, this.listeners());
    this.settle();
  }

  /** Stop everything, once the component has really gone: Streamlit also asks for this when one update overtakes another. */
  leavePage() {
    if (this.parent.isConnected) return;
    clearTimeout(this.timer);
    this.observer.disconnect();
    window.removeEventListener(TICK, this.follow);
    window.removeEventListener(CURSOR, this.followPoint);
    players.delete(this.parent);
  }
}
