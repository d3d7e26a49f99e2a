// Lenses on upsampling.
import { indexed } from "./numbers.js";
import { sumLens } from "./sums.js";

// Along an axis output i lies t behind pixel `low`: it reads that one with 1 - t, the next with t.
function position(node, axis, i) {
  const table = [node.extra.rows, node.extra.columns][axis];
  return [table.at([0, i]), table.at([1, i])];
}

// The first pixel that output i reads; the weights of it and of the next one.
function pixelsOf(node, axis, i) {
  const [low, t] = position(node, axis, i);
  const weight = node.y.round(t);
  return [low, weight ? [node.y.round(1 - weight), weight] : [1]];
}

// The first output that reads a pixel; the weights that it and others give it.
function outputsAt(node, axis, pixel) {
  let [first, weights] = [0, []];
  for (let i = 0; i < node.y.shape[axis + 2]; i++) {
    const [low, found] = pixelsOf(node, axis, i);
    const weight = found[pixel - low];
    if (!weight) continue;
    if (!weights.length) first = i;
    weights.push(weight);
  }
  return [first, weights];
}

function upsample(node, [n, c, i, j]) {
  const {x} = node.inputs;
  const [[top, rows], [left, columns]] = [pixelsOf(node, 0, i), pixelsOf(node, 1, j)];
  const at = ([u, v]) => [n, c, top + u, left + v];
  const marks = () => ({x: [{lead: [n, c], rect: [top, left, rows.length, columns.length]}]});
  if (node.operation === "UpsampleNearest2d") {
    return {kind: "value", sum: x.at(at([0, 0])), rounding: 0, marks,
      formula: indexed("x", at([0, 0])), parts: {[indexed("x", at([0, 0]))]: x.at(at([0, 0]))},
      note: "A copy of the one pixel that this place falls into."};
  }
  const [row, column] = [position(node, 0, i), position(node, 1, j)].map(
    ([low, t]) => Number((low + t).toPrecision(4)));
  return sumLens(node.y, [rows.length, columns.length], "hw", (place) => x.at(at(place)),
    ([u, v]) => node.y.round(rows[u] * columns[v]), {
      several: 2, starts: [top, left], marks,
      formula: `Σ x[${n},${c},h,w] · weight[h] · weight[w]`,
      labels: [() => ["pixels", `of x[${n},${c}]`], () => ["weights", ""]],
      note: `This place is at row ${row}, column ${column} of x: the nearer a pixel, the larger its `
        + "weight.",
      places: (place) => ({x: {lead: [n, c], cell: at(place).slice(2)}}),
      describe: (place) => `pixel (${at(place).slice(2)})`,
    });
}

function upsampleGradient(node, [n, c, h, w]) {
  const {dy} = node.back;
  const [[top, rows], [left, columns]] = [outputsAt(node, 0, h), outputsAt(node, 1, w)];
  const sizes = [rows.length, columns.length];
  const at = ([i, j]) => [n, c, top + i, left + j];
  const copies = node.operation === "UpsampleNearest2d";
  const note = copies ? "The outputs that are copies of this pixel."
    : "Each output that read this pixel gives back with the weight it read with.";
  return sumLens(node.back.grads.x, sizes, "ij", (place) => dy.at(at(place)),
    copies ? null : ([i, j]) => dy.round(rows[i] * columns[j]), {
      several: 2, starts: [top, left],
      formula: `Σ dy[${n},${c},i,j]${copies ? "" : " · weight[i] · weight[j]"}`,
      labels: [() => [`dy[${n},${c}]`, "outputs"], () => ["weights", ""]],
      note: sizes[0] * sizes[1] ? note : "No output reads this pixel, so it has no influence.",
      marks: () => ({dy: [{lead: [n, c], rect: [top, left, ...sizes]}]}),
      places: (place) => ({dy: {lead: [n, c], cell: at(place).slice(2)}}),
      describe: (place) => `output (${at(place).slice(2)})`,
    });
}

const upsampling = {y: upsample, x: upsampleGradient};
export const RESAMPLING_LENSES = {UpsampleNearest2d: upsampling, UpsampleBilinear2d: upsampling};
