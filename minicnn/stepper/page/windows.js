// What lenses on windows share.
//
// A lens's `marks` say which rectangles of which arrays it looks at: role -> [{lead, rect}] with
// rect = [row, column, height, width]; `places(place)` says which cell of each a term is.
export const NOBODY = "no window looks at this pixel, so it has no influence";

// "u", "15+u" or "u-2".
export function shifted(letter, offset) {
  if (offset === 0) return letter;
  return offset > 0 ? `${offset}+${letter}` : `${letter}${offset}`;
}

export const times = (count, letter) => (count === 1 ? letter : `${count}${letter}`);

// Along one axis: the windows that a pixel may be in, first and one past the last.
export function windowsOver(pixel, stride, padding, span, count) {
  const place = pixel + padding;
  const first = Math.max(0, Math.ceil((place - span + 1) / stride));
  return [first, Math.max(first, Math.min(count, Math.floor(place / stride) + 1))];
}
