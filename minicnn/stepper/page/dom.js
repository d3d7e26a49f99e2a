// Elements of the page, made in one line each.
const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "line", "polyline", "g", "text", "circle", "title"]);

// h("button", {class: "node", onclick: go}, "text", child, ...): an element; null children are left
// out, lists are opened.
export function h(tag, properties, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const byId = (id) => document.getElementById(id);

// Replaces what is in an element, and leaves the focus where it was (elements with the same
// data-key count as the same).
export function fill(parent, ...children) {
  const key = parent.contains(document.activeElement) && document.activeElement.dataset.key;
  const [top, left] = [parent.scrollTop, parent.scrollLeft];
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child));
  parent.scrollTop = top;
  parent.scrollLeft = left;
  if (key) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({preventScroll: true});
}

// A group of buttons of which one is pressed.
export function segments(label, choices, chosen, choose, extra = "") {
  return h("div", {class: `segments ${extra}`, role: "group", "aria-label": label},
    choices.map(([value, text, title]) => h("button", {
      type: "button", "aria-pressed": String(value === chosen), title,
      "data-key": `${label}:${value}`, onclick: () => choose(value),
    }, text)));
}
