// The JSON tab: a schema beside the canvas that keeps to it.

import { Controls } from "./controls.js";
import { examples, field, h } from "./dom.js";
import { modelId } from "./model.js";
import { RECORDS } from "./records.js";
import { faults, unchecked } from "./schema.js";
import { Stage } from "./stage.js";

/** Build the tab in `panel`. */
export function startJson(panel) {
  const prompt = h("textarea", { rows: "4", spellcheck: "false" });
  const schema = h("textarea", {
    rows: "14",
    spellcheck: "false",
    class: "code",
    oninput: readSchema,
  });
  const wrong = h("p", { class: "error small", role: "status", hidden: true });
  const verdicts = { diffusion: verdict(), typed: verdict() };
  let used = null;
  const stage = new Stage({ shown: judge });
  const controls = new Controls({
    begin,
    label: "Extract",
    longest: 128,
    changed: (on) => (stage.compare = on),
  });
  stage.compare = controls.compare;
  for (const name of ["diffusion", "typed"]) {
    stage[name].canvas.text.parentElement.after(verdicts[name]);
  }

  function load(record) {
    prompt.value = record.prompt;
    schema.value = JSON.stringify(record.schema, null, 2);
    readSchema();
  }

  /** The schema typed, or null; says what is wrong with it. */
  function readSchema() {
    try {
      const found = JSON.parse(schema.value);
      wrong.hidden = true;
      return found;
    } catch (error) {
      wrong.hidden = false;
      wrong.textContent = `The schema is not JSON: ${error.message}`;
      return null;
    }
  }

  function judge(name, recording, n) {
    const said = verdicts[name];
    said.className = "verdict";
    said.textContent = "";
    if (!recording?.frames[n]?.last) return;
    const { good, text } = validate(used, recording.text);
    said.textContent = text;
    said.classList.add(good ? "good" : "bad");
  }

  async function begin(signal) {
    used = readSchema();
    if (used === null) return schema.focus();
    try {
      const format = {
        type: "json_schema",
        json_schema: { name: "record", strict: true, schema: used },
      };
      const messages = [{ role: "user", content: prompt.value }];
      const body = {
        model: await modelId(),
        messages,
        response_format: format,
        ...controls.params,
      };
      await stage.run({ body, compare: controls.compare, signal });
    } catch (error) {
      stage.fail(error);
    }
    return undefined;
  }

  load(RECORDS[0][1]);
  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "A record that keeps to its schema at every step"),
      controls.form(
        field("Request", prompt),
        examples(RECORDS, load),
        field("JSON schema", schema),
        wrong,
      ),
    ),
    stage.element,
  );
}

/** Whether a text is JSON that fits, in words. */
function validate(schema, text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return { good: false, text: "Not valid: this is not JSON." };
  }
  const [first] = faults(schema, value);
  if (first) return { good: false, text: `Not valid: ${first.place} ${first.what}.` };
  const skipped = unchecked(schema);
  const but = skipped.length ? ` (${skipped.join(", ")}: not checked in the page)` : "";
  return { good: true, text: `Valid against the schema${but}.` };
}

function verdict() {
  return h("p", { class: "verdict", role: "status" });
}
