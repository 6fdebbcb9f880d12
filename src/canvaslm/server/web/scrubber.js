// Play, pause and a slider over all recorded steps.

import { fresh, h } from "./dom.js";

/** The controls under the lanes; `player` moves, `frames()` lists what the slider counts. */
export class Scrubber {
  constructor({ player, frames, paceChanged }) {
    this.player = player;
    this.frames = frames;
    this.button = h(
      "button",
      {
        type: "button",
        class: "round",
        "aria-label": "Play",
        disabled: true,
        onclick: () => this.#toggle(),
      },
      h("span", { class: "sign play", "aria-hidden": "true" }),
    );
    this.slider = h("input", {
      type: "range",
      min: "0",
      max: "0",
      value: "0",
      disabled: true,
      "aria-label": "Steps of the canvas",
      oninput: () => this.#seek(),
    });
    this.said = h("span", { class: "said" }, "no steps yet");
    const id = fresh("pace");
    this.pace = h(
      "select",
      { id, onchange: () => paceChanged(this.pace.value) },
      h("option", { value: "slowed" }, "slowed"),
      h("option", { value: "live" }, "real time"),
    );
    const label = h("label", { for: id, class: "visually-hidden" }, "Speed");
    this.element = h(
      "div",
      { class: "scrubber" },
      this.button,
      this.slider,
      this.said,
      label,
      this.pace,
    );
  }

  /** Show where the player stands; `n` is the frame seen, `factor` how much it is slowed. */
  draw(n, factor) {
    const frames = this.frames();
    const empty = frames.length === 0;
    this.slider.disabled = this.button.disabled = empty;
    this.slider.max = String(Math.max(0, frames.length - 1));
    this.slider.value = String(Math.max(0, n));
    this.said.textContent = empty ? "no steps yet" : describe(frames[Math.max(0, n)]);
    this.slider.setAttribute("aria-valuetext", this.said.textContent);
    this.button.setAttribute("aria-label", this.player.playing ? "Pause" : "Play");
    this.button.firstChild.className = `sign ${this.player.playing ? "pause" : "play"}`;
    const times = factor > 0.67 ? "" : ` ${Math.round(1 / factor)}×`;
    this.pace.options[0].textContent = `slowed${times}`;
  }

  #toggle() {
    if (this.player.playing) this.player.pause();
    else this.player.play();
  }

  #seek() {
    const frame = this.frames()[Number(this.slider.value)];
    if (frame) this.player.seek(frame.last ? this.player.end() : frame.t);
  }
}

function describe(frame) {
  if (frame.last) return "settled";
  if (!frame.rest && frame.steps === 0) return `token ${frame.tokens}`;
  return `canvas ${frame.canvas + 1}, step ${frame.step}`;
}
