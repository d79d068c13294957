/** The list of layers: a line each with eye and opacity, and folded behind it the limits and colours of what carries values. */

import { el, icon, readable } from "./dom.js";
import { sampleOf } from "./controls.js";

/** Of one sign, and around a middle value: brightness tells the order to every eye. */
const CHOICES = ["inferno", "viridis", "cividis", "gray"];
const SIGNED = ["diverging", "viridis", "cividis", "gray"];
const FADING = ["image", "heat", "motion", "arrows", "links"];
const REACHES = [0.25, 0.5, 1, 2, 4];

/**
 * @typedef {Object} Layer one line: what the layers of a name have in common
 * @property {string} name
 * @property {string} kind of the first of them
 * @property {boolean} shown whether it is shown before a reader asks for it
 * @property {boolean} fades whether all of them can be faded, in print too
 * @property {?number[]} limits those of all of them, null where they differ
 * @property {string} colors
 * @property {?string[]} choices colour maps that can be chosen
 */

/** What the layers of one name have in common, in the order in which they are drawn first. */
export function listLayers(panels, links) {
  const list = new Map();
  for (const layer of [...panels.flatMap((panel) => panel.layers), ...links]) {
    const known = list.get(layer.name);
    if (!known) list.set(layer.name, firstOf(layer));
    else {
      known.fades = known.fades && FADING.includes(layer.kind);
      if (known.limits && layer.limits && String(known.limits) !== String(layer.limits)) known.limits = null;
    }
  }
  return [...list.values()];
}

function firstOf({ name, role, kind, marker, head, opacity, limits = null, colors, unit, shown = true }) {
  const choices = kind === "heat" && colors !== "wheel" ? (colors === "diverging" ? SIGNED : CHOICES) : null;
  return { name, role, kind, marker, head, opacity, limits, colors, unit, shown, choices, fades: FADING.includes(kind) };
}

/** What is set for a layer before a reader touches it. */
function untouched({ opacity, shown }) {
  return { visible: shown, opacity, limits: null, colors: null, reach: 1 };
}

/** What a reader has set, by names of layers; it stays when another figure comes that has layers of these names. */
export class Layers {
  constructor() {
    [this.list, this.sets, this.chosen, this.sent] = [[], new Map(), {}, {}];
  }

  /** Start from what was chosen before the player appeared. */
  begin(chosen) {
    this.chosen = this.sent = chosen;
  }

  /** Take the layers of another figure. */
  keep(list) {
    this.list = list;
    this.sets = new Map(list.map((entry) => [entry.name, { ...untouched(entry), ...this.chosen[entry.name] }]));
  }

  get(name) {
    return this.sets.get(name);
  }

  set(name, what) {
    const [set, before] = [Object.assign(this.get(name), what), untouched(this.list.find((entry) => entry.name === name))];
    const changed = Object.keys(before).filter((part) => String(set[part]) !== String(before[part]));
    const { [name]: _, ...others } = this.chosen;
    this.chosen = changed.length ? { ...others, [name]: Object.fromEntries(changed.map((part) => [part, set[part]])) } : others;
  }

  /** What differs from the figure as it is drawn, for an export; null where that has been told already. */
  news() {
    if (JSON.stringify(this.chosen) === JSON.stringify(this.sent)) return null;
    this.sent = this.chosen;
    return this.chosen;
  }
}

/** Build the list; `on.layer(name, what)` hears each change, `on.settled()` that the reader has left the list. */
export function buildLayers(view, figure, layers, on) {
  const open = new Set([...view.layers.querySelectorAll("[aria-expanded=true][data-layer]")].map((fold) => fold.dataset.layer));
  const rows = figure.layerList.map((entry) => row(entry, figure, layers.get(entry.name), on, open.has(entry.name)));
  const folded = view.layers.dataset.folded === "true";
  const lines = el("div", { class: "lines", id: "lines" }, ...rows);
  const fold = el("button", { type: "button", class: "fold all", "aria-expanded": String(!folded), "aria-controls": "lines" }, icon("fold"), "Layers");
  fold.addEventListener("click", () => {
    view.layers.dataset.folded = String(view.layers.dataset.folded !== "true");
    fold.setAttribute("aria-expanded", String(view.layers.dataset.folded !== "true"));
  });
  view.layers.replaceChildren(fold, lines);
  view.layers.hidden = !rows.length || (rows.length === 1 && !figure.layerList[0].choices && figure.layerList[0].kind !== "motion");
}

