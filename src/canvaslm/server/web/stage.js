// Where a run is watched: the diffusion lane, the left-to-right lane beside it, one clock for both.

import { stream } from "./api.js";
import { legend } from "./certainty.js";
import { h } from "./dom.js";
import { Failure } from "./failure.js";
import { Lane } from "./lane.js";
import { Player, slowed } from "./player.js";
import { Recording } from "./recording.js";
import { reveal } from "./reveal.js";
import { Scrubber } from "./scrubber.js";

const EMPTY = "Nothing yet. Press the button, and the text condenses here.";
const LONGEST_PAUSE = 0.8;
const TYPED_EMPTY = "The same weights, one token after another.";

/** Lanes, scrubber, legend and messages. `shown(lane, recording, n)` hears of each frame drawn. */
export class Stage {
  constructor({ shown = () => {}, empty = EMPTY } = {}) {
    const hear = (name) => (recording, n) => shown(name, recording, n);
    this.diffusion = new Lane({ title: "Diffusion", empty, shown: hear("diffusion") });
    this.typed = new Lane({
      title: "Left to right",
      typed: true,
      empty: TYPED_EMPTY,
      shown: hear("typed"),
    });
    this.running = false;
    this.slow = true;
    this.player = new Player({
      end: () => Math.max(0, ...this.#recordings().map((one) => one.seconds)),
      live: () => this.running,
      pace: (t) => (this.slow ? this.#pace(t) : 1),
      move: (t) => this.#move(t),
    });
    this.scrubber = new Scrubber({
      player: this.player,
      frames: () => this.diffusion.recording?.frames ?? [],
      paceChanged: (value) => {
        this.slow = value === "slowed";
      },
    });
    this.failure = new Failure();
    this.said = h("p", { class: "visually-hidden", role: "status" });
    this.lanes = h("div", { class: "lanes" }, this.diffusion.element, this.typed.element);
    this.element = h(
      "div",
      { class: "stage" },
      this.failure.element,
      this.lanes,
      this.scrubber.element,
      legend(),
      this.said,
    );
  }

  /** Whether the left-to-right lane is there. */
  set compare(wanted) {
    this.typed.element.hidden = !wanted;
    this.lanes.classList.toggle("pair", wanted);
  }

  /**
   * Stream `body` from `path`, and `body` left to right where asked, and show both as they come.
   * Resolves to the diffusion recording, or null if it failed or was stopped.
   */
  async run({ path = "v1/chat/completions", body, compare = false, signal }) {
    this.fail(null);
    this.said.textContent = "";
    this.compare = compare;
    this.running = true;
    this.diffusion.show(new Recording());
    this.typed.show(compare ? new Recording() : null);
    reveal(this.element);
    this.player.pause();
    this.player.play(0);
    const drawn = { ...body, canvas_events: true };
    const lanes = [this.#fill(this.diffusion.recording, path, drawn, signal)];
    if (compare) lanes.push(this.#fill(this.typed.recording, path, leftToRight(body), signal));
    const done = await Promise.all(lanes);
    this.running = false;
    if (!done[0]) return null;
    const { recording } = this.diffusion;
    this.said.textContent = recording.text;
    return recording;
  }

  /** Say what went wrong; null: nothing did. */
  fail(error) {
    this.failure.show(error);
  }

  async #fill(recording, path, body, signal) {
    const wanted = { ...body, stream_options: { include_usage: true } };
    try {
      for await (const chunk of stream(path, wanted, { signal })) recording.add(chunk);
      recording.end(true);
      return true;
    } catch (error) {
      if (error.name === "AbortError") this.said.textContent = "Stopped.";
      else this.fail(error);
      recording.end(false);
      return false;
    }
  }

  #recordings() {
    return [this.diffusion.recording, this.typed.recording].filter(Boolean);
  }

  /** How fast time goes at `t`: slowed, but no pause takes longer than it must. */
  #pace(t) {
    const times = this.#recordings().flatMap(({ frames }) => frames.map((frame) => frame.t));
    const before = Math.max(0, ...times.filter((time) => time <= t));
    const after = Math.min(...times.filter((time) => time > t));
    const pause = Number.isFinite(after) ? after - before : 0;
    return Math.min(1, Math.max(this.#factor(), pause / LONGEST_PAUSE));
  }

  #factor() {
    const frames = this.diffusion.recording?.frames ?? [];
    if (frames.length < 2) return slowed(frames[0]?.t ?? 0.02);
    return slowed((frames.at(-1).t - frames[0].t) / (frames.length - 1));
  }

  #move(t) {
    this.diffusion.draw(t);
    this.typed.draw(t);
    this.scrubber.draw(this.diffusion.frame ?? -1, this.#factor());
  }
}

function leftToRight(body) {
  const { hold_settled: _, ...rest } = body;
  return { ...rest, mode: "ar" };
}
