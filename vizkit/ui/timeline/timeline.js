/** The timeline: motion energy over time, the sampled frames, and a window whose ends are dragged or moved by keys. */

import { el, svg } from "./dom.js";

const HEIGHT = 92;
const TOP = 8;
const FLOOR = 68;
const EDGE = 8;
const SHORTEST = 0.02;
const TICK = "vizkit-time";

const timelines = new WeakMap();

/** Called by Streamlit when the component appears and whenever its data change. */
export default function mount({ data, parentElement, setStateValue }) {
  const timeline = timelines.get(parentElement) || new Timeline(parentElement);
  timelines.set(parentElement, timeline);
  timeline.update(data, setStateValue);
  return () => timeline.leavePage();
}

class Timeline {
  constructor(parent) {
    this.parent = parent;
    this.changes = Date.now();
    this.chart = svg("svg", { class: "chart", height: HEIGHT, role: "group" });
    this.readout = el("output", { class: "readout" });
    this.whole = el("button", { type: "button", onclick: () => this.send(0, this.data.duration_s) }, "Whole clip");
    this.root = el("section", { class: "timeline" }, this.chart, el("div", { class: "foot" }, this.readout, this.whole));
    parent.append(this.root);
    this.onTick = (event) => this.moveCursor(event.detail);
    window.addEventListener(TICK, this.onTick);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.root);
  }

  update(data, setStateValue) {
    this.setStateValue = setStateValue;
    const same = this.data && this.data.digest === data.digest;
    this.data = data;
    this.window = [data.start_s, data.end_s];
    if (!same) this.time = data.marks_s[0];
    this.draw();
  }

  // ------------------------------------------------------------------------------------------ drawing

  x(time) {
    return EDGE + (time / this.data.duration_s) * (this.width - 2 * EDGE);
  }

  time_s(x) {
    return Math.min(Math.max(((x - EDGE) / (this.width - 2 * EDGE)) * this.data.duration_s, 0), this.data.duration_s);
  }

  draw() {
    this.width = this.root.clientWidth;
    if (!this.data || !this.width) return;
    this.chart.setAttribute("width", this.width);
    this.chart.setAttribute("aria-label", this.data.alt);
    this.parts = {
      outside: [svg("rect", { class: "outside", y: TOP, height: FLOOR - TOP }), svg("rect", { class: "outside", y: TOP, height: FLOOR - TOP })],
      cursor: svg("line", { class: "cursor", y1: TOP - 4, y2: FLOOR }),
      handles: [this.handle(0), this.handle(1)],
    };
    const { outside, cursor, handles } = this.parts;
    this.chart.replaceChildren(this.curve(), ...this.marks(), ...outside, ...this.axis(), cursor, ...handles);
    this.place();
  }

  curve() {
    const { times_s: times, energy } = this.data;
    const most = Math.max(...energy, 1e-9);
    const points = times.map((time, index) => `${this.x(time).toFixed(1)},${(FLOOR - (energy[index] / most) * (FLOOR - TOP - 4)).toFixed(1)}`);
    const [first, last] = [this.x(times[0]), this.x(times[times.length - 1])];
    return svg("g", {}, svg("polygon", { class: "area", points: [`${first},${FLOOR}`, ...points, `${last},${FLOOR}`].join(" ") }), svg("polyline", { class: "curve", points: points.join(" ") }));
  }

  marks() {
    return this.data.marks_s.map((time, index) => {
      const mark = svg("line", { class: "mark", x1: this.x(time), x2: this.x(time), y1: TOP, y2: FLOOR });
      mark.append(svg("title", {}, `sampled frame ${index}, ${time.toFixed(2)} s`));
      return svg("g", {}, mark, svg("circle", { class: "dot", cx: this.x(time), cy: FLOOR, r: 3.2 }));
    });
  }

  axis() {
    const step = niceStep(this.data.duration_s, this.width / 80);
    const ticks = [svg("line", { class: "floor", x1: EDGE, x2: this.width - EDGE, y1: FLOOR, y2: FLOOR })];
    for (let time = 0; time <= this.data.duration_s + 1e-9; time += step) {
      const anchor = time === 0 ? "start" : this.x(time) > this.width - 24 ? "end" : "middle";
      const x = time === 0 ? 0 : this.x(time);
      ticks.push(svg("text", { class: "tick", x, y: FLOOR + 18, "text-anchor": anchor }, `${Number(time.toFixed(2))} s`));
    }
    return ticks;
  }

  handle(end) {
    const name = end ? "End of the window" : "Start of the window";
    const grip = svg("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": name, "aria-orientation": "horizontal" });
    grip.append(svg("rect", { class: "reach", x: -10, width: 20, y: 0, height: FLOOR + 4 }), svg("line", { y1: TOP - 4, y2: FLOOR }), svg("rect", { class: "grip", x: -4, width: 8, y: TOP + 14, height: 28, rx: 3 }));
    grip.addEventListener("pointerdown", (event) => this.grab(event, grip, end));
    grip.addEventListener("keydown", (event) => this.key(event, end));
    grip.addEventListener("keyup", (event) => event.key.startsWith("Arrow") && this.commit());
    return grip;
  }

  /** Move the window, its shades and the readout to where they are. */
  place() {
    const [start, end] = this.window.map((time) => this.x(time));
    const { outside, handles } = this.parts;
    [[EDGE, start], [end, this.width - EDGE]].forEach(([from, to], side) => {
      outside[side].setAttribute("x", from);
      outside[side].setAttribute("width", Math.max(to - from, 0));
    });
    handles.forEach((grip, side) => {
      grip.setAttribute("transform", `translate(${side ? end : start} 0)`);
      grip.setAttribute("aria-valuemin", "0");
      grip.setAttribute("aria-valuemax", this.data.duration_s.toFixed(2));
      grip.setAttribute("aria-valuenow", this.window[side].toFixed(2));
      grip.setAttribute("aria-valuetext", `${this.window[side].toFixed(2)} seconds`);
    });
    const [from, to] = this.window;
    this.readout.textContent = `Window ${from.toFixed(2)} \u2013 ${to.toFixed(2)} s \u00b7 ${this.data.marks_s.length} sampled frames`;
    this.whole.hidden = from <= 0 && to >= this.data.duration_s;
    Object.assign(this.root.dataset, { start: from.toFixed(3), end: to.toFixed(3) });
    this.moveCursor({ clip: this.data.clip, time: this.time });
  }

  /** Follow the player of the same clip. */
  moveCursor({ clip, time }) {
    if (!this.parts || clip !== this.data.clip || time === undefined) return;
    this.time = time;
    this.parts.cursor.setAttribute("x1", this.x(time));
    this.parts.cursor.setAttribute("x2", this.x(time));
  }

  // ------------------------------------------------------------------------------------------ the window

  grab(event, grip, end) {
    event.preventDefault();
    grip.focus();
    grip.setPointerCapture(event.pointerId);
    const left = this.chart.getBoundingClientRect().left;
    const drag = (move) => this.set(end, this.time_s(move.clientX - left));
    grip.addEventListener("pointermove", drag);
    grip.addEventListener("lostpointercapture", () => { grip.removeEventListener("pointermove", drag); this.commit(); }, { once: true });
  }

  key(event, end) {
    const step = this.data.duration_s * (event.shiftKey ? 0.1 : 0.01);
    const by = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.set(end, Math.min(Math.max(this.window[end] + by, 0), this.data.duration_s));
  }

  set(end, time) {
    const least = this.data.duration_s * SHORTEST;
    this.window[end] = end ? Math.max(time, this.window[0] + least) : Math.min(time, this.window[1] - least);
    this.place();
  }

  /** Tell Python, once, when a drag or a key ends. */
  commit() {
    const [start, end] = this.window;
    if (start !== this.data.start_s || end !== this.data.end_s) this.send(start, end);
  }

  send(start, end) {
    this.changes += 1;
    this.window = [start, end];
    this.place();
    const rounded = (time) => Math.round(time * 1000) / 1000;
    this.setStateValue("window", { start_s: rounded(start), end_s: rounded(end), number: this.changes });
  }

  /** Stop everything, once the component has really gone: Streamlit also asks for this when one update overtakes another. */
  leavePage() {
    if (this.parent.isConnected) return;
    window.removeEventListener(TICK, this.onTick);
    this.observer.disconnect();
    timelines.delete(this.parent);
  }
}

/** A step of 1, 2 or 5 times a power of ten so that about `count` ticks fit. */
function niceStep(length, count) {
  const rough = length / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) || 10);
}
