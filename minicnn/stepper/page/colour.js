// The signed colour scale: blue is negative, orange positive (told apart by the colour-blind, too),
// and zero fades into the page.
const SCALES = {
  light: {zero: [246, 246, 242], minus: [[160, 192, 227], [28, 90, 163]],
    plus: [[249, 196, 140], [176, 72, 4]]},
  dark: {zero: [34, 39, 44], minus: [[40, 92, 155], [143, 194, 252]],
    plus: [[138, 76, 18], [255, 186, 96]]},
};
const ODD = {light: [140, 140, 140], dark: [120, 120, 120]};

export const theme = () => document.documentElement.dataset.theme;

// [red, green, blue] of a number on the scale from -top to top; grey for what is no number.
export function rgb(value, top) {
  const scale = SCALES[theme()];
  if (!Number.isFinite(value)) return ODD[theme()];
  const share = Math.min(Math.abs(value) / (top || 1), 1);
  const [middle, end] = value < 0 ? scale.minus : scale.plus;
  const [from, to, part] = share < 0.5 ? [scale.zero, middle, share * 2] : [middle, end, share * 2 - 1];
  return from.map((start, k) => Math.round(start + (to[k] - start) * part));
}

export function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

// Black or white, whichever reads better on a colour.
export function ink(colour) {
  const [r, g, b] = colour.map((k) => {
    const share = k / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.19 ? "#16191c" : "#fff";
}

// A canvas with one pixel for each cell of a map.
export function paint(canvas, map, top) {
  canvas.width = map.columns;
  canvas.height = map.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.columns, map.rows);
  for (let r = 0, k = 0; r < map.rows; r++) {
    for (let c = 0; c < map.columns; c++, k += 4) {
      const [red, green, blue] = rgb(map.value(r, c), top);
      image.data[k] = red;
      image.data[k + 1] = green;
      image.data[k + 2] = blue;
      image.data[k + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
