// Certainty as colour: ten shades that differ in lightness too, and their legend.

import { h } from "./dom.js";

const SHADES = 10;

/** The class of a shade for a certainty from 0 to 1. */
export function shade(certainty) {
  return `q${Math.min(SHADES - 1, Math.floor(certainty * SHADES))}`;
}

/** What the colours mean. */
export function legend() {
  const ramp = Array.from({ length: SHADES }, (_, n) => h("i", { class: `swatch q${n}` }));
  return h(
    "p",
    { class: "legend" },
    h("span", {}, h("span", { class: "noise" }, "noise"), "not accepted yet"),
    h("span", {}, "unsure", h("span", { class: "ramp", "aria-hidden": "true" }, ...ramp), "certain"),
  );
}
