// What went wrong, said where a person looks.

import { ApiError } from "./api.js";
import { h } from "./dom.js";

/** A place for one message; hidden while there is none. */
export class Failure {
  constructor() {
    this.element = h("p", { class: "error", role: "alert", hidden: true });
  }

  /** Say what went wrong; null: nothing did. */
  show(error) {
    this.element.hidden = error === null;
    this.element.textContent = error === null ? "" : describe(error);
  }
}

function describe(error) {
  if (!(error instanceof ApiError)) return `Something went wrong: ${error.message}`;
  const told = !error.param || error.message.includes(error.param);
  return told ? error.message : `${error.message} (${error.param})`;
}
