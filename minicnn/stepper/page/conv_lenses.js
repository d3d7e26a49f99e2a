// Lenses on convolution and its transpose. Each is made of three sums: over a window, over the
// windows that saw a pixel, over all positions that a weight was used at. What is a convolution's y,
// dx and dw is a transposed convolution's dx, y and dw.
import { beforeActivation, ending, fusedFormula } from "./endings.js";
import { geometry } from "./follow.js";
import { plural } from "./numbers.js";
import { sumLens } from "./sums.js";
import { NOBODY, shifted, times, windowsOver } from "./windows.js";

// For weights (O, C, KH, KW): how many filters share a group, and its first channel.
function groups(node) {
  const {w} = node.inputs;
  const [O, C] = w.shape;
  const perGroup = O / node.settings.groups;
  return {C, perGroup, first: (o) => Math.floor(o / perGroup) * C};
}

// Σ over (c,u,v) of x[n, first + c, i*SH + u*DH - PH, j*SW + v*DW - PW] w[o,c,u,v], an element of y.
function windowSum(node, [n, o, i, j], {y, x, name, role, axes, bias, fused, formulaEnd = ""}) {
  const {w} = node.inputs;
  const {stride: [SH, SW], padding: [PH, PW], dilation: [DH, DW]} = geometry(node);
  const [C, KH, KW] = w.shape.slice(1);
  const [, , H, W] = x.shape;
  const first = groups(node).first(o);
  const [top, left] = [i * SH - PH, j * SW - PW];
  const inside = (h, v) => h >= 0 && v >= 0 && h < H && v < W;
  const pixel = ([c, u, v]) => [n, first + c, top + u * DH, left + v * DW];
  const c_ = axes[0];
  const formula = `Σ ${name}[${n},${first ? `${first}+${c_}` : c_},${shifted(times(DH, "u"), top)},`
    + `${shifted(times(DW, "v"), left)}] · w[${o},${c_},u,v]${formulaEnd}`;
  return sumLens(y, [C, KH, KW], axes, (place) => {
    const at = pixel(place);
    return inside(at[2], at[3]) ? x.at(at) : null;
  }, ([c, u, v]) => w.at([o, c, u, v]), {
    ...(fused ? ending(node, [n, o, i, j]) : {}),
    formula: fused ? fusedFormula(node, [n, o, i, j], formula) : formula, bias,
    labels: [(k) => ["window", `of ${name}[${n},${first + k}]`], (k) => ["filter", `w[${o},${k}]`]],
    empty: (place) => !inside(...pixel(place).slice(2)),
    outer: ["channel", (k) => first + k],
    marks: (c) => ({
      [role]: [{lead: [n, first + c], rect: [top, left, (KH - 1) * DH + 1, (KW - 1) * DW + 1]}],
      w: [{lead: [o, c]}],
    }),
    places: (place) => ({
      [role]: {lead: pixel(place).slice(0, 2), cell: pixel(place).slice(2)},
      w: {lead: [o, place[0]], cell: place.slice(1)},
    }),
    describe: ([c, u, v]) => `channel ${first + c}, row ${u}, column ${v} of the window`,
  });
}

// How an axis counts from a pixel to the cell of the window it is: "14-i".
function cellText(pixel, padding, letter, stride) {
  return `${pixel + padding}-${times(stride, letter)}`;
}

// Every window that saw pixel (p, q) of channel c sends its d back through one weight.
function gathered(node, [n, c, p, q], {y, d, name, role, target, axes, bias, several = 1}) {
  const {w} = node.inputs;
  const {stride, padding, dilation} = geometry(node);
  const {C, perGroup} = groups(node);
  const [KH, KW] = w.shape.slice(2);
  const [o0, own] = [Math.floor(c / C) * perGroup, c % C];
  const span = [(KH - 1) * dilation[0] + 1, (KW - 1) * dilation[1] + 1];
  const [rows, columns] = [0, 1].map((k) => windowsOver(
    [p, q][k], stride[k], padding[k], span[k], d.shape[k + 2]));
  const cell = ([, i, j]) => [0, 1].map((k) => {
    const distance = [p, q][k] + padding[k] - [rows[0] + i, columns[0] + j][k] * stride[k];
    return distance % dilation[k] ? -1 : distance / dilation[k];
  });
  const hit = ([u, v]) => u >= 0 && v >= 0 && u < KH && v < KW;
  const window = ([o, i, j]) => [n, o0 + o, rows[0] + i, columns[0] + j];
  const sizes = [perGroup, rows[1] - rows[0], columns[1] - columns[0]];
  const o_ = axes[0];
  return sumLens(y, sizes, axes, (place) => d.at(window(place)), (place) => {
    const at = cell(place);
    return hit(at) ? w.at([o0 + place[0], own, ...at]) : null;
  }, {
    several, bias,
    formula: `Σ ${name}[${n},${o_},i,j] · w[${o_},${own},${cellText(p, padding[0], "i", stride[0])},`
      + `${cellText(q, padding[1], "j", stride[1])}]${bias === undefined || bias === null ? "" : ` + b[${c}]`}`,
    starts: [o0, rows[0], columns[0]],
    note: sizes[1] * sizes[2] ? "" : NOBODY,
    labels: [(k) => [`${name}[${n},${o0 + k}]`, plural(sizes[1] * sizes[2], "window")],
      (k) => [`w[${o0 + k},${own}]`, "the weight each used"]],
    empty: (place) => !hit(cell(place)),
    outer: [role === "x" ? "channel" : "filter", (k) => o0 + k],
    marks: (o) => ({
      [role]: [{lead: [n, o0 + o], rect: [rows[0], columns[0], sizes[1], sizes[2]]}],
      w: [{lead: [o0 + o, own]}],
    }),
    places: (place) => ({
      [role]: {lead: window(place).slice(0, 2), cell: window(place).slice(2)},
      w: {lead: [o0 + place[0], own], cell: cell(place)},
      [target]: {lead: [n, c], rect: [0, 1].map((k) => window(place)[k + 2] * stride[k] - padding[k])
        .concat(span)},
    }),
    describe: (place) => `${role === "x" ? "channel" : "filter"} ${o0 + place[0]}, window at `
      + `(${window(place).slice(2)}), weight (${cell(place)})`,
  });
}

