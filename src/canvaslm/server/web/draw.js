// The drawing tab: an SVG that is drawn while its source is still half noise.

import { Controls } from "./controls.js";
import { examples, field, h } from "./dom.js";
import { modelId } from "./model.js";
import { Picture } from "./picture.js";
import { DRAWINGS } from "./prompts.js";
import { Stage } from "./stage.js";

/** Build the tab in `panel`. */
export function startDraw(panel) {
  const prompt = h("textarea", { rows: "5", spellcheck: "false" });
  prompt.value = DRAWINGS[0][1];
  const pictures = {
    diffusion: new Picture("Drawing so far"),
    typed: new Picture("Left to right so far"),
  };
  const stage = new Stage({
    shown: (name, recording, n) => pictures[name].draw(...draft(recording, n)),
    empty: "",
  });
  const controls = new Controls({ begin, label: "Draw", changed: (on) => (stage.compare = on) });
  stage.compare = controls.compare;
  for (const name of ["diffusion", "typed"]) {
    stage[name].extra.append(pictures[name].element);
    stage[name].canvas.map.hidden = true;
  }

  async function begin(signal) {
    try {
      const messages = [{ role: "user", content: prompt.value }];
      const body = { model: await modelId(), messages, ...controls.params };
      await stage.run({ body, compare: controls.compare, signal });
    } catch (error) {
      stage.fail(error);
    }
  }

  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "A picture whose source is still half noise"),
      controls.form(
        field("What to draw", prompt),
        examples(DRAWINGS, (text) => {
          prompt.value = text;
        }),
      ),
      h(
        "p",
        { class: "hint" },
        "The source is rebuilt from a short list of shapes and shown in a sandboxed frame: " +
          "no scripts, no links, no network.",
      ),
    ),
    stage.element,
  );
}

/** The likeliest text of one frame, and how sure the model is of a piece of it, on average. */
function draft(recording, n) {
  const frame = recording?.frames[n];
  if (!frame) return ["", () => 1];
  const settled = recording.text.slice(0, frame.settled);
  const { tokens = [], certainty = [], accepted = [] } = frame.rest ?? {};
  const sure = tokens.flatMap((token, place) => {
    const share = accepted[place] ? certainty[place] : certainty[place] / 2;
    return Array.from({ length: token.length }, () => share);
  });
  const average = (start, end) => {
    let sum = 0;
    for (let place = start; place < end; place += 1) sum += sure[place - settled.length] ?? 1;
    return sum / (end - start);
  };
  return [settled + tokens.join(""), average];
}
