// Figures under a lane: what the moment shown has cost, and the whole at the end.

import { h } from "./dom.js";

const NAMES = {
  step: "steps",
  canvases: "canvases",
  tokens: "tokens",
  rate: "tokens/s",
  perCanvas: "steps per canvas",
  perForward: "tokens per forward",
  first: "first text",
};

/** A list of figures. `names` chooses and orders them. */
export class Counters {
  constructor(names = Object.keys(NAMES)) {
    this.values = Object.fromEntries(names.map((name) => [name, h("dd", {}, "–")]));
    const pairs = names.map((name) => h("div", {}, this.values[name], h("dt", {}, NAMES[name])));
    this.element = h("dl", { class: "counters" }, ...pairs);
  }

  /** Show the figures of frame `n` of `recording`. */
  draw(recording, n) {
    const found = recording?.frames[n] ? figures(recording, n) : {};
    for (const [name, element] of Object.entries(this.values)) {
      element.textContent = found[name] ?? "–";
    }
  }
}

function figures(recording, n) {
  const frame = recording.frames[n];
  const usage = frame.last ? recording.usage : null;
  const tokens = usage?.completion_tokens ?? frame.tokens;
  const steps = usage?.steps ?? (frame.steps || frame.tokens);
  const canvases = usage?.canvases ?? frame.canvas + 1;
  return {
    step: String(steps),
    canvases: String(canvases),
    tokens: String(tokens),
    rate: frame.t > 0 ? brief(tokens / frame.t) : "–",
    perCanvas: brief(steps / Math.max(1, canvases)),
    perForward: brief(usage?.tokens_per_forward ?? tokens / Math.max(1, steps)),
    first: frame.firstText === null ? "–" : seconds(frame.firstText),
  };
}

/** Three digits at most before the point, one behind it below ten. */
function brief(value) {
  return value >= 10 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

/** A time with a unit. */
export function seconds(value) {
  return value < 0.1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`;
}
