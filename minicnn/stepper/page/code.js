// The same operation as nested loops, in NumPy, and as CUDA C.
import { h, segments } from "./dom.js";

const NAMES = {loops: "loops", numpy: "NumPy", cuda: "CUDA"};

export function codeView(app) {
  const {model} = app;
  const {node} = model.step;
  const texts = model.sources[node.operation];
  const kinds = Object.keys(texts);
  const kind = kinds.includes(app.drawing) ? app.drawing : kinds[0];
  const {file, line, text} = texts[kind];
  return [
    segments("Drawing", kinds.map((name) => [name, NAMES[name] ?? name]), kind,
      (name) => app.chooseDrawing(name)),
    h("div", {class: "label file"}, `${file}:${line}`),
    listing(text, line, part(text, model.backward ? "backward" : "forward")),
  ];
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
