// Probabilities as bars, each with its figure.

import { h } from "./dom.js";

/** A list of bars for `options`, [[label, probability], ...]; the likeliest stands out. */
export function bars(options) {
  const most = Math.max(...options.map(([, probability]) => probability));
  const rows = options.map(([label, probability]) => {
    const text = percent(probability);
    return h(
      "li",
      { class: probability === most ? "bar chosen" : "bar" },
      h("span", { class: "option" }, label),
      meter(label, probability, text),
      h("span", { class: "percent", "aria-hidden": "true" }, text),
    );
  });
  return h("ul", { class: "bars" }, ...rows);
}

function meter(label, probability, text) {
  const fill = h("i");
  fill.style.width = `${100 * probability}%`;
  return h(
    "span",
    {
      class: "meter",
      role: "meter",
      "aria-label": label,
      "aria-valuetext": text,
      "aria-valuemin": "0",
      "aria-valuemax": "1",
      "aria-valuenow": probability.toFixed(3),
    },
    fill,
  );
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}
