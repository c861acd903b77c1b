"""Union-find: which nodes are connected, directly or through others."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class UnionFind(Generic[Node]):
    """Sets of connected nodes; a node that nobody has named yet is a set of its own."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def find(self, node: Node) -> Node:
        """Return the node that stands for the set of ``node``."""
        parent = self._parent
        root = node
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[node] != root:
            parent[node], node = root, parent[node]
        return root

    def union(self, a: Node, b: Node) -> None:
        """Make one set of two; what stands for ``a`` stands for both."""
        self._parent[self.find(b)] = self.find(a)

    def sizes(self, nodes: Iterable[Node]) -> dict[Node, int]:
        """Count how many of ``nodes`` each set has, by the node that stands for it."""
        found: dict[Node, int] = defaultdict(int)
        for node in nodes:
            found[self.find(node)] += 1
        return found
