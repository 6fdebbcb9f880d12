// The shapes that can be read from a text, even a half noisy one: an allowlist, written out anew.

const NUMBER = /^[-+0-9.,eE%\s]{1,2000}$/;
const PATH = /^[-+0-9.,eEMmLlHhVvCcSsQqTtAaZz\s]{1,4000}$/;
const COLOUR = /^(#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,24})$/;

const NUMBERS = [
  "x",
  "y",
  "width",
  "height",
  "cx",
  "cy",
  "r",
  "rx",
  "ry",
  "x1",
  "y1",
  "x2",
  "y2",
  "points",
  "stroke-width",
  "opacity",
  "fill-opacity",
  "stroke-opacity",
];
const ALLOWED = new Map([
  ...NUMBERS.map((name) => [name, NUMBER]),
  ["d", PATH],
  ["fill", COLOUR],
  ["stroke", COLOUR],
]);
const ELEMENT = /<(circle|ellipse|rect|line|polyline|polygon|path)\b([^<>]*?)\/?>/g;
const ATTRIBUTE = /([a-z0-9-]+)\s*=\s*"([^"<>&]*)"/g;
const VIEW_BOX = /<svg\b[^<>]*\bviewBox="([-0-9.\s]{1,60})"/;
const MOST = 500;

/**
 * An SVG of the readable shapes of `text`. `certainty(start, end)` of a piece of the text says how
 * faint its shape is.
 */
export function readDrawing(text, certainty = () => 1) {
  const shapes = [];
  for (const { 0: whole, 1: name, 2: written, index } of text.matchAll(ELEMENT)) {
    if (shapes.length === MOST) break;
    const attributes = [];
    for (const [, key, value] of written.matchAll(ATTRIBUTE)) {
      if (ALLOWED.get(key)?.test(value)) attributes.push(` ${key}="${value}"`);
    }
    if (attributes.length === 0) continue;
    const shape = `<${name}${attributes.join("")}></${name}>`;
    const seen = 0.1 + 0.9 * certainty(index, index + whole.length) ** 2;
    shapes.push(seen > 0.99 ? shape : `<g opacity="${seen.toFixed(2)}">${shape}</g>`);
  }
  const box = text.match(VIEW_BOX)?.[1] ?? "0 0 96 96";
  const size = 'width="100%" height="100%"';
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" ${size}>`;
  return `${head}${shapes.join("")}</svg>`;
}
