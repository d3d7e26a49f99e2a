// A number as a sum of products, added up one after the other in the recorded dtype: as the loops
// backend does, and so to the same bits.
import { NdArray } from "./arrays.js";

export const SEVERAL = 16; // roundings of one number, where libraries compute in different ways
export const epsilonOf = (array) => (array.double ? 2 ** -52 : 2 ** -23);

// A lens on a sum.
//   sizes, axes, starts: of the terms; the first index of each axis in the formula
//   first(place), second(place): the factors of a term (null: nothing there, such as padding)
//   given: more fields: formula, labels, bias, divisor, marks, note, places(place)
export function sumLens(array, sizes, axes, first, second, given = {}) {
  const size = sizes.reduce((a, b) => a * b, 1);
  const round = (value) => array.round(value);
  const [window, weights, products, running] = [[], second && [], [], []];
  const place = sizes.map(() => 0);
  let [total, magnitude] = [0, 0];
  for (let k = 0; k < size; k++) {
    const a = first(place) ?? 0;
    window.push(a);
    let product = a;
    if (second) {
      const b = second(place) ?? 0;
      weights.push(b);
      product = given.divide ? round(a / given.divide(place)) : round(a * b);
    } else if (given.divide) {
      product = round(a / given.divide(place));
    }
    products.push(product);
    total = round(total + product);
    running.push(total);
    magnitude += Math.abs(product);
    for (let d = sizes.length - 1; d >= 0 && ++place[d] === sizes[d]; d--) place[d] = 0;
  }
  const lens = {kind: "sum", sizes, axes, starts: sizes.map(() => 0), window, weights, products,
    running, total, ...given};
  return finish(array, lens, size, magnitude);
}

// Divisor, bias and shortcut, activation; and how far rounding alone can go.
export function finish(array, lens, size, magnitude) {
  const round = (value) => array.round(value);
  const epsilon = epsilonOf(array);
  let value = lens.total;
  if (lens.divisor !== undefined) {
    value = round(value / lens.divisor);
    magnitude /= Math.abs(lens.divisor);
  }
  if (lens.bias !== undefined && lens.bias !== null) {
    value = round(value + lens.bias);
    magnitude += Math.abs(lens.bias);
  }
  let rounding = epsilon * (size + 2) * magnitude;
  if (lens.added !== undefined && lens.added !== null) {
    value = round(value + lens.added);
    rounding += 2 * epsilon * Math.abs(lens.added);
  }
  if (lens.activation) {
    lens.z = value;
    value = round(ACTIVATIONS[lens.activation](value));
    rounding = 1.5 * rounding + 16 * epsilon * Math.abs(lens.z);
  }
  lens.sum = value;
  lens.rounding = (lens.rounding ?? 0) + rounding * (lens.several ?? 1);
  return lens;
}

const sigmoid = (x) => (Math.tanh(x / 2) + 1) / 2;
export const ACTIVATIONS = {
  relu: (z) => Math.max(z, 0),
  relu6: (z) => Math.min(Math.max(z, 0), 6),
  silu: (z) => z * sigmoid(z),
  hardswish: (z) => (z * Math.min(Math.max(z + 3, 0), 6)) / 6,
};

// How the sum compares with what was recorded, in words.
export function agreement(lens, backend) {
  const {sum, recorded} = lens;
  if (Object.is(sum, recorded)) return "the same bits";
  if (sum === recorded) return "the same value (a zero of the other sign)";
  const apart = Math.abs(sum - recorded);
  if (!(apart <= lens.rounding)) {
    return `${apart.toExponential(1)} apart, more than rounding explains: it was computed in another way`;
  }
  const order = lens.products?.length > 1 ? `: ${backend} adds in another order` : "";
  return `${apart.toExponential(1)} apart, by rounding${order}`;
}

// A lens that Python opened and put into the page: the same fields, from its arrays.
export function storedLens(raw) {
  const open = (data) => (data ? new NdArray(data) : null);
  const [window, weights, products] = [open(raw.window), open(raw.weights), open(raw.products)];
  const parts = Object.fromEntries(Object.entries(raw.parts).map(
    ([name, part]) => [name, part?.data ? new NdArray(part).values : part]));
  const lens = {...raw, kind: "sum", stored: true, parts, sizes: window?.shape ?? []};
  if (raw.axes.length && window) {
    const array = window;
    lens.window = [...window.values];
    lens.weights = weights && [...weights.values];
    let total = 0;
    lens.products = products ? [...products.values]
      : lens.window.map((a, k) => array.round(a * (weights ? lens.weights[k] : 1)));
    lens.running = lens.products.map((product) => (total = array.round(total + product)));
    lens.total = total;
    if (raw.winner) Object.assign(lens, {kind: "choice"});
  } else {
    Object.assign(lens, {kind: raw.winner && window ? "choice" : "value", weights: null,
      window: window && [...window.values], products: null});
  }
  return lens;
}
