// Which boxes of the graph are to be seen: operations, and blocks of them folded into one.
//
// Blocks are the modules: an operation named "layer1.0.conv1" stands in block "0" of block "layer1".
// In a large net a block is open only while one is inside it, or was opened by hand.
const SMALL = 24; // operations that are shown together without folding

// The blocks as a tree. A block is a run of operations, one after the other, of the same module: so
// folding it can make no circle.
export function blocksOf(nodes, depth = 0, prefix = "") {
  const found = [];
  for (let k = 0; k < nodes.length;) {
    const path = nodes[k].name.split(".");
    if (path.length <= depth + 1) {
      found.push(leaf(nodes[k], prefix));
      k += 1;
      continue;
    }
    let end = k;
    const inside = (node) => {
      const other = node.name.split(".");
      return other.length > depth + 1 && other[depth] === path[depth];
    };
    while (end < nodes.length && inside(nodes[end])) end += 1;
    const run = nodes.slice(k, end);
    if (run.length === 1) {
      found.push(leaf(run[0], prefix));
    } else {
      const name = prefix + path[depth];
      found.push({key: `${name}@${run[0].place}`, name, label: path[depth], nodes: run,
        children: blocksOf(run, depth + 1, `${name}.`)});
    }
    k = end;
  }
  return found;
}

function leaf(node, prefix) {
  const label = node.loss ? "loss" : told(node, node.name.slice(prefix.length));
  return {key: `op${node.place}`, name: node.name, label, nodes: [node], children: null};
}

// A number says little: "3 Conv2d" for the layer "3" of a sequence.
const told = (node, label) => (/(^|\.)\d+$/.test(label) ? `${label} ${node.operation}` : label);

// Where there is little room: of a name in a block its last part.
export function shortest(node) {
  return node.loss ? "loss" : told(node, node.name.split(".").pop());
}

// The boxes to draw, in order: leaves, and blocks that stay folded.
export function visible(tree, total, current, opened) {
  const boxes = [];
  const open = (block, near) => {
    if (!block.children) {
      boxes.push(block);
      return;
    }
    const here = block.nodes.includes(current);
    if (!(near || here || opened.has(block.key))) {
      boxes.push({...block, folded: true});
      return;
    }
    for (const child of block.children) open(child, block.nodes.length <= SMALL);
  };
  for (const block of tree) open(block, total <= SMALL);
  return boxes;
}
