// The chat tab: a conversation, whose newest answer condenses in sight.

import { Controls } from "./controls.js";
import { examples, field, h } from "./dom.js";
import { CHAT } from "./prompts.js";
import { isPocket, modelId } from "./model.js";
import { Stage } from "./stage.js";

/** Build the tab in `panel`. */
export function startChat(panel) {
  const turns = [];
  const prompt = h("textarea", { rows: "6", spellcheck: "false" });
  prompt.value = CHAT[0][1];
  const log = h("ol", { class: "log", "aria-label": "Earlier turns" });
  const remember = h("input", { type: "checkbox", id: "remember" });
  const again = h(
    "button",
    { type: "button", class: "quiet", onclick: forget },
    "New conversation",
  );
  const past = h("div", { class: "past", hidden: true }, log, again);
  const stage = new Stage();
  const controls = new Controls({ begin, changed: (on) => (stage.compare = on) });
  stage.compare = controls.compare;
  let newest = null;
  let touched = false;
  remember.addEventListener("change", () => (touched = true));

  async function begin(signal) {
    const content = prompt.value;
    try {
      const model = await modelId();
      if (!touched) remember.checked = !isPocket();
      if (newest) turns.push(newest);
      const earlier = remember.checked ? turns.flatMap(asMessages) : [];
      const messages = [...earlier, { role: "user", content }];
      const body = { model, messages, ...controls.params };
      show();
      const recording = await stage.run({ body, compare: controls.compare, signal });
      if (recording) newest = { question: content, answer: recording.text };
    } catch (error) {
      stage.fail(error);
    }
  }

  /** The newest turn is on the stage; the next one makes it an earlier one. */
  function show() {
    if (newest === null) return;
    const { question, answer } = newest;
    newest = null;
    log.append(
      h("li", {}, h("p", { class: "asked" }, question), h("p", { class: "answered" }, answer)),
    );
    past.hidden = false;
  }

  function forget() {
    turns.length = 0;
    newest = null;
    log.replaceChildren();
    past.hidden = true;
    prompt.focus();
  }

  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "Ask, and watch the answer appear everywhere at once"),
      controls.form(
        field("Message", prompt),
        examples(CHAT, (text) => {
          prompt.value = text;
        }),
      ),
      h(
        "div",
        { class: "check" },
        remember,
        h("label", { for: "remember" }, "Send the earlier turns, too"),
      ),
      past,
    ),
    stage.element,
  );
}

function asMessages({ question, answer }) {
  return [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ];
}
