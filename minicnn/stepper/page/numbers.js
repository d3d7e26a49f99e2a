// Numbers as text: two digits in cells, four in sums, eight on hover.

// Four significant digits, as Python's "%.4g"; "0" is exactly zero.
export function four(value) {
  return significant(value, 4);
}

export function eight(value) {
  return significant(value, 8);
}

function significant(value, digits) {
  if (typeof value !== "number") return String(value);
  if (value === 0 || !Number.isFinite(value)) return String(value === 0 ? 0 : value);
  const power = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
  if (power < -4 || power >= digits + 2) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${trimmed(mantissa)}e${exponent}`;
  }
  return trimmed(value.toFixed(Math.max(0, digits - 1 - power)));
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// Two digits: ".74", "1.0", "-.02"; "0" is exactly zero, ".00" merely small.
export function cellText(value, power = 0) {
  value /= 10 ** power;
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size >= 0.995) return value.toFixed(size < 9.95 ? 1 : 0);
  return value.toFixed(2).replace("0.", ".");
}

// The power of ten to show numbers in: 0 where two digits show them well.
export function unitOf(values) {
  const size = largestOf(values);
  const power = size ? Math.floor(Math.log10(size)) : 0;
  return power >= -1 && power <= 2 ? 0 : power;
}

export function largestOf(values) {
  let top = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size > top && size < Infinity) top = size;
  }
  return top;
}

export const sign = (value) => (value < 0 ? "−" : "+");

// "y[0,3]"; without dimensions the name alone.
export function indexed(name, index) {
  return index.length ? `${name}[${index.join(",")}]` : name;
}

export const sizes = (shape) => (shape.length ? shape.join("×") : "one number");

export function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${(count / size).toPrecision(3)} ${unit}`;
  }
  return `${count} bytes`;
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${Math.round(seconds * 1e6)} µs`;
}
