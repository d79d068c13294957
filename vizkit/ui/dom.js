/** Small helpers that the components share: elements, icons, base64 arrays. Text only ever enters through textContent. */

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  play: "M7 4.5v15l13-7.5z",
  pause: "M6 5h4.5v14H6zM13.5 5H18v14h-4.5z",
  previous: "M17.5 5v14L7.5 12zM5 5h2v14H5z",
  next: "M6.5 5v14l10-7zM17 5h2v14h-2z",
  eye: "M12 5C6.5 5 2.6 9.6 1.5 12c1.1 2.4 5 7 10.5 7s9.4-4.6 10.5-7C21.4 9.6 17.500 5 12 5zm0 11.500a4.500 4.500 0 1 1 0-9 4.500 4.500 0 0 1 0 9zm0-2a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z",
  hidden: "M3.300 2 2 3.300l4 4C3.700 8.800 2.100 10.900 1.500 12c1.100 2.400 5 7 10.500 7 1.700 0 3.200-.400 4.600-1.100l4.100 4.100 1.300-1.300zM12 17c-4.300 0-7.200-3.200-8.300-5 .600-1 2-2.600 3.800-3.700l1.600 1.600A4.500 4.500 0 0 0 14.100 15l1 1c-.9.600-2 1-3.100 1zm0-10c4.300 0 7.200 3.200 8.300 5-.500.800-1.400 1.900-2.600 2.900l1.400 1.400c1.700-1.400 2.900-3.200 3.400-4.300C21.400 9.600 17.500 5 12 5c-1.200 0-2.400.200-3.400.600l1.600 1.600c.6-.1 1.200-.2 1.800-.2z",
  fold: "M8.500 5 7 6.500 12.500 12 7 17.500 8.500 19l7-7z",
  undo: "M9 6V2L3 8l6 6v-4h4.500a4 4 0 0 1 0 8H7v3h6.500a7 7 0 0 0 0-14z",
  loop: "M12 5V2L7.5 6.2 12 10.4V7.2a4.9 4.9 0 0 1 4.6 6.6l1.9 1.4A7.2 7.2 0 0 0 12 5zM7.4 10.2 5.5 8.8A7.2 7.2 0 0 0 12 19v3l4.5-4.2L12 13.6v3.2a4.9 4.9 0 0 1-4.6-6.6z",
};

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, *>} [properties] on* become listeners, the rest attributes; null and false are left out
 * @param {...(Node|string)} children strings become text nodes
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  return dress(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === false || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/** One of the icons above, as large as the text around it. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name], fill: "currentColor" }));
}

/** @param {string} text base64 @returns {Uint8Array} */
export function decodeBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @param {string} text base64 of little-endian float32 @returns {Float32Array} */
export function decodeFloats(text) {
  return new Float32Array(decodeBytes(text).buffer);
}

/** Give a canvas a size in CSS pixels and as many device pixels as the screen has; returns its context, scaled to CSS pixels. */
export function sizeCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    [canvas.width, canvas.height] = [wide, high];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** A number for reading: three significant digits, no exponent for everyday sizes. */
export function readable(value) {
  if (!Number.isFinite(value)) return "unknown";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}
