// Which lens an operation has, and how it is opened.
import { CONV_LENSES } from "./conv_lenses.js";
import { DENSE_LENSES } from "./dense_lenses.js";
import { LOSS_LENSES } from "./loss_lenses.js";
import { MOVING_LENSES } from "./moving_lenses.js";
import { NORM_LENSES } from "./norm_lenses.js";
import { indexed } from "./numbers.js";
import { POINTWISE_LENSES, addedGradient } from "./pointwise.js";
import { POOL_LENSES } from "./pool_lenses.js";
import { RESAMPLING_LENSES } from "./resampling_lenses.js";
import { agreement, storedLens } from "./sums.js";

// operation -> a function for y, and for each gradient by its letter, or for all ("gradient").
const LENSES = {...CONV_LENSES, ...POOL_LENSES, ...DENSE_LENSES, ...POINTWISE_LENSES, ...NORM_LENSES,
  ...MOVING_LENSES, ...LOSS_LENSES, ...RESAMPLING_LENSES};

// The lens on one number of a step: y[index], or d{letter}[index]. null where there is none; a
// string says why there is none here.
export function openLens(node, letter, index, image) {
  if (node.lenses) return openStored(node, letter, index);
  const looks = node.ours ? LENSES[node.operation] : null;
  const look = letter === "add" && looks?.w ? addedGradient : looks?.[letter] ?? looks?.gradient;
  if (!look || (letter === "y" && !looks.y)) return null;
  const lens = letter === "y" ? look(node, index, undefined, image)
    : look(node, index, letter, image);
  const array = letter === "y" ? node.y : node.back.grads[letter];
  lens.name = indexed(letter !== "y" ? `d${letter}` : node.loss ? "L" : "y", index);
  lens.sum = array.round(lens.sum);
  lens.recorded = array.at(index);
  lens.agreement = agreement(lens, node.backend);
  return lens;
}

// Over the budget: one of the few elements whose lens was put in.
function openStored(node, letter, index) {
  const raw = (node.lenses[letter] ?? []).find((lens) => lens.index.every((k, d) => k === index[d]));
  if (!raw) return null;
  const lens = storedLens(raw);
  const look = {...CONV_LENSES, Linear: DENSE_LENSES.Linear}[node.operation]?.[letter];
  if (!look || !node.ours || (node.activation && letter !== "y")) return lens;
  // Where a sum looks follows from sizes alone; the numbers that it finds there are thumbnails.
  const {marks, places, labels, outer, describe, empty} = look(node, index);
  return {...lens, marks, places, labels, outer, describe, empty};
}
