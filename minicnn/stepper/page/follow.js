// How one value is followed through the net: from an element of an input to one of the output that
// it goes into, and back.
import { unravel } from "./arrays.js";

const WINDOWED = new Set(["Conv2d", "DepthwiseConv2d", "MaxPool2d", "AvgPool2d"]);

// Kernel, stride, padding and dilation of an operation with windows.
export function geometry(node) {
  const {stride, padding, dilation, kernel} = node.settings;
  return {kernel: kernel ?? node.inputs.w.shape.slice(2), stride, padding,
    dilation: dilation ?? [1, 1]};
}

export const isConv = (node) => node.operation === "Conv2d" || node.operation === "DepthwiseConv2d";

// The element of the output that element `index` of input `letter` goes into.
export function down(node, letter, index) {
  const shape = node.y.shape;
  if (!node.ours) return same(index, shape);
  if (node.operation === "Reshape") return unravel(node.inputs.x.offset(index), shape);
  if (node.extra.source?.whole) return moved(node, index, shape);
  if (node.operation === "Cat") return offsetInCat(node, letter, index, 1);
  if (node.operation === "Moments") return [0, index[1]];
  if (letter === "moments") return shape.map((_, k) => (k === 1 ? index[1] : 0));
  if (node.operation === "MaxUnpool2d" && node.inputs.place.whole) {
    const place = node.inputs.place.at(index);
    return [...index.slice(0, 2), Math.floor(place / shape[3]), place % shape[3]];
  }
  if (WINDOWED.has(node.operation) && letter === "x") {
    const {kernel, stride, padding, dilation} = geometry(node);
    const pixel = [0, 1].map((k) => Math.floor(
      (index[k + 2] + padding[k] - dilation[k] * Math.floor((kernel[k] - 1) / 2)) / stride[k]));
    const channel = isConv(node) ? strongest(node.y, index[0], pixel) : index[1];
    return [index[0], channel, ...pixel];
  }
  if (node.operation === "Linear" && letter === "x") {
    return [...index.slice(0, -1), largestInRow(node.y, index.slice(0, -1))];
  }
  if (node.inputs[letter]?.shape.length === 4 && shape.length === 4) return scaled(index,
    node.inputs[letter].shape, shape);
  return same(index, shape);
}

// The element of input `letter` that element `index` of the output owes most to.
export function up(node, letter, index) {
  const array = node.inputs[letter] ?? node.y;
  const {shape} = array;
  if (!node.ours) return same(index, shape);
  const {operation} = node;
  if (isConv(node) && letter === "w") return [index[1], 0, ...shape.slice(2).map((n) => n >> 1)];
  if (operation === "PReLU" && letter === "a") return [shape[0] === 1 ? 0 : index[1]];
  if (letter === "b" || (letter === "w" && shape.length === 1)) return [index[1] ?? index[0]];
  if (operation === "Linear" && letter === "w") {
    return [index[index.length - 1], strongestTerm(node, index)];
  }
  if (operation === "Linear" && letter === "x") {
    return [...index.slice(0, -1), strongestTerm(node, index)];
  }
  if (operation === "Reshape") return unravel(node.y.offset(index), shape);
  if (node.extra.source?.whole && node.extra.source.at(index) >= 0) {
    return unravel(node.extra.source.at(index), shape);
  }
  if (operation === "Cat") return offsetInCat(node, letter, index, -1);
  if (operation === "MaxPool2d" && node.inputs.x.whole) return winner(node, index);
  if (operation === "Moments") return shape.map((_, k) => (k === 1 ? index[1] : 0));
  if (letter === "moments") return [0, index[1]];
  if (operation === "MaxUnpool2d" && node.inputs.place.whole) {
    return laidAt(node, index).pop() ?? scaled(index, node.y.shape, shape);
  }
  if (WINDOWED.has(operation) && letter === "x") {
    const {kernel, stride, padding, dilation} = geometry(node);
    const pixel = [0, 1].map((k) => index[k + 2] * stride[k] - padding[k]
      + dilation[k] * Math.floor((kernel[k] - 1) / 2));
    const channel = isConv(node) ? strongest(array, index[0], pixel) : index[1];
    return [index[0], channel, ...pixel];
  }
  if (shape.length === 4 && node.y.shape.length === 4) return scaled(index, node.y.shape, shape);
  return same(index, shape);
}

// The same index counted from the last axis, where the shapes differ.
function same(index, shape) {
  const extra = index.length - shape.length;
  return shape.map((_, k) => index[k + extra] ?? 0);
}

// The same place in a map of another size.
function scaled(index, from, to) {
  return index.map((k, axis) => (axis < 2 ? k : Math.floor((k * to[axis]) / from[axis])));
}

function moved(node, index, shape) {
  const place = node.inputs.x.offset(index);
  const found = node.extra.source.values.indexOf(place);
  return found < 0 ? same(index, shape) : unravel(found, shape);
}

// Along the axis that Cat joins, an input begins where those before it end.
function offsetInCat(node, letter, index, sign) {
  const axis = node.settings.dim;
  let start = 0;
  for (const other of node.letters) {
    if (other === letter) break;
    start += node.inputs[other].shape[axis];
  }
  return index.map((k, d) => (d === axis ? k + sign * start : k));
}

// The channel of largest magnitude at a pixel.
function strongest(array, n, pixel) {
  const [, C, H, W] = array.shape;
  if (!array.whole) return 0;
  const [h, w] = [Math.min(Math.max(pixel[0], 0), H - 1), Math.min(Math.max(pixel[1], 0), W - 1)];
  return argmax(C, (c) => Math.abs(array.at([n, c, h, w])));
}

function largestInRow(array, row) {
  if (!array.whole) return 0;
  return argmax(array.shape[array.shape.length - 1], (k) => Math.abs(array.at([...row, k])));
}

function strongestTerm(node, index) {
  const {x, w} = node.inputs;
  if (!x.whole || !w.whole) return 0;
  const [row, o] = [index.slice(0, -1), index[index.length - 1]];
  return argmax(w.shape[1], (i) => Math.abs(x.at([...row, i]) * w.at([o, i])));
}

function argmax(count, value) {
  let [best, place] = [-Infinity, 0];
  for (let k = 0; k < count; k++) {
    const here = value(k);
    if (here > best) [best, place] = [here, k];
  }
  return place;
}

// The pixels that MaxUnpool2d was told to put at (p, q), as indices: the last one lies there.
export function laidAt(node, [n, c, p, q]) {
  const {place} = node.inputs;
  const [, , H, W] = place.shape;
  const found = [];
  for (let h = 0; h < H; h++) {
    for (let w = 0; w < W; w++) {
      if (place.at([n, c, h, w]) === p * node.y.shape[3] + q) found.push([n, c, h, w]);
    }
  }
  return found;
}

// The pixel that wins a window of MaxPool2d: the first of the largest, never in the padding.
export function winner(node, [n, c, i, j]) {
  const {kernel, stride, padding, dilation} = geometry(node);
  const [, , H, W] = node.inputs.x.shape;
  let [best, place] = [-Infinity, null];
  for (let u = 0; u < kernel[0]; u++) {
    for (let v = 0; v < kernel[1]; v++) {
      const [h, w] = [i * stride[0] + u * dilation[0] - padding[0],
        j * stride[1] + v * dilation[1] - padding[1]];
      if (h < 0 || w < 0 || h >= H || w >= W) continue;
      const value = node.inputs.x.at([n, c, h, w]);
      if (place === null || value > best) [best, place] = [value, [n, c, h, w]];
    }
  }
  return place ?? [n, c, 0, 0];
}
