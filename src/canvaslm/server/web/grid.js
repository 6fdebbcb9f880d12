// A Sudoku grid: to type in, to show an answer in, and to check.

import { shade } from "./certainty.js";
import { h } from "./dom.js";

const MOVES = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

/** A grid of inputs. `changed()` is called when a person typed. */
export class Entry {
  constructor(changed) {
    this.inputs = Array.from({ length: 81 }, (_, cell) => this.#input(cell, changed));
    this.element = board(this.inputs, "Puzzle: type the digits you know");
  }

  get cells() {
    return this.inputs.map((input) => Number(input.value || 0));
  }

  set cells(digits) {
    digits.forEach((digit, cell) => {
      this.inputs[cell].value = digit ? String(digit) : "";
    });
  }

  #input(cell, changed) {
    const [row, column] = [Math.floor(cell / 9), cell % 9];
    const input = h("input", {
      inputmode: "numeric",
      maxlength: "1",
      autocomplete: "off",
      "aria-label": `row ${row + 1}, column ${column + 1}`,
      tabindex: cell === 0 ? "0" : "-1",
      onfocus: () => this.#rove(cell),
      oninput: () => {
        input.value = input.value.replace(/[^1-9]/g, "");
        changed();
      },
      onkeydown: (event) => {
        const [down, right] = MOVES[event.key] ?? [0, 0];
        if (!down && !right) return;
        event.preventDefault();
        this.inputs[((row + down + 9) % 9) * 9 + ((column + right + 9) % 9)].focus();
      },
    });
    return input;
  }

  /** Only one cell is a stop of the tab key; arrows go to the others. */
  #rove(cell) {
    this.inputs.forEach((input, n) => (input.tabIndex = n === cell ? 0 : -1));
    this.inputs[cell].select();
  }
}

/** A grid that shows what a draft holds: clues in bold, the rest by certainty. */
export class Shown {
  constructor(label) {
    this.boxes = Array.from({ length: 81 }, () => h("span"));
    this.element = board(this.boxes, label);
    this.element.setAttribute("role", "img");
    this.clues = Array(81).fill(0);
  }

  /** `found` is what `readCells` read. */
  draw(found) {
    this.boxes.forEach((box, cell) => {
      const clue = this.clues[cell];
      const { text = "", certainty = 1, open = false } = found[cell] ?? {};
      box.textContent = text || (clue ? String(clue) : "");
      const wrong = clue && text && text !== String(clue) && !open;
      const colour = text ? shade(certainty) : "";
      box.className = clue ? "clue" : open ? `noise ${colour}` : colour;
      box.classList.toggle("wrong", Boolean(wrong));
    });
  }
}

function board(cells, label) {
  return h("div", { class: "board", role: "group", "aria-label": label }, ...cells);
}

/** The cells of one frame: [{text, certainty, open}], by walking its rows. */
export function readCells(recording, n) {
  const frame = recording?.frames[n];
  const found = [];
  if (!frame) return found;
  let [row, column] = [0, 0];
  const put = (text, certainty, open) => {
    for (const sign of text) {
      if (sign === "\n") [row, column] = [row + 1, 0];
      else if (row < 9 && column < 9 && sign.trim()) {
        found[9 * row + column] = { text: sign, certainty, open };
        column += 1;
      }
    }
  };
  put(recording.text.slice(0, frame.settled), 1, false);
  frame.rest?.tokens.forEach((token, place) => {
    const open = !frame.rest.accepted[place];
    put(token, frame.rest.certainty[place], open);
  });
  return found;
}

/** What is wrong with an answer to `clues`; an empty text: it is solved. */
export function mistake(clues, text) {
  const digits = (text.match(/[0-9]/g) ?? []).map(Number);
  if (digits.length !== 81) return `${digits.length} digits, not 81`;
  const changed = clues.findIndex((clue, cell) => clue && clue !== digits[cell]);
  if (changed >= 0) {
    return `the clue in row ${Math.floor(changed / 9) + 1}, column ${(changed % 9) + 1} was changed`;
  }
  for (let unit = 0; unit < 9; unit += 1) {
    const parts = { row: [], column: [], box: [] };
    for (let k = 0; k < 9; k += 1) {
      parts.row.push(digits[9 * unit + k]);
      parts.column.push(digits[9 * k + unit]);
      const [down, right] = [3 * Math.floor(unit / 3), 3 * (unit % 3)];
      parts.box.push(digits[9 * (down + Math.floor(k / 3)) + right + (k % 3)]);
    }
    for (const [name, part] of Object.entries(parts)) {
      const digit = part.find((one, k) => one === 0 || part.indexOf(one) !== k);
      if (digit !== undefined) return `${name} ${unit + 1} has ${digit} twice`;
    }
  }
  return "";
}
