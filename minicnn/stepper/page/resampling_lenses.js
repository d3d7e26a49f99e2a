// Lenses on upsampling and unpooling.
import { laidAt } from "./follow.js";
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

// -- unpooling ---------------------------------------------------------------------
function unpool(node, [n, c, p, q]) {
  const {x} = node.inputs;
  const place = p * node.y.shape[3] + q;
  const pixels = laidAt(node, [n, c, p, q]);
  if (!pixels.length) {
    return {kind: "value", sum: 0, rounding: 0, formula: "0",
      note: `No x has the place ${place}: no maximum was found here.`};
  }
  const index = pixels[pixels.length - 1];
  const marks = [{lead: [n, c], rect: [...index.slice(2), 1, 1]}];
  return {kind: "value", sum: x.at(index), rounding: 0, formula: indexed("x", index),
    parts: {[indexed("x", index)]: x.at(index), [indexed("place", index)]: place},
    note: pixels.length === 1 ? "The maximum is put back where it was found."
      : `${pixels.length} elements of x have this place: the last stays.`,
    marks: () => ({x: marks, place: marks})};
}

function unpoolGradient(node, [n, c, h, w]) {
  const {dy} = node.back;
  const OW = node.y.shape[3];
  const place = node.inputs.place.at([n, c, h, w]);
  const index = [n, c, Math.floor(place / OW), place % OW];
  const stays = String(laidAt(node, index).pop()) === String([n, c, h, w]);
  return {kind: "value", sum: stays ? dy.at(index) : 0, rounding: 0,
    formula: stays ? indexed("dy", index) : "0",
    parts: {[indexed("place", [n, c, h, w])]: place, [indexed("dy", index)]: dy.at(index)},
    note: stays ? "The gradient of the place that it was put at."
      : "Another x with the same place lies there, so this one has no influence.",
    marks: () => ({dy: [{lead: [n, c], rect: [...index.slice(2), 1, 1]}],
      place: [{lead: [n, c], rect: [h, w, 1, 1]}]})};
}

const upsampling = {y: upsample, x: upsampleGradient};
export const RESAMPLING_LENSES = {MaxUnpool2d: {y: unpool, x: unpoolGradient},
  UpsampleNearest2d: upsampling, UpsampleBilinear2d: upsampling};
