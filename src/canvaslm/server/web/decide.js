// The decision tab: a state, typed questions, and probabilities instead of text.

import { ask } from "./api.js";
import { bars } from "./bars.js";
import { seconds } from "./counters.js";
import { field, h } from "./dom.js";
import { Failure } from "./failure.js";
import { modelId } from "./model.js";
import { QUESTIONS, STATE } from "./prompts.js";
import { Question } from "./question.js";
import { reveal } from "./reveal.js";

/** Build the tab in `panel`. */
export function startDecide(panel) {
  const state = h("textarea", { rows: "4", spellcheck: "false" });
  state.value = STATE;
  const questions = QUESTIONS.map((one) => new Question(one, remove));
  const list = h("ol", { class: "questions" }, ...questions.map((one) => one.element));
  const answers = h("ol", { class: "answers", "aria-label": "Answers" });
  const empty = h(
    "p",
    { class: "empty" },
    "Nothing is written here: every option gets its probability, in one pass or two.",
  );
  const figure = h("p", { class: "figure", role: "status" });
  const failure = new Failure();
  const button = h("button", { type: "submit", class: "primary" }, "Decide");

  const stage = h(
    "div",
    { class: "stage" },
    failure.element,
    h("div", { class: "lane" }, empty, answers, figure),
  );

  function add() {
    const question = new Question({ type: "predicate", instructions: "" }, remove);
    questions.push(question);
    list.append(question.element);
    question.focus();
  }

  function remove(question) {
    if (questions.length === 1) return;
    questions.splice(questions.indexOf(question), 1);
    question.element.remove();
  }

  async function begin(event) {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    failure.show(null);
    reveal(stage);
    try {
      const asked = questions.map((one) => one.value);
      const body = { model: await modelId(), input: state.value, questions: asked };
      const begun = performance.now();
      const found = await ask("v1/decisions", body);
      show(asked, found.answers, (performance.now() - begun) / 1000);
    } catch (reason) {
      failure.show(reason);
    } finally {
      button.disabled = false;
    }
  }

  function show(asked, found, took) {
    empty.hidden = true;
    answers.replaceChildren(
      ...found.map((answer, n) =>
        h("li", {}, h("h3", {}, asked[n].instructions), ...shown(answer)),
      ),
    );
    const rate = took > 0 ? `, ${Math.round(asked.length / took)} a second` : "";
    const noun = asked.length === 1 ? "question" : "questions";
    figure.textContent = `${asked.length} ${noun} in ${seconds(took)}${rate}`;
  }

  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "Probabilities instead of text"),
      h(
        "form",
        { onsubmit: begin },
        field("State: what is known", state),
        h("h3", {}, "Questions"),
        list,
        h("button", { type: "button", class: "quiet", onclick: add }, "Add a question"),
        h("div", { class: "controls" }, h("div", { class: "buttons" }, button)),
      ),
    ),
    stage,
  );
}

function shown(answer) {
  if (answer.type === "predicate") {
    return [
      bars([
        ["yes", answer.probability],
        ["no", 1 - answer.probability],
      ]),
    ];
  }
  if (answer.type === "refusal") return [h("p", { class: "error small" }, "Refused.")];
  const options = answer.probabilities.map((one) => [
    String(one.label ?? one.value),
    one.probability,
  ]);
  const sure = `confidence ${answer.confidence.toFixed(2)}`;
  const text =
    answer.type === "score" ? `expected level ${answer.score.toFixed(2)}, ${sure}` : sure;
  return [bars(options), h("p", { class: "hint" }, text)];
}
