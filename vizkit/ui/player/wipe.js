/** Two runs in one panel: the one's picture left of a divider that is dragged or moved by keys, the other's right of it. */

import { el } from "./dom.js";

const STEP = 2;
const LEAP = 10;
const PLATE_PX = 20;
const FREE_PX = 26;

/** The panels that show the same as the focused one, of both runs, and their difference, at a frame; null where nothing is paired. */
export function pairedPanels(panels, frame, focus) {
  const { pair } = panels[focus];
  if (!pair) return null;
  const found = panels.map((panel, index) => index).filter((index) => panels[index].pair === pair && panels[index].frame === frame);
  return found.length ? found : null;
}

/** The panel that is in focus at the start: the first of a pair, else the first one. */
export function firstFocus(panels) {
  return Math.max(panels.findIndex((panel) => panel.pair), 0);
}

export class Wipe {
  /** @param {() => void} moved called when the divider has moved */
  constructor(moved) {
    Object.assign(this, { moved, on: false, share: 50, box: null });
    const label = "Divider between the two pictures: A on its left, B on its right";
    this.handle = el("div", { class: "wipe", tabindex: "0", role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, hidden: true }, el("span", { class: "knob" }, "\u2194"));
    this.handle.addEventListener("pointerdown", (event) => this.grab(event));
    this.handle.addEventListener("keydown", (event) => this.key(event));
  }

  /** Of the panels in large those that get a box: while wiping, the second one shares the box of the first. */
  boxed(chosen, panels) {
    this.over = this.on && this.isPair(chosen, panels) ? chosen[1] : null;
    return this.over === null ? chosen : [chosen[0], ...chosen.slice(2)];
  }

  isPair([one, other], panels) {
    return other !== undefined && Boolean(panels[one].pair) && panels[one].pair === panels[other].pair && panels[one].w === panels[other].w;
  }

  /** Where the divider stands on the canvas. */
  divider() {
    return this.box.x + (this.share / 100) * this.box.w;
  }

  /** The box under the pointer: right of the divider it is the other run's. */
  under(box, x) {
    if (!box || this.over === null || !this.box || box.panel !== this.box.panel) return box;
    return x < this.divider() ? box : { ...box, panel: this.over };
  }

  /** Paint the other run's part over the first run's, name both, and put the handle in its place. */
  paint(context, placed, canvas, { figure, look }, paintBoxes) {
    this.handle.hidden = this.over === null;
    this.box = this.over === null ? null : placed.boxes[0];
    if (!this.box) return;
    const { x, y, w, h } = this.box;
    const at = this.divider();
    context.clearRect(x, 0, w, y); // the first run's heading: both are named below
    context.save();
    context.beginPath();
    context.rect(at, y, x + w - at, h);
    context.clip();
    paintBoxes([{ ...this.box, panel: this.over }]);
    context.restore();
    const names = [this.box.panel, this.over].map((index) => figure.panels[index].heading || figure.panels[index].name);
    if (at - x > FREE_PX) this.name(context, look, names[0], x + 11, at - x - 22, "left");
    if (x + w - at > FREE_PX) this.name(context, look, names[1], x + w - 11, x + w - at - 22, "right");
    const share = Math.round(this.share);
    Object.assign(this.handle.style, { left: `${canvas.offsetLeft + at}px`, top: `${canvas.offsetTop + y}px`, height: `${h}px` });
    this.handle.setAttribute("aria-valuenow", String(share));
    this.handle.setAttribute("aria-valuetext", `${share} % ${names[0]}, ${100 - share} % ${names[1]}`);
  }

  /** The name of a run on a plate of its own, at the foot of its part. */
  name(context, look, text, x, room, side) {
    Object.assign(context, { globalAlpha: 1, font: `700 13px ${look.font}`, textAlign: side, textBaseline: "middle" });
    const wide = Math.min(context.measureText(text).width, room);
    const top = this.box.y + this.box.h - PLATE_PX - 6;
    context.fillStyle = "#ffffff";
    context.fillRect(side === "left" ? x - 5 : x - wide - 5, top, wide + 10, PLATE_PX);
    context.fillStyle = "#111111";
    context.fillText(text, x, top + PLATE_PX / 2 + 1, Math.max(room, 1));
  }

  grab(event) {
    event.preventDefault();
    this.handle.focus();
    this.handle.setPointerCapture(event.pointerId);
    const canvasLeft = event.clientX - this.divider();
    const drag = (move) => this.set(((move.clientX - canvasLeft - this.box.x) / this.box.w) * 100);
    this.handle.addEventListener("pointermove", drag);
    this.handle.addEventListener("lostpointercapture", () => this.handle.removeEventListener("pointermove", drag), { once: true });
  }

  key(event) {
    const step = event.shiftKey ? LEAP : STEP;
    const to = { ArrowLeft: this.share - step, ArrowDown: this.share - step, ArrowRight: this.share + step, ArrowUp: this.share + step, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.set(to);
  }

  set(share) {
    this.share = Math.min(Math.max(share, 0), 100);
    this.moved();
  }
}
