"""Union-find: the same as walking along the connections."""

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.union_find import UnionFind

nodes = st.integers(0, 9)


def reached(start, pairs):
    found = {start}
    while more := {node for pair in pairs if found & set(pair) for node in pair} - found:
        found |= more
    return found


@given(st.lists(st.tuples(nodes, nodes)))
def test_nodes_are_together_if_a_walk_leads_from_one_to_the_other(pairs):
    connected = UnionFind()
    for a, b in pairs:
        connected.union(a, b)

    for node in range(10):
        others = {other for other in range(10) if connected.find(other) == connected.find(node)}
        assert others == reached(node, pairs)
        assert connected.sizes(range(10))[connected.find(node)] == len(others)


@given(st.lists(st.tuples(nodes, nodes), min_size=1))
def test_what_stands_for_the_first_stands_for_both(pairs):
    connected = UnionFind()
    for a, b in pairs:
        root = connected.find(a)
        connected.union(a, b)
        assert connected.find(b) == root
