// One question of the decision tab: its kind, its wording and its options.

import { fresh, h } from "./dom.js";

const KINDS = { predicate: "yes or no", choice: "one of", score: "how much" };
const PLACEHOLDERS = { choice: "small, medium, large", score: "calm, annoyed, furious" };

/** A row to edit. `remove(question)` is called by its button. */
export class Question {
  constructor({ type, instructions, options = [] }, remove) {
    this.kind = h(
      "select",
      { "aria-label": "Kind of question", onchange: () => this.#arrange() },
      ...Object.entries(KINDS).map(([value, label]) => h("option", { value }, label)),
    );
    this.kind.value = type;
    this.wording = h("input", { type: "text", "aria-label": "Question", required: true });
    this.wording.value = instructions;
    const id = fresh("options");
    this.options = h("input", { type: "text", id, required: true });
    this.options.value = options.join(", ");
    this.hint = h("label", { for: id });
    this.row = h("div", { class: "field" }, this.hint, this.options);
    const button = h(
      "button",
      {
        type: "button",
        class: "round",
        "aria-label": "Remove this question",
        onclick: () => remove(this),
      },
      h("span", { class: "sign cross", "aria-hidden": "true" }),
    );
    const head = h("div", { class: "question-head" }, this.kind, button);
    this.element = h("li", {}, head, this.wording, this.row);
    this.#arrange();
  }

  /** As /v1/decisions takes it. */
  get value() {
    const instructions = this.wording.value;
    const options = this.options.value
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    if (this.kind.value === "choice") {
      return { type: "choice", instructions, choices: options.map((value) => ({ value })) };
    }
    if (this.kind.value === "score") {
      return { type: "score", instructions, levels: options.map((label) => ({ label })) };
    }
    return { type: "predicate", instructions };
  }

  focus() {
    this.wording.focus();
  }

  #arrange() {
    const kind = this.kind.value;
    this.row.hidden = kind === "predicate";
    this.options.disabled = kind === "predicate";
    this.options.placeholder = PLACEHOLDERS[kind] ?? "";
    this.hint.textContent =
      kind === "score" ? "Levels, lowest first, between commas" : "Options, between commas";
  }
}
