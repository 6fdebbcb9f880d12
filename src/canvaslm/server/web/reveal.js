// Brings what stands below the form, as on a phone, into sight.

/** Go to `element` unless its top can be seen well. */
export function reveal(element) {
  if (element.getBoundingClientRect().top < innerHeight / 2) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}
