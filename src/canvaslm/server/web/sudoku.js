// The Sudoku tab: a puzzle to type or choose, and two grids that fill.

import { Controls } from "./controls.js";
import { examples, h } from "./dom.js";
import { Entry, Shown, mistake, readCells } from "./grid.js";
import { modelId } from "./model.js";
import { PUZZLES, sudokuPrompt } from "./prompts.js";
import { Stage } from "./stage.js";

/** Build the tab in `panel`. */
export function startSudoku(panel) {
  const entry = new Entry(() => say(null));
  const grids = { diffusion: new Shown("Answer so far"), typed: new Shown("Left to right so far") };
  const verdicts = { diffusion: verdict(), typed: verdict() };
  let clues = [];
  const stage = new Stage({ shown: draw, empty: "" });
  const controls = new Controls({
    begin,
    label: "Solve",
    longest: 128,
    changed: (on) => (stage.compare = on),
  });
  stage.compare = controls.compare;
  for (const name of ["diffusion", "typed"]) {
    stage[name].extra.append(grids[name].element, verdicts[name]);
    fold(stage[name]);
    stage[name].canvas.map.hidden = true;
  }

  function load(puzzle) {
    entry.cells = [...puzzle].map(Number);
    say(null);
  }

  function say(name, text = "", good = true) {
    for (const one of name ? [name] : ["diffusion", "typed"]) {
      verdicts[one].textContent = text;
      verdicts[one].classList.toggle("good", good && text !== "");
      verdicts[one].classList.toggle("bad", !good);
    }
  }

  function draw(name, recording, n) {
    grids[name].clues = recording ? clues : Array(81).fill(0);
    grids[name].draw(readCells(recording, n));
    if (!recording?.frames[n]?.last) return say(name);
    const wrong = mistake(clues, recording.text);
    return say(
      name,
      wrong ? `Not solved: ${wrong}.` : "Solved: every row, column and box.",
      !wrong,
    );
  }

  async function begin(signal) {
    clues = entry.cells;
    try {
      const content = sudokuPrompt(clues);
      const body = {
        model: await modelId(),
        messages: [{ role: "user", content }],
        ...controls.params,
      };
      await stage.run({ body, compare: controls.compare, signal });
    } catch (error) {
      stage.fail(error);
    }
  }

  load(PUZZLES[0][1]);
  panel.append(
    h(
      "div",
      { class: "side" },
      h("h2", {}, "All 81 cells at once, the sure ones first"),
      controls.form(entry.element, examples([...PUZZLES, ["Clear", "0".repeat(81)]], load)),
      h("p", { class: "hint" }, "The embedded model solves most puzzles with 36 clues or more."),
    ),
    stage.element,
  );
}

function verdict() {
  return h("p", { class: "verdict", role: "status" });
}

/** Put a lane's text below a fold: here the grid is the better view. */
function fold(lane) {
  const view = lane.canvas.text.parentElement;
  const details = h("details", { class: "as-text" }, h("summary", {}, "As text"));
  view.replaceWith(details);
  details.append(view);
}
