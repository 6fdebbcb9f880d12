// One moment of a canvas as text: settled, then tokens by certainty, and noise where none is taken.

import { shade } from "./certainty.js";
import { h } from "./dom.js";

const CELLS = 256;

/** The text view of a recording, and a map of the canvas with a cell for each of its positions. */
export class Canvas {
  constructor({ before = "", after = "", map = true } = {}) {
    this.text = h("div", { class: "canvas" });
    this.cells = Array.from({ length: map ? CELLS : 0 }, () => h("i"));
    this.map = h("div", { class: "map", "aria-hidden": "true" }, ...this.cells);
    this.map.hidden = !map;
    this.surround(before, after);
  }

  /** The document around what is written; shown quietly, never changed. */
  surround(before, after) {
    this.before = before;
    this.after = after;
  }

  /** Show frame `n` of `recording`; -1 shows that nothing has come yet. */
  draw(recording, n) {
    const frame = recording?.frames[n];
    const taken = this.#taken(recording, n);
    const parts = [];
    if (this.before) parts.push(h("span", { class: "around" }, this.before));
    if (frame) parts.push(h("span", { class: "settled" }, recording.text.slice(0, frame.settled)));
    if (frame?.rest) parts.push(...tokens(frame.rest, taken));
    if (this.after) parts.push(h("span", { class: "around" }, this.after));
    this.text.replaceChildren(...parts);
    this.#drawMap(frame);
  }

  /** The places that were taken one frame earlier, so that the new ones can be seen to settle. */
  #taken(recording, n) {
    const [now, earlier] = [recording?.frames[n]?.rest, recording?.frames[n - 1]?.rest];
    if (!earlier || !now || earlier.canvas !== now.canvas) return () => false;
    const shift = now.offset - earlier.offset;
    return (place) => Boolean(earlier.accepted[place + shift]);
  }

  #drawMap(frame) {
    const rest = frame?.rest;
    const first = rest ? rest.offset % CELLS : 0;
    const known = rest ? first : Math.min(frame?.tokens ?? 0, CELLS);
    this.cells.forEach((cell, place) => {
      const n = place - first;
      if (place < known) cell.className = "done";
      else if (rest && n < rest.tokens.length) {
        cell.className = rest.accepted[n]
          ? shade(rest.certainty[n])
          : `noise ${shade(rest.certainty[n])}`;
      } else cell.className = "";
    });
  }
}

function tokens(rest, taken) {
  return rest.tokens.map((token, n) => {
    const colour = shade(rest.certainty[n]);
    if (!rest.accepted[n]) return h("span", { class: `noise ${colour}` }, visible(rest.noise[n]));
    return h("span", { class: taken(n) ? colour : `${colour} fresh` }, token);
  });
}

/** Noise that keeps to its line: what would break it, or cannot be seen, is shown as a sign. */
function visible(noise) {
  return noise
    .replace(/[\r\n]/g, "↵")
    .replace(/\t/g, "→")
    .replace(/[\uFFFD\p{C}]/gu, "·");
}
