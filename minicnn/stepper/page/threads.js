// A CUDA kernel's threads, as the emulator recorded them: which cells a warp reads together, and
// one thread line by line.
import { clamp } from "./arrays.js";
import { listing } from "./code.js";
import { h, segments } from "./dom.js";
import { plural } from "./numbers.js";

const SECTOR = 32; // bytes that global memory comes in
const MOST = 32; // sectors drawn

export function threadsView(app) {
  const {model} = app;
  const {node, direction} = model.step;
  const all = app.launchesOf(node);
  const here = all.filter((launch) => launch.direction === direction);
  const list = here.length ? here : all;
  const launch = list.find(({kernel}) => kernel === app.kernel) ?? list[0];
  const block = launch.blocks[clamp(app.block, 0, launch.blocks.length - 1)];
  const one = block.threads[clamp(app.thread, 0, block.threads.length - 1)];
  const access = block.accesses[clamp(app.access, 0, block.accesses.length - 1)];
  return [
    segments("Kernel", list.map(({kernel}) => [kernel, kernel]), launch.kernel,
      (kernel) => app.set({kernel, ...START})),
    h("p", {class: "label file"}, `${launch.file}, grid (${launch.grid}), block (${launch.block})`),
    launch.blocks.length > 1 && segments("Block", launch.blocks.map(({block: at}, k) => [k,
      `block (${at})`]), launch.blocks.indexOf(block), (k) => app.set({...START, kernel: launch.kernel,
      block: k, thread: app.thread})),
    warp(app, launch, block, access),
    thread(app, launch, block, one),
  ];
}

// Where one is when a kernel is shown first.
export const START = {block: 0, thread: 0, access: 0, walked: 0};

// -- a warp -------------------------------------------------------------------------
function warp(app, launch, block, access) {
  if (!access) return h("p", {class: "note"}, block.untraced ?? "Its first warp touches no array.");
  const unit = access.shared ? "cycle" : "sector";
  const text = launch.text.split("\n");
  return h("section", {class: "fork"},
    h("h2", {}, `The threads of block (${block.block})'s first warp: which cells they touch together`),
    h("div", {class: "accesses"}, block.accesses.map((one, k) => h("button", {
      type: "button", class: "access", "aria-pressed": String(one === access), "data-key": `access:${k}`,
      title: text[one.line - 1]?.trim(), onclick: () => app.set({access: k})},
    `line ${one.line}: ${one.kind} ${one.array}`,
    h("span", {class: one.cost > one.least ? "worse" : "quiet"},
      ` ${plural(one.cost, one.shared ? "cycle" : "sector")}, ${one.least} at best`)))),
    h("div", {class: "label"}, h("b", {}, access.array), ` by ${plural(access.lanes.length, "thread")}; a `
      + "number is the thread that touches the cell",
    access.shared ? "" : "; a frame is a sector of 32 bytes"),
    cells(access),
    h("p", {class: "note"}, access.cost <= access.least
      ? `As few ${unit}s as these bytes can come in.`
      : `${plural(access.cost, unit)} where ${access.least} would do: neighbouring threads touch `
        + `${access.shared ? "words of the same bank" : "cells that lie apart"}.`));
}

// The touched sectors, with the thread at each cell (several: the first, and a plus).
function cells({index, lanes, item}) {
  const width = Math.max(1, SECTOR / item);
  const owners = new Map();
  index.forEach((cell, k) => owners.set(cell, [...(owners.get(cell) ?? []), lanes[k]]));
  const sectors = [...new Set(index.map((cell) => Math.floor(cell / width)))].sort((a, b) => a - b);
  return h("div", {class: "memory", role: "img", "aria-label": `${sectors.length} sectors touched`},
    sectors.slice(0, MOST).map((sector) => h("div", {class: "sector"},
      h("small", {}, String(sector * width)),
      h("div", {}, Array.from({length: width}, (_, k) => {
        const mine = owners.get(sector * width + k);
        return h("i", {class: mine ? "hit" : null, title: mine
          ? `cell ${sector * width + k}: thread ${mine.join(", ")}` : null},
        mine ? `${mine[0]}${mine.length > 1 ? "+" : ""}` : "");
      })))),
    sectors.length > MOST && h("span", {class: "quiet"}, `and ${sectors.length - MOST} sectors more`));
}

// -- a thread -----------------------------------------------------------------------
function thread(app, launch, block, one) {
  const count = (sizes) => sizes.reduce((a, b) => a * b, 1);
  const shown = h("p", {class: "note"}, `Recorded are ${plural(block.threads.length, "thread")} of this `
    + `block's ${count(launch.block)}, in ${plural(launch.blocks.length, "block")} of the grid's `
    + `${count(launch.grid).toLocaleString("en")}; `, h("code", {}, "minicnn step-kernel"),
  " walks any other.");
  const names = block.threads.map(({thread: at}, k) => [k, `(${at})`]);
  return h("section", {},
    h("h2", {}, `Thread (${one.thread}), line by line`),
    segments("Thread", names, block.threads.indexOf(one), (k) => app.set({thread: k, walked: 0})),
    one.walk.length ? walkOf(app, launch, one) : h("p", {class: "note"}, one.stopped ?? ""), shown);
}

function walkOf(app, launch, {walk, stopped}) {
  const at = clamp(app.walked, 0, walk.length - 1);
  const step = walk[at];
  const move = (by) => app.set({walked: clamp(at + by, 0, walk.length - 1)});
  const lines = launch.text.split("\n");
  const first = Math.max(0, step.line - 9);
  const text = lines.slice(first, Math.max(step.last, step.line) + 8).join("\n");
  return [
    h("div", {class: "buttons"},
      h("button", {type: "button", class: "button", "data-key": "walk:back", disabled: at === 0,
        "aria-label": "Line before", onclick: () => move(-1)}, "‹"),
      h("button", {type: "button", class: "button", "data-key": "walk:next",
        "aria-label": "Next line", disabled: at === walk.length - 1,
        onclick: () => move(1)}, "›"),
      h("span", {class: "quiet"}, `line ${at + 1} of ${walk.length}`)),
    h("p", {class: "total", "data-walk": String(at)},
      [...step.changes, ...step.memory].join(", ") || "no change"),
    listing(text, first + 1, [step.line - first - 1, step.last - first - 1], step.line - first - 1),
    stopped && h("p", {class: "note"}, `The walk ends here: ${stopped}.`)];
}
