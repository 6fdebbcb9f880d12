// Questions that the embedded model has learnt to answer, word for word as it was trained on them.

const SUDOKU_LINES = "Solve this Sudoku:\n";

/** How a Sudoku is asked: nine rows of nine digits, 0 for a blank. */
export function sudokuPrompt(cells) {
  const rows = Array.from({ length: 9 }, (_, row) => cells.slice(9 * row, 9 * row + 9).join(""));
  return SUDOKU_LINES + rows.join("\n");
}

/** Puzzles by how many clues they have: [name, 81 digits]. */
export const PUZZLES = [
  ["43 clues", "286007000003040800470980056008070295040359160190826004809705603010000087030460900"],
  ["41 clues", "014900326593028140070000509000375000000080490020096873068540200041060000000810764"],
  ["37 clues", "030801000002009053000532008046250000507100034219074006050003427000627000020010800"],
  ["34 clues", "000208730041936000823010009008060005690000000274000386980000500000100420017000060"],
];

export const DRAWINGS = [
  [
    "four shapes",
    "Draw: a medium green square at the top, a large brown circle on the left, a medium red " +
      "triangle at the top left and a large purple triangle at the bottom right.",
  ],
  [
    "three shapes",
    "Draw a picture with a large yellow circle on the left, a medium blue triangle at the top " +
      "and a large gray circle in the center.",
  ],
  ["two shapes", "Draw in the center a large pink square and at the bottom a medium red square."],
  ["one shape", "Draw: a small red circle in the center."],
];

const LOOK =
  "Look: a medium orange square on the right, a small red square at the bottom left " +
  "and a medium gray triangle in the center.";

export const CHAT = [
  ["A drawing", DRAWINGS[0][1]],
  ["A Sudoku", sudokuPrompt([...PUZZLES[0][1]])],
  [
    "A record",
    "Extract as JSON with keys low, day, warning, city: Bogota expects a snowy Tuesday, " +
      "between 3 and 21 degrees, no warning.",
  ],
  ["A question", `${LOOK}\nIs the triangle red?`],
  [
    "A gap in code",
    "Fill the gap:\ndef count_vowels(sentence):\n    count = 0\n    for letter in sentence:\n" +
      '        if letter in "aeiou":\n            count += 1\n<gap>',
  ],
];

/** A state that the questions below are about. */
export const STATE =
  "Look: a small gray square at the top left, a large brown circle at the bottom right " +
  "and a small red triangle at the bottom left.";

/** One question of each kind, about the state above. */
export const QUESTIONS = [
  { type: "predicate", instructions: "Is there a red circle?" },
  {
    type: "choice",
    instructions: "What colour is the shape at the bottom left?",
    options: ["black", "blue", "red"],
  },
  { type: "score", instructions: "How many shapes are small?", options: ["0", "1", "2", "3", "4"] },
];
