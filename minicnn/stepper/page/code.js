// The same operation as nested loops, in NumPy, and as CUDA C.
import { h, segments } from "./dom.js";
import { four, plural } from "./numbers.js";

const NAMES = {loops: "loops", numpy: "NumPy", cuda: "CUDA"};

export function codeView(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const texts = model.sources[node.operation];
  const kinds = Object.keys(texts);
  const kind = kinds.includes(app.drawing) ? app.drawing : kinds[0];
  const {file, line, text, marks} = texts[kind];
  const own = marks[model.target.letter] ?? [];
  const term = model.depth === 2 && lens?.products?.length > 0;
  // At term depth the line that makes a term, else the one that writes the number.
  const current = own.length ? own[term ? 0 : own.length - 1] : -1;
  const whole = part(text, model.backward ? "backward" : "forward");
  const shown = whole[1] >= 0 ? whole : [Math.min(...own), Math.max(...own)];
  return [
    segments("Drawing", kinds.map((name) => [name, NAMES[name] ?? name]), kind,
      (name) => app.chooseDrawing(name)),
    h("div", {class: "label file"}, `${file}:${line}`),
    current >= 0 && lens && h("p", {class: "total meaning", "data-line": String(line + current)},
      h("span", {class: "quiet"}, `line ${line + current}, ${WHO[kind]}: `),
      term ? termText(app, lens) : [`${lens.name} = `, h("b", {class: "value"}, four(lens.sum)),
        lens.products?.length > 1 && h("span", {class: "quiet"},
          `, ${plural(lens.products.length, "term")}${model.depth === 1 ? "; Enter goes through them" : ""}`)]),
    listing(text, line, shown, current),
  ];
}

const WHO = {loops: "once for each number", numpy: "for all numbers at once",
  cuda: "by the thread whose number it is"};

// The term that the walk is at, with its numbers.
function termText(app, lens) {
  const k = app.term(lens);
  const place = app.termPlace(lens);
  return [lens.describe ? lens.describe(place) : `term ${k + 1}`, ": ",
    lens.weights ? `${four(lens.window[k])} × ${four(lens.weights[k])} = ` : "", four(lens.products[k]),
    h("span", {class: "quiet"}, ", total "), h("b", {class: "value"}, four(lens.running[k]))];
}

// The lines of the method that the direction is about, first and last (from 0).
function part(text, method) {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => line.trimStart().startsWith(`def ${method}(`));
  if (first < 0) return [0, -1];
  const depth = (line) => line.length - line.trimStart().length;
  let last = first;
  for (let k = first + 1; k < lines.length; k++) {
    if (!lines[k].trim()) continue;
    if (depth(lines[k]) <= depth(lines[first])) break;
    last = k;
  }
  return [first, last];
}

// Text with line numbers; the lines of `shown` stand out.
export function listing(text, start, [from, to], current = -1) {
  return h("pre", {class: "listing", tabindex: "0"}, text.replace(/\n$/, "").split("\n").map(
    (line, k) => h("span", {class: ["line", k >= from && k <= to ? "now" : "",
      k === current ? "current" : ""].filter(Boolean).join(" ")},
    h("i", {"aria-hidden": "true"}, String(start + k)), line || " ", "\n")));
}
