"""Union-find: it groups the same nodes that a walk along the connections reaches."""

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
def test_two_nodes_are_in_one_group_if_a_walk_leads_from_the_first_to_the_second(pairs):
    connected = UnionFind()
    for a, b in pairs:
        connected.union(a, b)

    for node in range(10):
        others = {other for other in range(10) if connected.find(other) == connected.find(node)}
        assert others == reached(node, pairs)
        assert connected.sizes(range(10))[connected.find(node)] == len(others)


@given(st.lists(st.tuples(nodes, nodes), min_size=1))
def test_the_representative_of_the_first_node_represents_both_after_a_union(pairs):
    connected = UnionFind()
    for a, b in pairs:
        root = connected.find(a)
        connected.union(a, b)
        assert connected.find(b) == root