// Every position that a weight was used at: d there times the number it met.
function met(node, [o, c, u, v], {d, name, role, x, other, otherRole, several = 1}) {
  const {stride: [SH, SW], padding: [PH, PW], dilation: [DH, DW]} = geometry(node);
  const [N, , OH, OW] = d.shape;
  const [, , H, W] = x.shape;
  const channel = groups(node).first(o) + c;
  const [top, left] = [u * DH - PH, v * DW - PW];
  const pixel = ([n, i, j]) => [n, channel, i * SH + top, j * SW + left];
  const inside = ([, , h, k]) => h >= 0 && k >= 0 && h < H && k < W;
  return sumLens(node.back.grads.w, [N, OH, OW], "nij", ([n, i, j]) => d.at([n, o, i, j]),
    (place) => (inside(pixel(place)) ? x.at(pixel(place)) : null), {
      several,
      formula: `Σ ${name}[n,${o},i,j] · ${other}[n,${channel},${shifted(times(SH, "i"), top)},`
        + `${shifted(times(SW, "j"), left)}]`,
      labels: [(n) => [`${name}[${n},${o}]`, "every position"],
        (n) => [`${other}[${n},${channel}]`, "it met"]],
      empty: (place) => !inside(pixel(place)),
      outer: ["image", (n) => n],
      marks: (n) => ({[role]: [{lead: [n, o]}],
        [otherRole]: [{lead: [n, channel],
          rect: [top, left, (OH - 1) * SH + 1, (OW - 1) * SW + 1]}]}),
      places: (place) => ({
        [role]: {lead: [place[0], o], cell: place.slice(1)},
        [otherRole]: {lead: [place[0], channel], cell: pixel(place).slice(2)},
      }),
      describe: ([n, i, j]) => `image ${n}, position (${i}, ${j})`,
    });
}

function biasGradient(node, [o]) {
  const {d, dz} = beforeActivation(node);
  const [N, , OH, OW] = dz.shape;
  return sumLens(node.back.grads.b, [N, OH, OW], "nij", ([n, i, j]) => dz.at([n, o, i, j]), null, {
    several: node.activation ? 16 : 1,
    formula: `Σ ${d}[n,${o},i,j]`, labels: [(n) => [`${d}[${n},${o}]`, "every position"]],
    outer: ["image", (n) => n],
    marks: (n) => ({dy: [{lead: [n, o]}]}),
    places: (place) => ({dy: {lead: [place[0], o], cell: place.slice(1)}}),
    describe: ([n, i, j]) => `image ${n}, position (${i}, ${j})`,
  });
}

const biasAt = (node, o) => (node.inputs.b ? node.inputs.b.at([o]) : null);

const conv = {
  y: (node, index) => windowSum(node, index, {y: node.y, x: node.inputs.x, name: "x", role: "x",
    axes: "cuv", bias: biasAt(node, index[1]), fused: true,
    formulaEnd: node.inputs.b ? ` + b[${index[1]}]` : ""}),
  x: (node, index) => {
    const {d, dz} = beforeActivation(node);
    return gathered(node, index, {y: node.back.grads.x, d: dz, name: d, role: "dy", target: "dx",
      axes: "oij", several: node.activation ? 16 : 1});
  },
  w: (node, index) => {
    const {d, dz} = beforeActivation(node);
    return met(node, index, {d: dz, name: d, role: "dy", x: node.inputs.x, other: "x",
      otherRole: "x", several: node.activation ? 16 : 1});
  },
  b: biasGradient,
};
const transposed = {
  y: (node, index) => gathered(node, index, {y: node.y, d: node.inputs.x, name: "x", role: "x",
    target: "y", axes: "cij", bias: biasAt(node, index[1])}),
  x: (node, index) => windowSum(node, index, {y: node.back.grads.x, x: node.back.dy, name: "dy",
    role: "dy", axes: "ouv"}),
  w: (node, index) => met(node, index, {d: node.inputs.x, name: "x", role: "x", x: node.back.dy,
    other: "dy", otherRole: "dy"}),
  b: biasGradient,
};
export const CONV_LENSES = {Conv2d: conv, DepthwiseConv2d: conv, ConvTranspose2d: transposed};
