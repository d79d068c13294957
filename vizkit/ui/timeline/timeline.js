/**
 * The timeline: motion energy over time, the sampled frames, a window whose ends are dragged or moved by keys, the source frame with the
 * part that the network sees, and what it says of windows over time.
 */

import { el, svg } from "./dom.js";

const HEIGHT = 92;
const TOP = 8;
const FLOOR = 68;
const EDGE = 8;
const SHORTEST = 0.02;
const PICTURE_PX = 84;
const SAID = { top: 100, height: 56, room: 14 };
const DASHES = ["", "6 3", "1.5 3"];
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
    this.crop = el("span", { class: "crop" });
    this.source = el("figure", { class: "source" }, el("div", { class: "frame", role: "img" }), el("figcaption"));
    this.legend = el("ul", { class: "legend" });
    this.whole = el("button", { type: "button", onclick: () => this.send(0, this.data.duration_s) }, "Whole clip");
    const foot = el("div", { class: "foot" }, this.readout, this.whole);
    this.main = el("div", { class: "main" }, this.chart, this.legend, foot);
    this.root = el("section", { class: "timeline" }, this.source, this.main);
    parent.append(this.root);
    this.onTick = (event) => this.moveCursor(event.detail);
    window.addEventListener(TICK, this.onTick);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.main);
  }

  update(data, setStateValue) {
    this.setStateValue = setStateValue;
    const same = this.data && this.data.digest === data.digest;
    this.data = data;
    this.window = [data.start_s, data.end_s];
    if (!same) {
      this.time = data.marks_s[0];
      const [wide, high] = data.source.size_wh;
      const size = { height: PICTURE_PX, width: Math.round((PICTURE_PX * wide) / high) }; // before it is loaded, too: nothing moves then
      this.pictures = data.source.pictures.map((bytes, place) => el("img", { src: `data:image/jpeg;base64,${bytes}`, alt: "", hidden: place > 0, ...size }));
      this.source.firstChild.replaceChildren(...this.pictures, this.crop);
    }
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
    this.width = this.main.clientWidth;
    if (!this.data || !this.width) return;
    this.chart.setAttribute("width", this.width);
    this.chart.setAttribute("height", HEIGHT + (this.data.windows.length ? SAID.height + 2 * SAID.room : 0));
    this.chart.setAttribute("aria-label", this.data.alt);
    this.parts = {
      outside: [svg("rect", { class: "outside", y: TOP, height: FLOOR - TOP }), svg("rect", { class: "outside", y: TOP, height: FLOOR - TOP })],
      cursor: svg("line", { class: "cursor", y1: TOP - 4, y2: FLOOR }),
      handles: [this.handle(0), this.handle(1)],
    };
    const { outside, cursor, handles } = this.parts;
    this.chart.replaceChildren(this.curve(), ...this.marks(), ...outside, ...this.axis(), ...this.said(), cursor, ...handles);
    this.explain();
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

  /** Probabilities over time, and a field for every window that moves the timeline's window there. */
  said() {
    const { windows, lines, start_s: start, end_s: end } = this.data;
    if (!windows.length) return [];
    const y = (share) => SAID.top + SAID.height * (1 - share);
    const grid = [0, 0.5, 1].map((share) => svg("line", { class: "floor", x1: EDGE, x2: this.width - EDGE, y1: y(share), y2: y(share) }));
    const words = [0, 1].map((share) => svg("text", { class: "tick", x: this.width - EDGE, y: y(share) + (share ? 12 : -4), "text-anchor": "end" }, `${100 * share} %`));
    const curves = lines.flatMap(({ probability }, order) => {
      const known = probability.map((share, place) => [place, share]).filter(([, share]) => share !== null);
      const points = known.map(([place, share]) => `${this.x(middle(windows[place])).toFixed(1)},${y(share).toFixed(1)}`);
      const line = svg("polyline", { class: `said line${order}`, points: points.join(" "), "stroke-dasharray": DASHES[order] });
      return [line, ...known.map(([place, share]) => svg("circle", { class: `said dot${order}`, cx: this.x(middle(windows[place])), cy: y(share), r: 2.6 }))];
    });
    const fields = windows.map(([from, to], place) => {
      const left = place ? (middle(windows[place - 1]) + middle(windows[place])) / 2 : from;
      const right = place + 1 < windows.length ? (middle(windows[place]) + middle(windows[place + 1])) / 2 : to;
      const said = lines.map(({ label, probability }) => (probability[place] === null ? "" : `${label} ${(100 * probability[place]).toFixed(0)} %`)).filter(Boolean);
      const title = `${from.toFixed(2)}\u2013${to.toFixed(2)} s: ${said.join(", ") || "not computed yet"}. Click to look at this window.`;
      const choose = () => this.send(from, to);
      const here = Math.abs(from - start) < 2e-3 && Math.abs(to - end) < 2e-3;
      const field = svg("rect", { class: here ? "field here" : "field", x: this.x(left), width: this.x(right) - this.x(left), y: SAID.top, height: SAID.height, tabindex: 0, role: "button", "aria-label": title, onclick: choose, onkeydown: (event) => event.key === "Enter" && choose() });
      field.append(svg("title", {}, title));
      return field;
    });
    return [...grid, ...words, ...curves, ...fields];
  }

  /** The source frame with its crop, and the legend of the lines. */
  explain() {
    const { source, lines, windows } = this.data;
    const [left, top, width, height] = source.crop.map((share) => `${100 * share}%`);
    Object.assign(this.crop.style, { left, top, width, height });
    this.source.lastChild.textContent = `${source.model_wh.join(" \u00d7 ")} of ${source.size_wh.join(" \u00d7 ")} px`;
    this.legend.replaceChildren(...lines.map(({ label }, order) => el("li", {}, svg("svg", { width: 28, height: 8, "aria-hidden": "true" }, svg("line", { class: `said line${order}`, x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": DASHES[order] })), label)));
    this.legend.hidden = !windows.length;
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
    this.whole.hidden = from <= 0 && to >= this.data.duration_s;
    Object.assign(this.root.dataset, { start: from.toFixed(3), end: to.toFixed(3) });
    this.moveCursor({ clip: this.data.clip, time: this.time });
  }

  /** Follow the player of the same clip. */
  moveCursor({ clip, time, frame }) {
    if (!this.parts || clip !== this.data.clip || time === undefined) return;
    this.time = time;
    this.parts.cursor.setAttribute("x1", this.x(time));
    this.parts.cursor.setAttribute("x2", this.x(time));
    this.tell(frame);
  }

  /** Say which frame the cursor is at, and show it. */
  tell(frame) {
    const { marks_s: marks, index, source } = this.data;
    const [from, to] = this.window;
    const shown = frame ?? Math.max(marks.findIndex((time) => Math.abs(time - this.time) < 1e-3), 0);
    const window = `Window ${from.toFixed(2)} \u2013 ${to.toFixed(2)} s \u00b7 ${marks.length} sampled frames`;
    if (index[shown] === undefined) return;
    this.readout.textContent = `${window} \u00b7 t = ${shown}: source frame ${index[shown]}, ${marks[shown].toFixed(2)} s`;
    this.pictures.forEach((picture, place) => { picture.hidden = place !== source.place[shown]; });
    this.source.firstChild.setAttribute("aria-label", `Source frame ${index[shown]}; the box is what the network sees of it.`);
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

/** The middle of a window in seconds. */
function middle([from, to]) {
  return (from + to) / 2;
}

/** A step of 1, 2 or 5 times a power of ten so that about `count` ticks fit. */
function niceStep(length, count) {
  const rough = length / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) || 10);
}
