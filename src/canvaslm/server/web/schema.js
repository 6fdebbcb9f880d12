// Whether a value fits a JSON schema, of the keywords that a record needs; and where it does not.

const KINDS = {
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};
const LIMITS = {
  minLength: (value, limit) => typeof value !== "string" || [...value].length >= limit,
  maxLength: (value, limit) => typeof value !== "string" || [...value].length <= limit,
  minItems: (value, limit) => !Array.isArray(value) || value.length >= limit,
  maxItems: (value, limit) => !Array.isArray(value) || value.length <= limit,
  minimum: (value, limit) => typeof value !== "number" || value >= limit,
  maximum: (value, limit) => typeof value !== "number" || value <= limit,
  enum: (value, list) => list.some((one) => same(one, value)),
  const: (value, one) => same(one, value),
};
const KNOWN = new Set([
  ...Object.keys(LIMITS),
  "type",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "title",
  "description",
  "$schema",
  "default",
  "examples",
]);

/** What is wrong with `value`, as [{place, what}]; empty: it fits. */
export function faults(schema, value, place = "answer") {
  if (schema === true) return [];
  if (schema === false) return [{ place, what: "is not allowed" }];
  const kinds = [schema.type ?? []].flat();
  if (kinds.length && !kinds.some((kind) => KINDS[kind]?.(value))) {
    return [{ place, what: `is not ${kinds.join(" or ")}` }];
  }
  const broken = Object.keys(LIMITS).filter(
    (name) => name in schema && !LIMITS[name](value, schema[name]),
  );
  const own = broken.map((name) => ({ place, what: `breaks ${name}` }));
  if (KINDS.array(value)) {
    return own.concat(
      value.flatMap((item, n) => faults(schema.items ?? true, item, `${place}[${n}]`)),
    );
  }
  return KINDS.object(value) ? own.concat(inObject(schema, value, place)) : own;
}

/** The keywords of a schema that `faults` does not look at. */
export function unchecked(schema) {
  if (schema === null || typeof schema !== "object") return [];
  const inner = [
    ...Object.values(schema.properties ?? {}),
    schema.items,
    schema.additionalProperties,
  ];
  const own = Object.keys(schema).filter((name) => !KNOWN.has(name));
  return [...new Set([...own, ...inner.flatMap(unchecked)])];
}

function inObject(schema, value, place) {
  const { properties = {}, required = [], additionalProperties: others = true } = schema;
  const missing = required.filter((name) => !Object.hasOwn(value, name));
  const found = Object.entries(value).flatMap(([name, inner]) => {
    const rule = Object.hasOwn(properties, name) ? properties[name] : others;
    return faults(rule, inner, `${place}.${name}`);
  });
  return [...missing.map((name) => ({ place, what: `lacks ${name}` })), ...found];
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
