// Sentences to extract a record from, and the schemas of the records.

const TEXT = { type: "string", maxLength: 40 };

function record(properties, sentence) {
  const required = Object.keys(properties);
  return {
    prompt: `Extract as JSON with keys ${required.join(", ")}: ${sentence}`,
    schema: { type: "object", properties, required, additionalProperties: false },
  };
}

/** [name, {prompt, schema}], in the form that the embedded model was trained on. */
export const RECORDS = [
  [
    "weather",
    record(
      { low: { type: "integer" }, day: TEXT, warning: { type: "boolean" }, city: TEXT },
      "Bogota expects a snowy Tuesday, between 3 and 21 degrees, no warning.",
    ),
  ],
  [
    "contact",
    record(
      {
        married: { type: "boolean" },
        age: { type: "integer" },
        languages: { type: "array", items: TEXT, minItems: 1 },
        city: TEXT,
      },
      "Lars, 65, is a single waiter in Paris, speaks Spanish, phone 270708.",
    ),
  ],
  [
    "forecast",
    record(
      { day: TEXT, low: { type: "integer" }, city: TEXT },
      "On Thursday it is snowy in Lima, at most 19 and at least -9 degrees, and a warning.",
    ),
  ],
];
