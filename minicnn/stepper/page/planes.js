// What of an array is seen at once: one map, or a vector folded into a sheet.
import { folding } from "./graph.js";

// {map, lead, index(r, c), cell(index)}: cell gives [r, c], null where the index is elsewhere. A
// matrix of weights is one map; of an activation (N, K) the row of one image is seen.
export function planeOf(array, index, matrix) {
  const count = array.shape.length;
  if (count >= 3 || (count === 2 && matrix)) {
    const lead = index.slice(0, count - 2);
    const map = array.map(lead);
    const [sr, sc] = map?.shrunk ?? [1, 1];
    return {
      map, lead, index: (r, c) => [...lead, r * sr, c * sc],
      cell: (other) => (lead.every((k, d) => k === other[d])
        ? [Math.floor(other[count - 2] / sr), Math.floor(other[count - 1] / sc)] : null),
    };
  }
  const lead = index.slice(0, count - 1);
  const row = lead[0] ?? 0;
  const all = array.map([]);
  if (!all) return {map: null, lead, index: () => index, cell: () => null};
  const [, sc] = all.shrunk;
  const map = folding({rows: 1, columns: all.columns, shrunk: [1, sc],
    value: (r, c) => all.value(Math.floor(row / all.shrunk[0]), c)});
  const columns = map.folded ?? map.columns;
  const length = all.columns;
  return {
    map, lead, length,
    index: (r, c) => (count ? [...lead, Math.min((r * columns + c) * sc, length * sc - 1)] : []),
    cell: (other) => {
      if (!count) return [0, 0];
      if (!lead.every((k, d) => k === other[d])) return null;
      const place = Math.floor(other[count - 1] / sc);
      return [Math.floor(place / columns), place % columns];
    },
  };
}

// Whether a cell of a folded vector's last row is beyond the vector's end.
export const beyond = (plane, r, c) => plane.map.folded
  && r * plane.map.folded + c >= plane.length;
