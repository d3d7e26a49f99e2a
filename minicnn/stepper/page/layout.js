// Where boxes and lines of a graph go: rows from the top down, branches side by side in lanes.
//
// A chain of boxes that follow each other keeps one lane. At a fork the first branch keeps the lane
// and each of the others opens one, until it joins again. A line that passes whole branches by, such
// as a residual block's shortcut, runs outside, in a track at the right.

// boxes: anything, in an order in which all lines go forward; lines: [from, to] by number.
// Returns {rows, tracks, boxes: [{row, lane: [rank, of how many]}],
//   lines: [{from, to, track, through: [[row, rank, of how many], ...]}]}.
export function layOut(count, lines) {
  const children = Array.from({length: count}, () => []);
  const parents = Array.from({length: count}, () => []);
  for (const [from, to] of lines) {
    children[from].push(to);
    parents[to].push(from);
  }
  const row = rowsOf(count, parents);
  const chains = chainsOf(count, children, parents, row);
  giveLanes(chains);
  const rankIn = ranks(chains, Math.max(0, ...row) + 1);
  const placed = lines.map(([from, to]) => route(from, to, row, chains, rankIn));
  const tracks = giveTracks(placed.filter((line) => line.outside), row);
  return {
    rows: Math.max(0, ...row) + 1, tracks,
    boxes: row.map((r, k) => ({row: r, lane: rankIn(r, chains.of[k])})),
    lines: placed,
  };
}

// The longest way from above.
function rowsOf(count, parents) {
  const row = new Array(count).fill(0);
  for (let k = 0; k < count; k++) {
    for (const parent of parents[k]) row[k] = Math.max(row[k], row[parent] + 1);
  }
  return row;
}

function chainsOf(count, children, parents, row) {
  const of = new Array(count).fill(-1);
  const all = [];
  for (let k = 0; k < count; k++) {
    if (of[k] >= 0) continue;
    const chain = {boxes: [], number: all.length};
    for (let box = k; box !== undefined && of[box] < 0; box = children[box][0]) {
      of[box] = chain.number;
      chain.boxes.push(box);
    }
    all.push(chain);
  }
  for (const chain of all) {
    const [first, last] = [chain.boxes[0], chain.boxes[chain.boxes.length - 1]];
    const [above, below] = [parents[first], children[last]];
    chain.start = above.length ? Math.min(...above.map((k) => row[k])) + 1 : row[first];
    chain.end = below.length ? Math.max(row[last], Math.min(...below.map((k) => row[k])) - 1)
      : row[last];
  }
  return {of, all};
}

// The lowest lane that is free in all of a chain's rows.
function giveLanes({all}) {
  for (const chain of all) {
    const taken = new Set(all.filter((other) => other.lane !== undefined
      && other.start <= chain.end && chain.start <= other.end).map((other) => other.lane));
    let lane = 0;
    while (taken.has(lane)) lane += 1;
    chain.lane = lane;
  }
}

// [rank, of how many] of a chain among those that pass a row.
function ranks({all}, rows) {
  const passing = Array.from({length: rows}, (_, r) => all
    .filter((chain) => chain.start <= r && r <= chain.end)
    .sort((a, b) => a.lane - b.lane).map((chain) => chain.number));
  return (r, chain) => {
    const rank = passing[r].indexOf(chain);
    return rank < 0 ? null : [rank, passing[r].length];
  };
}

// A line inside a lane, past the rows between; or outside, if no lane of its ends is free there.
function route(from, to, row, {of, all}, rankIn) {
  const [a, b] = [all[of[from]], all[of[to]]];
  const between = [];
  for (let r = row[from] + 1; r < row[to]; r++) between.push(r);
  const leaves = from === a.boxes[a.boxes.length - 1];
  const enters = to === b.boxes[0];
  const next = a === b && a.boxes.indexOf(to) === a.boxes.indexOf(from) + 1;
  const chain = next || (leaves && between.every((r) => r <= a.end)) ? a
    : enters && between.every((r) => r >= b.start) ? b : null;
  if (between.length && !chain) return {from, to, outside: true, through: []};
  return {from, to, outside: false,
    through: between.map((r) => [r, ...rankIn(r, chain.number)])};
}

// Tracks at the right, from the innermost out; returns how many there are.
function giveTracks(lines, row) {
  const tracks = [];
  for (const line of [...lines].sort(
    (a, b) => (row[a.to] - row[a.from]) - (row[b.to] - row[b.from]))) {
    const free = (taken) => taken.every((other) => row[other.to] <= row[line.from]
      || row[line.to] <= row[other.from]);
    let track = tracks.findIndex(free);
    if (track < 0) track = tracks.push([]) - 1;
    tracks[track].push(line);
    line.track = track;
  }
  return tracks.length;
}