function row(entry, figure, set, on, open) {
  const { name, role, kind, marker, head } = entry;
  const check = el("input", { type: "checkbox", class: "eye", checked: set.visible, title: `Show or hide ${name}`, onchange: () => on.layer(name, { visible: check.checked }) });
  const sample = role ? sampleOf(figure.roles[role], kind === "arrows" && !head ? "lines" : kind, marker) : "";
  const label = el("label", {}, check, icon("eye"), icon("hidden"), sample, el("span", { title: name }, name));
  if (!entry.fades) return el("div", { class: "layer plain" }, label);
  const opacity = slider(entry, set, on);
  if (kind !== "heat" && kind !== "motion") return el("div", { class: "layer" }, label, opacity);
  const values = el("div", { class: "values", id: `values-${name}`, hidden: !open }, ...(kind === "heat" ? heatFields(entry, set, on) : motionFields(entry, set, on)));
  const fold = el("button", {
    type: "button", class: "fold", "data-layer": name, "aria-expanded": String(open), "aria-controls": `values-${name}`,
    "aria-label": `Limits and colours of ${name}`, title: "Limits and colours",
  }, icon("fold"));
  fold.addEventListener("click", () => {
    values.hidden = !values.hidden;
    fold.setAttribute("aria-expanded", String(!values.hidden));
  });
  return el("div", { class: "layer" }, label, opacity, fold, values);
}

function slider({ name }, set, on) {
  const input = el("input", {
    type: "range", min: 0, max: 100, step: 5, value: Math.round(set.opacity * 100), title: "Opacity",
    "aria-label": `Opacity of ${name}`, oninput: () => on.layer(name, { opacity: Number(input.value) / 100 }),
  });
  return input;
}

/** Both limits, the colour map, and the way back; what one of them changes the others show, and the focus stays where it is. */
function heatFields(entry, set, on) {
  const { name, limits, colors, choices } = entry;
  const ends = limits || set.limits ? [0, 1].map((end) => limitField(entry, set, on, end, () => show())) : [];
  const map = choices && mapField(entry, set, on);
  const show = () => {
    ends.forEach((input, end) => {
      input.value = set.limits || limits ? readable((set.limits || limits)[end]) : "";
      input.setAttribute("aria-invalid", "false");
    });
    if (map) map.value = set.colors || colors;
  };
  const drawn = () => {
    on.layer(name, { limits: null, colors: null });
    show();
  };
  const back = el("button", { type: "button", title: "As drawn", "aria-label": `Limits and colours of ${name} as drawn`, onclick: drawn }, icon("undo"));
  return [...(ends.length ? ends : [el("small", {}, "each panel has limits of its own")]), ...(map ? [map] : []), back];
}

function mapField({ name, colors, choices }, set, on) {
  const select = el("select", { "aria-label": `Colour map of ${name}`, title: "Colour map", onchange: () => on.layer(name, { colors: select.value === colors ? null : select.value }) });
  const known = choices.includes(colors) ? choices : [colors, ...choices];
  for (const value of known) select.append(el("option", { value, selected: value === (set.colors || colors) }, value));
  return select;
}

/** One end of the colours. A diverging map stays symmetric around its middle; an end that passes the other one is refused. */
function limitField({ name, limits, colors }, set, on, end, show) {
  const word = end ? "Highest" : "Lowest";
  const before = limits || set.limits;
  const input = el("input", { type: "number", step: "any", value: readable((set.limits || limits)[end]), title: word, "aria-label": `${word} value of ${name}` });
  input.addEventListener("change", () => {
    const next = [...(set.limits || before)];
    next[end] = input.value === "" ? before[end] : Number(input.value);
    if ((set.colors || colors) === "diverging") next[1 - end] = before[0] + before[1] - next[end];
    const fits = next.every(Number.isFinite) && next[0] < next[1];
    input.setAttribute("aria-invalid", String(!fits));
    if (!fits) return;
    on.layer(name, { limits: String(next) === String(limits) ? null : next });
    show();
  });
  return input;
}

function motionFields({ name }, set, on) {
  const select = el("select", { "aria-label": `Full colour of ${name}`, onchange: () => on.layer(name, { reach: Number(select.value) }) });
  const known = REACHES.includes(set.reach) ? REACHES : [...REACHES, set.reach];
  for (const value of known) select.append(el("option", { value, selected: value === set.reach }, `\u00d7 ${value}`));
  return [el("small", {}, "full colour at its length"), select];
}
