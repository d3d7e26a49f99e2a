// What the right side shows for each kind of lens.
import { unravel } from "./arrays.js";
import { css, ink, rgb } from "./colour.js";
import { runningTotal } from "./chart.js";
import { h } from "./dom.js";
import { equation, numberGrid } from "./grids.js";
import { histograms } from "./histogram.js";
import { eight, four, indexed, plural, sign } from "./numbers.js";

const AROUND = 2; // rows and columns on each side of the pick

// -- sums --------------------------------------------------------------------------
// Window, filter and products of one channel (of the term's one, at term depth).
export function sumView(app, lens) {
  if (!lens.products?.length) return [result(app, lens)];
  return [(lens.window.length > 1 || lens.weights) && sumGrids(app, lens),
    lens.products.length > 1 && runningTotal(app, lens), termLine(app, lens), result(app, lens)];
}

// The last two axes of a lens's arrays as a matrix: [outer, rows, columns].
function shapeOf(lens) {
  const sizes = lens.sizes;
  if (sizes.length >= 3) return sizes.slice(-3);
  if (sizes.length === 2) return [1, ...sizes];
  const count = sizes[0] ?? 1;
  if (count <= 12) return [1, 1, count];
  const columns = Math.min(24, Math.ceil(Math.sqrt(count * 1.6)));
  return [1, Math.ceil(count / columns), columns];
}

function sumGrids(app, lens) {
  const [, rows, columns] = shapeOf(lens);
  const outer = app.outer(lens);
  const start = outer * rows * columns;
  const term = app.model.depth === 2 ? app.term(lens) - start : null;
  const count = lens.products.length;
  const grid = (values, [name, note], choose = true) => numberGrid({
    rows, columns, name, note, value: (r, c) => values[start + r * columns + c],
    mark: term === null ? null : [Math.floor(term / columns), term % columns],
    empty: (r, c) => start + r * columns + c >= count
      || (lens.empty?.(unravel(start + r * columns + c, lens.sizes)) ?? false),
    choose: choose && ((r, c) => app.chooseTerm(start + r * columns + c)),
  });
  const label = (k) => (typeof lens.labels?.[k] === "function" ? lens.labels[k](outer)
    : [(lens.labels?.[k] ?? "").replace("{k}", outer + (lens.starts?.[0] ?? 0)), ""]);
  const grids = [grid(lens.window, label(0))];
  if (lens.weights) grids.push(grid(lens.weights, label(1)));
  if (lens.weights || lens.divide) grids.push(grid(lens.products, [lens.weights ? "products" : "shares", ""]));
  return [h("div", {class: rows === 1 && columns > 5 ? "stacked" : null},
    equation(grids, lens.weights ? ["×", "="] : ["="])), channelSums(app, lens, rows * columns)];
}

// What each channel (filter, image) adds to the sum; a click shows it.
function channelSums(app, lens, inner) {
  const [outer] = lens.sizes;
  if (lens.sizes.length < 3 || outer < 2) return null;
  const shown = app.outer(lens);
  const [word, name] = lens.outer ?? [lens.axes[0], (k) => k + (lens.starts?.[0] ?? 0)];
  const sums = Array.from({length: outer}, (_, k) => lens.products
    .slice(k * inner, (k + 1) * inner).reduce((a, b) => a + b, 0));
  const top = Math.max(...sums.map(Math.abs)) || 1;
  const order = outer <= 32 ? sums.map((_, k) => k)
    : sums.map((_, k) => k).sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a])).slice(0, 32);
  return h("div", {class: "sums"},
    h("div", {class: "label"}, h("b", {}, `sum of each ${word}`),
      outer > 32 ? ` the 32 largest of ${outer}` : ""),
    order.map((k) => {
      const colour = rgb(sums[k], top);
      return h("button", {type: "button", class: "sum", "aria-pressed": String(k === shown),
        style: `background:${css(colour)};color:${ink(colour)}`, "data-key": `sum:${k}`,
        title: `${word} ${name(k)}: ${eight(sums[k])}`, onclick: () => app.showOuter(k)},
      String(name(k)));
    }));
}

function termLine(app, lens) {
  if (app.model.depth !== 2) return null;
  const k = app.term(lens);
  const place = unravel(k, lens.sizes);
  const what = lens.describe ? lens.describe(place)
    : [...lens.axes].map((axis, d) => `${axis} = ${place[d] + (lens.starts?.[d] ?? 0)}`).join(", ");
  return h("p", {class: "total", "data-term": String(k)},
    h("span", {class: "quiet"}, `term ${k + 1} of ${lens.products.length}: ${what}`), " ",
    lens.weights ? `${four(lens.window[k])} × ${four(lens.weights[k])} = ` : "",
    h("span", {"data-product": String(lens.products[k])}, four(lens.products[k])),
    h("span", {class: "quiet"}, " running total "),
    h("b", {class: "value", "data-running": String(lens.running[k])}, four(lens.running[k])));
}

