// Texts with a place marked, of the kind that the embedded model has learnt to complete.

const AGES = `def total_of_ages(ages):
    total = 0
    for age in prices:
        total += age
    return total`;
const TOTAL = `def total_of_ages(ages):

    return total`;
const VOWELS = `def count_vowels(word):

            count += 1
    return count`;
const SHORTEN = `def shorten(message, limit):
    if len(message) <= limit:
        return message
`;

function span(text, part, said = "") {
  const start = text.indexOf(part);
  return { text, start, end: start + part.length, said };
}

function gap(text, before) {
  const start = text.indexOf(before) + before.length;
  return { text, start, end: start };
}

/** [name, {text, start, end, said}]; start is end where something is missing. */
export const PASSAGES = [
  ["a gap of three lines", gap(TOTAL, "(ages):\n")],
  ["a line that is wrong", span(AGES, "for age in prices")],
  ["the head of a loop", gap(VOWELS, "(word):\n")],
  ["a last line", gap(SHORTEN, "return message\n")],
  ["told what to do", span(AGES, "total += age", "Count the ages.")],
];
