// Lenses on what moves elements, or adds them up: joining, reshaping, padding, sums and means.
import { unravel } from "./arrays.js";
import { up } from "./follow.js";
import { indexed } from "./numbers.js";
import { sumLens } from "./sums.js";

function cat(node, index) {
  const axis = node.settings.dim;
  let start = 0;
  const ranges = node.letters.map((letter) => {
    const range = {letter, start, end: (start += node.inputs[letter].shape[axis])};
    return {...range, own: index[axis] >= range.start && index[axis] < range.end};
  });
  const {letter} = ranges.find((range) => range.own);
  const source = up(node, letter, index);
  return {kind: "join", ranges, axis, sum: node.inputs[letter].at(source), rounding: 0,
    formula: indexed(letter, source), note: `Element ${index[axis]} along axis ${axis} is element `
      + `${source[axis]} of input ${letter}; nothing is computed.`};
}

function catGradient(node, index, letter) {
  const axis = node.settings.dim;
  let start = 0;
  const ranges = node.letters.map((k) => {
    const range = {letter: k, start, end: (start += node.inputs[k].shape[axis]), own: k === letter};
    return range;
  });
  const own_ = ranges.find((range) => range.own);
  const place = index.map((k, d) => (d === axis ? k + own_.start : k));
  return {kind: "join", ranges, axis, sum: node.back.dy.at(place), rounding: 0,
    formula: indexed("dy", place), note: "Each input gets its own part of the gradient."};
}

function moved(node, index) {
  if (node.extra.source?.at(index) < 0) {
    return {kind: "value", sum: node.y.round(node.settings.value), rounding: 0,
      formula: String(node.settings.value), note: "Padding: no element of x is here."};
  }
  const place = up(node, "x", index);
  return {kind: "value", sum: node.inputs.x.at(place), rounding: 0, formula: indexed("x", place),
    parts: {[indexed("x", place)]: node.inputs.x.at(place)}, note: "The element was only moved."};
}

function movedGradient(node, index) {
  const {dy} = node.back;
  const place = node.inputs.x.offset(index);
  const places = [];
  if (node.extra.source) {
    node.extra.source.values.forEach((source, k) => { if (source === place) places.push(k); });
  } else places.push(place);
  const indices = places.map((k) => unravel(k, dy.shape));
  const note = indices.length === 1 ? "The element was only moved, and its gradient with it."
    : indices.length ? "The element is in y several times: its gradients add up."
      : "This element is not in y, so it has no influence.";
  return {...sumLens(node.back.grads.x, [indices.length], "k", ([k]) => dy.at(indices[k]), null, {
    formula: indices.slice(0, 4).map((k) => indexed("dy", k)).join(" + ") || "0", note,
    labels: [() => ["dy", ""]], marks: () => ({}),
    places: ([k]) => ({dy: {index: indices[k]}}), describe: ([k]) => `dy[${indices[k]}]`})};
}

// -- sums and means ----------------------------------------------------------------
function reduced(node, index) {
  const {dims, keepdim} = node.settings;
  const {x} = node.inputs;
  const axes = [...dims];
  const letters = [..."nmlkjihg"].slice(0, axes.length);
  const rest = keepdim ? index.filter((_, k) => !axes.includes(k)) : [...index];
  const full = (place) => {
    const [own_, others] = [[...place], [...rest]];
    return x.shape.map((_, k) => (axes.includes(k) ? own_.shift() : others.shift()));
  };
  const sizes = axes.map((k) => x.shape[k]);
  const count = sizes.reduce((a, b) => a * b, 1);
  const mean = node.operation === "Mean";
  return sumLens(node.y, sizes, letters, (place) => x.at(full(place)), null, {
    ...(mean ? {divisor: count} : {}),
    formula: `${mean ? `1/${count} ` : ""}Σ ${indexed("x", full(letters))}`,
    labels: [() => ["x", ""]], marks: () => ({}), places: (place) => ({x: {index: full(place)}}),
    describe: (place) => `x[${full(place)}]`,
  });
}

function reducedGradient(node, index) {
  const {dims, keepdim} = node.settings;
  const {dy} = node.back;
  const place = index.map((k, d) => (dims.includes(d) ? 0 : k))
    .filter((_, d) => keepdim || !dims.includes(d));
  const count = node.operation === "Mean"
    ? dims.reduce((a, d) => a * node.inputs.x.shape[d], 1) : 1;
  return {kind: "value", sum: dy.round(dy.at(place) / count), rounding: 0,
    formula: indexed("dy", place) + (count > 1 ? ` / ${count}` : ""),
    parts: {[indexed("dy", place)]: dy.at(place), ...(count > 1 ? {elements: count} : {})},
    note: "Every element that went into the sum gets the same gradient."};
}

const moves = {y: moved, x: movedGradient};
const reductions = {y: reduced, x: reducedGradient};
export const MOVING_LENSES = {
  Cat: {y: cat, gradient: catGradient},
  Reshape: moves, Permute: moves, Index: moves, ChannelShuffle: moves, Pad: moves,
  Sum: reductions, Mean: reductions,
};