// The sum, what is added to it, and how it compares with what was recorded.
export function result(app, lens) {
  const parts = [];
  const quiet = (text) => h("span", {class: "quiet"}, ` ${text} `);
  if (lens.products?.length > 1) {
    parts.push(four(lens.total), quiet(`sum of ${plural(lens.products.length, "term")}`));
    if (lens.divisor !== undefined && lens.divisor !== null) parts.push(`/ ${lens.divisor} `);
    if (lens.bias !== undefined && lens.bias !== null) {
      parts.push(`${sign(lens.bias)} ${four(Math.abs(lens.bias))}`, quiet("bias"));
    }
    if (lens.added !== undefined && lens.added !== null) {
      parts.push(`${sign(lens.added)} ${four(Math.abs(lens.added))}`, quiet("shortcut"));
    }
    if (lens.then) {
      parts.push(quiet(lens.then));
    } else if (lens.activation) {
      parts.push("= ", four(lens.z), quiet(`before ${lens.activation}, which makes it`));
    } else {
      parts.push("= ");
    }
  }
  parts.push(h("b", {class: "value", "data-sum": String(lens.sum)}, four(lens.sum)),
    quiet(lens.name));
  return [h("p", {class: "total"}, parts), h("p", {class: "recorded"}, "Recorded ",
    h("b", {"data-recorded": String(lens.recorded)}, eight(lens.recorded)), `: ${lens.agreement}.`)];
}

// -- a choice among a window's cells -------------------------------------------------
export function choiceView(app, lens) {
  if (!lens.window?.length) return [result(app, lens)];
  const [, rows, columns] = shapeOf(lens);
  const [name, note] = typeof lens.labels?.[0] === "function" ? lens.labels[0]()
    : [lens.labels?.[0] ?? "window", ""];
  return [equation([
    numberGrid({rows, columns, name, note, value: (r, c) => lens.window[r * columns + c],
      mark: lens.winner, markKind: "winner", empty: (r, c) => lens.empty?.([r, c]) ?? false}),
    numberGrid({rows: 1, columns: 1, name: lens.chosen ?? "largest", value: () => lens.sum}),
  ], ["→"]), result(app, lens)];
}

// -- element by element ------------------------------------------------------------
// The pick and its neighbours in every array that takes part.
export function pointwiseView(app, lens) {
  const {pick, target} = app.model;
  const shape = target.array.shape;
  const count = shape.length;
  const [height, width] = [count > 1 ? shape[count - 2] : 1, count ? shape[count - 1] : 1];
  const vector = count <= 2;
  const [r0, rows] = vector ? [pick[0] ?? 0, 1] : span(pick[count - 2], height);
  const [c0, columns] = span(pick[count - 1] ?? 0, width, vector ? 4 : AROUND);
  const where = (r, c) => {
    if (!count) return [];
    if (count === 1) return [c0 + c];
    return [...pick.slice(0, -2), r0 + r, c0 + c];
  };
  const mark = [vector ? 0 : pick[count - 2] - r0, (pick[count - 1] ?? 0) - c0];
  const grids = lens.panels.map(({caption: [name, note], value}) => numberGrid({
    rows, columns, name, note, mark, value: (r, c) => value(where(r, c)),
    choose: (r, c) => app.choose(where(r, c))}));
  return [h("div", {class: vector ? "stacked" : ""}, equation(grids, lens.signs)),
    partsLine(lens), result(app, lens)];
}

function span(at, size, around = AROUND) {
  const count = Math.min(size, 2 * around + 1);
  return [Math.max(0, Math.min(at - around, size - count)), count];
}

function partsLine(lens) {
  const scalars = Object.entries(lens.parts ?? {}).filter(([, value]) => typeof value === "number");
  if (!scalars.length) return null;
  return h("p", {class: "total"}, scalars.map(([name, value], k) => [
    k ? ", " : "", h("span", {class: "quiet"}, `${name} = `), four(value)]));
}

// -- batch normalization -------------------------------------------------------------
export function normView(app, lens) {
  return [histograms(lens.histograms), partsLine(lens), result(app, lens)];
}

