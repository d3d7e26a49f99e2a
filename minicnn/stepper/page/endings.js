// Fused operations, y = activation(z + add): the end of a lens on one, and what backward begins with.
import { indexed } from "./numbers.js";

// What the gradient before a fused activation is called, and where it is.
export function beforeActivation(node) {
  return node.activation ? {d: "dz", dz: node.back.dz} : {d: "dy", dz: node.back.dy};
}

// The end of a fused operation: what is added and which activation follows.
export function ending(node, index) {
  const {add} = node.inputs;
  if (!add && !node.activation) return {};
  return {activation: node.activation, added: add ? add.at(index) : null};
}

export function fusedFormula(node, index, formula) {
  const sum = node.inputs.add ? `${formula} + ${indexed("add", index)}` : formula;
  return node.activation ? `${node.activation}(${sum})` : sum;
}
