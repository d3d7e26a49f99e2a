// Arrays: decoded when they are first looked at; over the page's budget only thumbnails of maps.
const KINDS = {f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array, i1: Int8Array};

function decode(text, kind) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return new KINDS[kind](bytes.buffer);
}

export class NdArray {
  constructor(raw) {
    this.raw = raw;
    this.shape = raw.shape;
    this.size = raw.shape.reduce((a, b) => a * b, 1);
    this.whole = !("maps" in raw);
    this.strides = raw.shape.map((_, k) => raw.shape.slice(k + 1).reduce((a, b) => a * b, 1));
    this.double = raw.dtype === "f8";
    this.integer = raw.dtype === "i4" || raw.dtype === "u1";
  }

  // All numbers of a whole array, row-major.
  get values() {
    this.decoded ??= decode(this.raw.data, this.whole ? this.raw.dtype : "i1");
    return this.decoded;
  }

  offset(index) {
    let place = 0;
    for (let k = 0; k < index.length; k++) place += index[k] * this.strides[k];
    return place;
  }

  // One number of a whole array.
  at(index) {
    return this.values[this.offset(index)];
  }

  // Rounds as the array's own dtype does.
  round(value) {
    return this.double ? value : Math.fround(value);
  }

  get range() {
    if (!this.whole) return {low: this.raw.low, mean: this.raw.mean, high: this.raw.high};
    if (!this.known) {
      let [low, high, total] = [Infinity, -Infinity, 0];
      for (const value of this.values) {
        if (value < low) low = value;
        if (value > high) high = value;
        total += value;
      }
      this.known = this.size ? {low, high, mean: total / this.size} : {low: 0, high: 0, mean: 0};
    }
    return this.known;
  }

  // The largest magnitude, which is the end of the colour scale.
  get top() {
    const {low, high} = this.range;
    return Math.max(Math.abs(low), Math.abs(high)) || 1;
  }

  // Which maps there are to look at, by their leading index along `axis`.
  has(leading) {
    return this.whole || this.raw.maps.some((map) => map.every((k, axis) => k === leading[axis]));
  }

  // The map at a leading index: {rows, columns, value(r, c), shrunk: [cells a row, a column]}, null
  // where a thumbnail has left it out. A vector is a map of one row.
  map(leading) {
    const [rows, columns] = this.shape.length > 1 ? this.shape.slice(-2) : [1, this.size];
    if (this.whole) {
      const start = this.shape.length > 1 ? this.offset(leading) : 0;
      const values = this.values;
      return {rows, columns, shrunk: [1, 1], value: (r, c) => values[start + r * columns + c]};
    }
    const place = this.raw.maps.findIndex((map) => map.every((k, axis) => k === leading[axis]));
    if (place < 0) return null;
    const [height, width] = this.raw.size;
    const [values, start, scale] = [this.values, place * height * width, this.raw.top / 127];
    return {
      rows: height, columns: width,
      shrunk: [Math.ceil(rows / height), Math.ceil(columns / width)],
      value: (r, c) => values[start + r * width + c] * scale,
    };
  }
}

// An index as a list from a row-major place.
export function unravel(place, shape) {
  const index = new Array(shape.length);
  for (let k = shape.length - 1; k >= 0; k--) {
    index[k] = place % shape[k];
    place = Math.floor(place / shape[k]);
  }
  return index;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
