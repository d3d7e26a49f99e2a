// One array: a heat map with what the lens looks at drawn on it, and a strip of its other maps.
import { clamp } from "./arrays.js";
import { paint } from "./colour.js";
import { h } from "./dom.js";
import { eight, indexed, sizes } from "./numbers.js";
import { beyond, planeOf } from "./planes.js";

const PAGE = 16; // maps in a strip at a time
const LARGEST_CELL = 26; // pixels
const [LONG, LONGEST] = [12, 1.5]; // a map is at most so much wider than high, or higher than wide

// A map that shows values on hover and can be clicked.
//   marks: [{rect: [r, c, h, w], kind}] in cells; pad: [rows, columns] around the map
export function heatMap(app, {array, index, matrix, name, marks = [], pad = [0, 0], choose, label,
  largest = LARGEST_CELL}) {
  const plane = planeOf(array, index, matrix);
  if (!plane.map) {
    return h("p", {class: "missing"}, "This map was not kept: of what is too large, 16 maps are. The "
      + "marked ones are here.");
  }
  const {rows, columns, shrunk} = plane.map;
  const [ph, pw] = shrunk[0] > 1 ? [0, 0] : pad;
  const [height, width] = [rows + 2 * ph, columns + 2 * pw];
  // Cells are squares, but in maps so long that nothing could be seen of them.
  const [across, down] = [Math.max(width, height / LONGEST), Math.max(height, width / LONG)];
  const canvas = paint(h("canvas", {"aria-hidden": "true"}), plane.map, array.top);
  canvas.style.cssText = `left:${(100 * pw) / width}%;top:${(100 * ph) / height}%;`
    + `width:${(100 * columns) / width}%;height:${(100 * rows) / height}%`;
  const svg = h("svg", {viewBox: `${-pw} ${-ph} ${width} ${height}`, preserveAspectRatio: "none",
    "aria-hidden": "true"},
  pw || ph ? h("rect", {class: "padding", x: -pw, y: -ph, width, height}) : null,
  marks.map((mark) => drawMark(mark, shrunk)));
  const cellAt = (event) => {
    const box = map.getBoundingClientRect();
    const c = Math.floor(((event.clientX - box.left) / box.width) * width - pw);
    const r = Math.floor(((event.clientY - box.top) / box.height) * height - ph);
    return r < 0 || c < 0 || r >= rows || c >= columns || beyond(plane, r, c) ? null : [r, c];
  };
  const map = h("div", {
    class: choose ? "map pickable" : "map", role: "img", "aria-label": label ?? name,
    style: `aspect-ratio:${across}/${down};max-width:${across * largest}px`,
    "data-name": name,
    onpointermove: (event) => app.tip(event, hover(array, plane, name, cellAt(event))),
    onpointerleave: () => app.tip(null),
    onclick: choose && ((event) => {
      const cell = cellAt(event);
      if (cell) choose(plane.index(...cell));
    }),
  }, canvas, svg);
  return map;
}

function hover(array, plane, name, cell) {
  if (!cell) return null;
  const value = plane.map.value(...cell);
  const index = plane.index(...cell);
  if (array.whole) return `${indexed(name, index)} = ${eight(value)}`;
  const [sr, sc] = plane.map.shrunk;
  const block = sr * sc > 1 ? `, largest of ${sr}×${sc} cells` : "";
  return `${indexed(name, index)} ≈ ${value.toPrecision(2)} (8 bits${block})`;
}

// A frame around cells: light below, coloured above, so that it is seen on any colour.
function drawMark({rect: [r, c, height, width], kind = "hue"}, [sr, sc]) {
  const at = {x: c / sc, y: r / sr, width: Math.max(width / sc, 1), height: Math.max(height / sr, 1)};
  return [h("rect", {class: "mark halo", ...at}), h("rect", {class: `mark ${kind}`, ...at})];
}

// The maps of an array beside each other, of which one is shown large; 16 at a time.
//   leads: leading indices; shown: the chosen one's number; names: what is written below each
export function strip(app, {array, leads, shown, names, choose, key, large = false}) {
  if (leads.length < 2) return null;
  const pages = Math.ceil(leads.length / PAGE);
  app.pages[key] ??= Math.max(0, Math.floor(shown / PAGE));
  const page = clamp(app.pages[key], 0, pages - 1);
  const turn = (by) => {
    app.pages[key] = clamp(page + by, 0, pages - 1);
    app.draw();
  };
  const some = leads.slice(page * PAGE, (page + 1) * PAGE);
  const buttons = some.map((lead, k) => {
    const number = page * PAGE + k;
    const map = array.map(lead);
    const canvas = h("canvas", {width: 1, height: 1, "aria-hidden": "true"});
    if (map) paint(canvas, map, array.top);
    return h("button", {
      type: "button", class: "tile", "aria-pressed": String(number === shown),
      "aria-label": `${key}, ${names[number]}`, "data-key": `${key}:${number}`,
      disabled: !map, onclick: () => choose(number),
    }, canvas, h("span", {}, names[number]));
  });
  const arrows = pages > 1 && h("div", {class: "pages"},
    h("button", {type: "button", "data-key": `${key}:before`, disabled: page === 0,
      "aria-label": "16 maps before", onclick: () => turn(-1)}, "‹"),
    h("span", {}, `${page * PAGE} to ${page * PAGE + some.length - 1} of ${leads.length}`),
    h("button", {type: "button", "data-key": `${key}:after`, disabled: page === pages - 1,
      "aria-label": "16 maps after", onclick: () => turn(1)}, "›"));
  return h("div", {class: large ? "strip large" : "strip"}, buttons, arrows);
}

// An array's heading: its name, its shape, and whether the operation reads or writes it.
export function caption(name, array, word) {
  const {low, high} = array.range;
  return h("div", {class: "caption", title: `from ${eight(low)} to ${eight(high)}`},
    h("b", {}, name), h("span", {class: "shape"}, sizes(array.shape)),
    array.whole ? null : h("span", {class: "shape"}, "8 bits"),
    word && h("span", {class: "word"}, word));
}
