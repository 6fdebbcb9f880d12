// What every form has: a button to begin, one to stop, a seed, the longest answer, the comparison.

import { field, fresh, h } from "./dom.js";

/** The end of a form. `begin(signal)` runs once at a time; the stop button aborts its signal. */
export class Controls {
  constructor({ begin, label = "Condense", compare = true, longest = 256, changed = () => {} }) {
    this.begin = begin;
    this.abort = null;
    this.button = h("button", { type: "submit", class: "primary" }, label);
    this.stop = h(
      "button",
      { type: "button", class: "quiet", disabled: true, onclick: () => this.abort?.abort() },
      "Stop",
    );
    this.seed = h("input", {
      type: "number",
      min: "0",
      step: "1",
      value: "1",
      inputmode: "numeric",
    });
    this.longest = h("input", { type: "number", min: "1", step: "1", value: String(longest) });
    const id = fresh("compare");
    this.box = h("input", {
      type: "checkbox",
      id,
      checked: compare,
      onchange: () => changed(this.compare),
    });
    this.toggle = h(
      "div",
      { class: "check" },
      this.box,
      h("label", { for: id }, "Compare with left to right"),
    );
    this.toggle.hidden = compare === null;
    const early = fresh("early");
    this.early = h("input", { type: "checkbox", id: early });
    const hold = h(
      "div",
      { class: "check" },
      this.early,
      h("label", { for: early }, "Show a settled beginning at once"),
    );
    hold.hidden = compare === null;
    const options = h(
      "details",
      {},
      h("summary", {}, "Seed and length"),
      h(
        "div",
        { class: "pair-of-fields" },
        field("Seed", this.seed),
        field("Most tokens", this.longest),
      ),
      hold,
    );
    // a field that is refused must be seen: a browser cannot point at one that is folded away
    options.addEventListener("invalid", () => (options.open = true), true);
    this.element = h(
      "div",
      { class: "controls" },
      h("div", { class: "buttons" }, this.button, this.stop),
      this.toggle,
      options,
    );
  }

  get compare() {
    return !this.toggle.hidden && this.box.checked;
  }

  /** The fields of a request that these controls decide. */
  get params() {
    const found = {};
    if (this.seed.value !== "") found.seed = Number(this.seed.value);
    if (this.longest.value !== "") found.max_tokens = Number(this.longest.value);
    if (this.early.checked) found.hold_settled = true;
    return found;
  }

  /** A form around `parts` and these controls, which begins when it is submitted. */
  form(...parts) {
    const submit = (event) => {
      event.preventDefault();
      this.run();
    };
    const quick = (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.currentTarget.requestSubmit(); // which checks the fields, as the button does
    };
    return h("form", { onsubmit: submit, onkeydown: quick }, ...parts, this.element);
  }

  /** Begin, unless it runs. */
  async run() {
    if (this.abort) return;
    this.abort = new AbortController();
    this.button.disabled = true;
    this.stop.disabled = false;
    try {
      await this.begin(this.abort.signal);
    } finally {
      this.abort = null;
      this.button.disabled = false;
      this.stop.disabled = true;
    }
  }
}
