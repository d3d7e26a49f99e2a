// The terms of a sum in order, as bars, and their running total as a line.
import { css, rgb } from "./colour.js";
import { h } from "./dom.js";
import { clamp } from "./arrays.js";

const [WIDTH, HEIGHT] = [600, 84];
const MOST_BARS = 600; // more terms share a bar

export function runningTotal(app, lens) {
  const {products, running} = lens;
  const count = products.length;
  const bars = Math.min(count, MOST_BARS);
  const [low, high] = [Math.min(0, ...thin(running, bars), ...thin(products, bars)),
    Math.max(0, ...thin(running, bars), ...thin(products, bars))];
  const y = (value) => HEIGHT - 4 - ((value - low) / (high - low || 1)) * (HEIGHT - 8);
  const x = (k) => (k / count) * WIDTH;
  const top = Math.max(...thin(products, bars).map(Math.abs)) || 1;
  const step = count / bars;
  const zero = y(0);
  const rects = thin(products, bars).map((product, k) => (product === 0 ? null : h("rect", {
    x: x(k * step), width: Math.max(x(step) - (bars > 200 ? 0 : 0.6), 0.5),
    y: Math.min(zero, y(product)), height: Math.max(Math.abs(y(product) - zero), 0.7),
    fill: css(rgb(product, top)),
  })));
  let line = `M0 ${zero}`;
  thin(running, bars).forEach((total, k) => { line += `L${x(k * step)} ${y(total)}H${x((k + 1) * step)}`; });
  const term = app.model.depth === 2 ? clamp(app.model.term, 0, count - 1) : null;
  const mark = term === null ? null : [
    h("rect", {class: "termbox", x: x(term), y: 1, width: Math.max(x(1), 4), height: HEIGHT - 2}),
    h("circle", {class: "dot", cx: x(term + 1), cy: y(running[term]), r: 3.5})];
  const pickTerm = (event) => {
    const box = svg.getBoundingClientRect();
    app.chooseTerm(clamp(Math.floor(((event.clientX - box.left) / box.width) * count), 0, count - 1));
  };
  const svg = h("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "running",
    role: "img", "aria-label": `${count} terms in order; their running total ends at ${lens.total}`,
    onpointerdown: (event) => { pickTerm(event); },
    onpointermove: (event) => { if (event.buttons) pickTerm(event); },
  }, separators(lens, x), h("line", {class: "axis", x1: 0, x2: WIDTH, y1: zero, y2: zero}), rects,
  h("path", {class: "line", d: line}), mark);
  return h("div", {class: "chart"}, svg, groupNames(lens)
    ?? h("div", {class: "below"}, `${count} terms in order; the line is their running total`));
}

// At most so many values: of each stretch the one of largest magnitude.
function thin(values, most) {
  if (values.length <= most) return values;
  return Array.from({length: most}, (_, k) => {
    const part = values.slice(Math.floor((k * values.length) / most),
      Math.max(Math.floor(((k + 1) * values.length) / most), 1));
    return part.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  });
}

function separators(lens, x) {
  const [outer] = lens.sizes;
  if (lens.sizes.length < 3 || outer < 2 || outer > 64) return null;
  const inner = lens.products.length / outer;
  return Array.from({length: outer - 1}, (_, k) => h("line", {class: "axis", x1: x((k + 1) * inner),
    x2: x((k + 1) * inner), y1: 0, y2: HEIGHT}));
}

function groupNames(lens) {
  const [outer] = lens.sizes;
  if (lens.sizes.length < 3 || outer < 2 || outer > 16 || !lens.outer) return null;
  const [word, name] = lens.outer;
  return h("div", {class: "below groups"}, Array.from({length: outer}, (_, k) => h("span", {},
    outer > 6 ? String(name(k)) : `${word} ${name(k)}`)));
}