// A few terms, each with its reason, times a factor.
export function termsView(app, lens) {
  const top = Math.max(...lens.terms.map(({value}) => Math.abs(value)));
  const sum = lens.terms.reduce((a, {value}) => a + value, 0);
  const row = (name, value, what, strong) => h("tr", {class: strong ? "strong" : null},
    h("td", {class: "left"}, name), h("td", {class: "num"}, four(value)),
    h("td", {class: "bar"}, bar(value, top)), h("td", {class: "left quiet"}, what));
  return [h("table", {class: "terms"}, h("tbody", {},
    lens.terms.map(({name, value, what}) => row(name, value, what)),
    lens.terms.length > 1 && row("together", sum, "", true))),
  h("p", {class: "total"}, four(sum), h("span", {class: "quiet"}, ` × ${lens.scale.name} = `),
    `${four(lens.scale.value)} = `, h("b", {class: "value"}, four(lens.sum))),
  partsLine(lens), result(app, lens)];
}

function bar(value, top) {
  const share = top ? Math.abs(value) / top : 0;
  return h("i", {class: "barbox", "aria-hidden": "true"}, h("i", {style:
    `width:${share * 50}%;margin-left:${value < 0 ? 50 - share * 50 : 50}%;`
    + `background:${css(rgb(value, top))}`}));
}

// -- joining ------------------------------------------------------------------------
export function joinView(app, lens) {
  const total = lens.ranges[lens.ranges.length - 1].end;
  const {node} = app.model.step;
  return [h("div", {class: "label"}, h("b", {}, `axis ${lens.axis}`), ` of ${total}, by input`),
    h("div", {class: "ranges"}, lens.ranges.map(({letter, start, end, own}) => h("div", {
      class: own ? "range own" : "range", style: `flex-grow:${end - start}`,
      title: `${app.nameOf(node, letter)}: ${start} to ${end - 1}`},
    h("b", {}, app.nameOf(node, letter)), h("span", {}, `${start} to ${end - 1}`)))),
    result(app, lens)];
}

// -- single values --------------------------------------------------------------------
export function valueView(app, lens) {
  return [partsLine(lens), result(app, lens)];
}

// -- classes ------------------------------------------------------------------------
export function classesView(app, lens) {
  const {scores, p, difference, right, n} = lens.classes;
  const list = p.map((_, k) => k);
  const some = list.length <= 16 ? list : [...new Set([right, lens.pick, ...[...list]
    .sort((a, b) => p[b] - p[a]).slice(0, 14)])].sort((a, b) => a - b);
  const top = Math.max(...difference.map(Math.abs));
  const {backward} = app.model;
  return [h("table", {class: "terms classes"}, h("thead", {}, h("tr", {},
    ["class", "score x", "p", "", "p − y"].map((text, k) => h("th", {class: k ? null : "left"}, text)))),
  h("tbody", {}, some.map((k) => h("tr", {
    class: [k === right && "strong", backward && k === lens.pick && "picked"].filter(Boolean).join(" "),
    onclick: backward ? () => app.choose([n, k]) : null},
  h("td", {class: "left"}, `${k}${k === right ? ", the right one" : ""}`),
  h("td", {class: "num"}, four(scores[k])), h("td", {class: "num", "data-p": String(p[k])}, four(p[k])),
  h("td", {class: "bar"}, bar(difference[k], top)),
  h("td", {class: "num"}, four(difference[k])))))),
  some.length < list.length && h("p", {class: "note"}, `${some.length} of ${list.length} classes.`),
  result(app, lens)];
}

// -- a fork -------------------------------------------------------------------------
// In backward: the gradients of all users of this output, and their sum at the pick.
export function forkView(app, heat) {
  const {model} = app;
  const {node} = model.step;
  const shares = model.shares(node);
  if (!model.backward || shares.length < 2) return null;
  const pick = model.pickOf(node.output);
  const whole = shares.every(({grad}) => grad.whole);
  const values = whole ? shares.map(({grad}) => grad.at(pick)) : [];
  const total = values.reduce((a, b) => node.y.round(a + b), 0);
  return h("section", {class: "fork"},
    h("h2", {}, `dy came back from ${shares.length} users of ${node.name} and was added up`),
    h("div", {class: "shares"}, shares.map(({node: user, grad}) => h("figure", {},
      h("div", {class: "label"}, "from ", h("b", {}, user.name)), heat(grad, pick, user)))),
    whole && h("p", {class: "total"}, values.map((value, k) => [k ? ` ${sign(value)} ` : "",
      four(k ? Math.abs(value) : value)]), " = ",
    h("b", {class: "value", "data-fork": String(total)}, four(total)),
    h("span", {class: "quiet"}, ` ${indexed("dy", pick)}`)));
}
