// A drawing in a frame that can run nothing, load nothing and reach nothing.

import { h } from "./dom.js";
import { readDrawing } from "./svg.js";

const HEAD =
  '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'">' +
  '<body topmargin="0" leftmargin="0" rightmargin="0" bottommargin="0" bgcolor="#ffffff">';

/** Two frames that take turns, so that no change flashes. */
export class Picture {
  constructor(label) {
    this.frames = [0, 1].map(() => h("iframe", { sandbox: "", title: label, tabindex: "-1" }));
    this.element = h("div", { class: "picture" }, ...this.frames);
    this.frames.forEach((frame) => frame.addEventListener("load", () => this.#raise(frame)));
    this.shown = null;
    this.next = 0;
  }

  /** Show the shapes of `text`, each as faint as the text of it is uncertain. */
  draw(text, certainty) {
    const svg = readDrawing(text, certainty);
    if (svg === this.shown) return;
    this.shown = svg;
    this.frames[this.next].srcdoc = HEAD + svg;
    this.next = 1 - this.next;
  }

  #raise(frame) {
    this.frames.forEach((one) => {
      one.classList.toggle("front", one === frame);
      one.setAttribute("aria-hidden", String(one !== frame));
    });
  }
}
