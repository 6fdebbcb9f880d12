// What a person marked in a text: a span to write anew, or a place where something is missing.

/** The mark in `textarea`: {start, end, before, span, after}, ends in whole characters. */
export function marked(textarea) {
  const text = textarea.value;
  const start = whole(text, textarea.selectionStart);
  const end = whole(text, textarea.selectionEnd);
  return {
    text,
    start,
    end,
    before: text.slice(0, start),
    span: text.slice(start, end),
    after: text.slice(end),
  };
}

/** The mark in words. */
export function describe({ before, span }) {
  const line = before.split("\n").length;
  if (span) return `Marked, from line ${line}: “${shorten(span)}”. Only this is written anew.`;
  return `A gap in line ${line}, at the cursor. What is missing there is written.`;
}

/** Characters as Python counts them: a pair of surrogates is one. */
export function points(text) {
  return [...text].length;
}

/** Never between the two halves of a character. */
function whole(text, place) {
  const unit = text.charCodeAt(place);
  return unit >= 0xdc00 && unit <= 0xdfff ? place - 1 : place;
}

function shorten(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 48 ? `${line.slice(0, 45)}…` : line;
}
