// Elements from code: strings become text nodes, so nothing that a model says is ever markup.

/** An element. `properties` whose names begin with "on" are listeners, the others attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

let last = 0;

/** An id that no other element of the page has. */
export function fresh(name) {
  last += 1;
  return `${name}-${last}`;
}

/** A label above a control, with a hint below where there is one. */
export function field(label, control, hint = "") {
  control.id ||= fresh("field");
  const parts = [h("label", { for: control.id }, label), control];
  if (hint) {
    const id = fresh("hint");
    control.setAttribute("aria-describedby", id);
    parts.push(h("p", { class: "hint", id }, hint));
  }
  return h("div", { class: "field" }, ...parts);
}

/** Small buttons that fill in an example each. `list` is [[label, value], ...]. */
export function examples(list, pick) {
  const buttons = list.map(([label, value]) =>
    h("button", { type: "button", class: "chip", onclick: () => pick(value) }, label),
  );
  return h("div", { class: "chips", role: "group", "aria-label": "Examples" }, ...buttons);
}
