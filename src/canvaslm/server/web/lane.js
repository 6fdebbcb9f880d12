// One way to write beside another: its clock, its canvas and its figures.

import { Canvas } from "./canvas.js";
import { Counters, seconds } from "./counters.js";
import { fresh, h } from "./dom.js";

const TYPED = ["tokens", "rate", "perForward", "first"];

/** A lane called `title`; `typed` is left to right. `shown(recording, n)` hears of each frame. */
export class Lane {
  constructor({ title, typed = false, map = !typed, empty = "", shown = () => {} }) {
    this.canvas = new Canvas({ map });
    this.counters = new Counters(typed ? TYPED : undefined);
    this.clock = h("span", { class: "clock" }, "");
    this.empty = h("p", { class: "empty" }, empty);
    this.shown = shown;
    this.recording = null;
    this.frame = null;
    const id = fresh("lane");
    this.extra = h("div", { class: "extra" });
    this.element = h(
      "section",
      { class: typed ? "lane typed" : "lane", "aria-labelledby": id },
      h("header", {}, h("h3", { id }, title), this.clock),
      this.extra,
      h("div", { class: "view" }, this.empty, this.canvas.text),
      this.canvas.map,
      this.counters.element,
    );
    this.draw(0);
  }

  /** Show another recording, from its start; null: nothing. */
  show(recording) {
    this.recording = recording;
    this.frame = null;
    this.draw(0);
  }

  /** Show the moment `t`. */
  draw(t) {
    const { recording } = this;
    const n = recording ? recording.at(t) : -1;
    const end = recording?.finished && t >= recording.seconds;
    this.clock.textContent = recording ? seconds(Math.min(t, recording.seconds)) : "";
    this.element.classList.toggle("ended", Boolean(end));
    if (n === this.frame) return;
    this.frame = n;
    this.empty.hidden = recording !== null;
    this.canvas.draw(recording, n);
    this.counters.draw(recording, n);
    this.shown(recording, n);
  }
}
