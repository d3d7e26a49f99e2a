// The right side: tabs, and below them the lens, im2col, or the code.
import { byId, fill, h, segments } from "./dom.js";
import { codeView } from "./code.js";
import { geometry, isConv } from "./follow.js";
import { heatMap } from "./maps.js";
import { four, indexed } from "./numbers.js";
import { NdArray } from "./arrays.js";
import { threadsView } from "./threads.js";
import { planeOf } from "./planes.js";
import { choiceView, classesView, forkView, joinView, normView, pointwiseView, sumView,
  termsView, valueView } from "./views.js";

const VIEWS = {sum: sumView, choice: choiceView, pointwise: pointwiseView, norm: normView,
  terms: termsView, join: joinView, value: valueView, classes: classesView};

export function drawLens(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const tabs = [["lens", "Lens"]];
  if (hasColumns(app)) tabs.push(["im2col", "im2col"]);
  if (model.sources[node.operation]) tabs.push(["code", "Code"]);
  if (app.launchesOf(node).length) tabs.push(["threads", "Threads"]);
  const tab = tabs.some(([name]) => name === model.tab) ? model.tab : "lens";
  fill(byId("lens"),
    h("div", {class: "tabs"}, segments("View", tabs, tab, (name) => app.chooseTab(name)),
      gradientChoice(app)),
    tab === "code" ? codeView(app, lens) : tab === "threads" ? threadsView(app)
      : tab === "im2col" ? columnsView(app, lens) : lensView(app, lens));
  showCurrentLine();
}

// A long listing is scrolled to the line that it is at.
function showCurrentLine() {
  const line = byId("lens").querySelector(".listing .current");
  const listing = line?.closest(".listing");
  if (listing) listing.scrollTop = line.offsetTop - listing.clientHeight / 2;
}

// In backward: whose gradient.
function gradientChoice(app) {
  const {model} = app;
  const {node} = model.step;
  const letters = model.backward ? model.gradients(node) : [];
  if (letters.length < 2) return null;
  return segments("Gradient of", letters.map((letter) => [letter, `d${letter}`,
    `gradient of ${node.titles[letter]}`]), model.target.letter, (letter) => app.chooseGradient(letter));
}

function lensView(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const heat = (grad, pick) => heatMap(app, {array: grad, index: pick, name: "its share",
    marks: markAt(grad, pick)});
  return [
    forkView(app, heat),
    lens ? VIEWS[lens.kind](app, lens) : h("p", {class: "note"}, noLens(app, node)),
    lens?.note && h("p", {class: "note"}, lens.note),
  ];
}

export function markAt(array, index) {
  const cell = planeOf(array, index, false).cell(index);
  return cell ? [{rect: [...(array.shape.length >= 3 ? index.slice(-2) : cell), 1, 1],
    kind: "pick"}] : [];
}

function noLens(app, node) {
  const {letter, array} = app.model.target;
  if (node.lenses?.[letter]?.length) {
    return `${indexed(app.model.target.name, app.model.pick)} was not kept in full: this net is larger `
      + "than what is kept of it. The elements named under the arrays were.";
  }
  if (!node.ours) return `${node.operation} is no operation of minicnn's: its arrays are at the left.`;
  if (!array) return "Nothing asked for a gradient here.";
  return `There is no lens for ${node.operation}: its arrays are at the left.`;
}

// -- im2col --------------------------------------------------------------------------
const ROWS = 24; // of the matrix, around the picked one

function hasColumns({model}) {
  const {node, direction} = model.step;
  return direction === "forward" && isConv(node) && node.whole && node.settings.groups === 1;
}

// The window as one row of the matrix that the convolution multiplies: (u, v, c) in order.
function columnsView(app, lens) {
  const {model} = app;
  const {node} = model.step;
  const {x, w} = node.inputs;
  const {stride: [SH, SW], padding: [PH, PW], dilation: [DH, DW]} = geometry(node);
  const [, , OH, OW] = node.y.shape;
  const [O, C, KH, KW] = w.shape;
  const [, , H, W] = x.shape;
  const [n, o, i, j] = model.pick;
  const columns = KH * KW * C;
  const cell = (row, k) => {
    const [c, v, u] = [k % C, Math.floor(k / C) % KW, Math.floor(k / (C * KW))];
    const [q, p] = [row % OW, Math.floor(row / OW)];
    const [r, s] = [p * SH + u * DH - PH, q * SW + v * DW - PW];
    return r < 0 || s < 0 || r >= H || s >= W ? 0 : x.at([n, c, r, s]);
  };
  const weight = (k) => w.at([o, k % C, Math.floor(k / (C * KW)), Math.floor(k / C) % KW]);
  const here = i * OW + j;
  const total = OH * OW;
  const first = Math.max(0, Math.min(here - ROWS / 2, total - ROWS));
  const rows = Math.min(ROWS, total);
  const col = made([rows, columns], (r, k) => cell(first + r, k));
  const one = made([1, columns], (_, k) => cell(here, k));
  const filter = made([1, columns], (_, k) => weight(k));
  const map = (array, name, marks = []) => heatMap(app, {array, index: [0, 0], matrix: true, name,
    marks, largest: 16, choose: array === col ? ([r]) => app.choose([n, o, Math.floor((first + r) / OW),
      (first + r) % OW]) : null});
  return h("div", {class: "im2col"},
    h("p", {class: "note"}, `im2col writes every window as a row: a matrix col of ${x.shape[0] * total}`
      + ` × ${columns}. The convolution is then one matrix product, y = col · w′ + b, with w′ `
      + `${columns} × ${O}.`),
    h("div", {class: "label"}, h("b", {}, "col"), ` rows ${first} to ${first + rows - 1} of image ${n}; `
      + `the framed one is window (${i}, ${j})`),
    map(col, "col", [{rect: [here - first, 0, 1, columns], kind: "hue"}]),
    h("div", {class: "label"}, h("b", {}, `col[${here}]`), ` the window, ${columns} numbers by (u, v, c)`),
    map(one, `col[${here}]`),
    h("div", {class: "label"}, h("b", {}, `w′[:, ${o}]`), " the filter, in the same order"),
    map(filter, `w'[${o}]`),
    h("p", {class: "total"}, `row × column + b[${o}] = `, h("b", {class: "value"}, four(lens.sum)),
      h("span", {class: "quiet"}, ` ${lens.name}`)));
}

// An array computed here.
function made(shape, value) {
  const array = new NdArray({shape, dtype: "f4", data: ""});
  array.decoded = new Float32Array(shape[0] * shape[1]);
  for (let r = 0; r < shape[0]; r++) {
    for (let c = 0; c < shape[1]; c++) array.decoded[r * shape[1] + c] = value(r, c);
  }
  return array;
}
