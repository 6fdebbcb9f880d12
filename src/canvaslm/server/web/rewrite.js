// The infill and edit tab: mark a span or set the cursor; only that place changes.

import { Controls } from "./controls.js";
import { examples, field, h } from "./dom.js";
import { modelId } from "./model.js";
import { describe, marked, points } from "./passage.js";
import { PASSAGES } from "./passages.js";
import { Stage } from "./stage.js";

/** Build the tab in `panel`. */
export function startRewrite(panel) {
  const text = h("textarea", { rows: "11", spellcheck: "false", class: "code", wrap: "off" });
  const mark = h("p", { class: "mark", role: "status" });
  const instruction = h("input", { type: "text", placeholder: "none: the model decides" });
  const strength = h("input", { type: "range", min: "0.1", max: "1", step: "0.1", value: "0.5" });
  const span = h(
    "div",
    { class: "pair-of-fields" },
    field("Instruction", instruction),
    field("How much becomes noise", strength),
  );
  const take = h(
    "button",
    { type: "button", class: "quiet", disabled: true, onclick: adopt },
    "Take it into the text",
  );
  const stage = new Stage({ empty: "Mark a span of the text, or set the cursor into a gap." });
  const controls = new Controls({ begin, compare: null, longest: 32 });
  stage.compare = false;
  stage.diffusion.canvas.map.hidden = true;
  stage.diffusion.canvas.text.classList.add("within");
  stage.diffusion.canvas.text.parentElement.after(take);
  let result = null;

  function look() {
    const place = marked(text);
    mark.textContent = describe(place);
    controls.button.textContent = place.span ? "Rewrite the span" : "Fill the gap";
    span.hidden = !place.span;
  }

  function load({ text: value, start, end, said = "" }) {
    text.value = value;
    text.setSelectionRange(start, end);
    instruction.value = said;
    look();
  }

  function adopt() {
    load(result);
    text.focus();
    take.disabled = true;
  }

  async function begin(signal) {
    const place = marked(text);
    const { before, after } = place;
    take.disabled = true;
    stage.diffusion.canvas.surround(before, after);
    try {
      const model = await modelId();
      const request = place.span ? edit(place) : gap(place);
      const recording = await stage.run({ ...request, body: { model, ...request.body }, signal });
      if (recording === null) return;
      const start = before.length;
      const end = start + recording.text.length;
      result = { text: before + recording.text + after, start, end, said: instruction.value };
      take.disabled = false;
    } catch (error) {
      stage.fail(error);
    }
  }

  function gap({ before, after }) {
    return {
      path: "v1/fim/completions",
      body: { prompt: before, suffix: after, ...controls.params },
    };
  }

  function edit({ text: whole, before, span: old }) {
    const start = points(before);
    const body = {
      text: whole,
      span: [start, start + points(old)],
      strength: Number(strength.value),
    };
    if (instruction.value) body.instruction = instruction.value;
    if (controls.params.seed !== undefined) body.seed = controls.params.seed;
    return { path: "v1/edits", body };
  }

  for (const name of ["select", "keyup", "mouseup", "input", "focus"])
    text.addEventListener(name, look);
  load(PASSAGES[0][1]);
  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "Mark a span, and only the span changes"),
      controls.form(
        field(
          "Text",
          text,
          "Drag over a span, or double-click a word, to write it anew. Click once to leave a gap.",
        ),
        mark,
        examples(PASSAGES, load),
        span,
      ),
    ),
    stage.element,
  );
}
