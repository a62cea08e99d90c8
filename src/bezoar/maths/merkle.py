"""Merkle trees as in RFC 6962: leaf and node hashing, inclusion and consistency proofs, grown or changed in place.

Hashes are 32 bytes of SHA-256; a leaf is hashed behind 0x00 and a node behind 0x01. A tree keeps every complete node, 64 bytes per
leaf in all. Proofs are lists of hashes. Verifiers return True or False and never raise on proofs that others wrote; a consistency
proof from size 0 proves nothing and is never accepted. Papers: RFC 6962 section 2.1; RFC 9162 section 2.1 (verification).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""
LONGEST_PROOF = 64
"""No proof of a tree with fewer than 2**63 leaves is longer."""

Node = Callable[[int, int], bytes]
"""`node(level, index)`: the hash over leaves [index << level, (index + 1) << level), all of which exist."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def _split(n: int) -> int:
    """The largest power of two below n (n >= 2)."""
    return 1 << ((n - 1).bit_length() - 1)


def range_hash(node: Node, start: int, stop: int) -> bytes:
    """Hash over leaves [start, stop), where `start` is where the RFC's recursion puts it."""
    n = stop - start
    if n & (n - 1) == 0 and start % n == 0:
        level = n.bit_length() - 1
        return node(level, start >> level)
    k = _split(n)
    return node_hash(range_hash(node, start, start + k), range_hash(node, start + k, stop))


def root_of(node: Node, size: int) -> bytes:
    """Root of the first `size` leaves."""
    return range_hash(node, 0, size) if size else EMPTY_ROOT


def prove_inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """Audit path of leaf `index` among the first `size`, lowest first. Raises IndexError outside 0 <= index < size."""
    if not 0 <= index < size:
        raise IndexError(f"no leaf {index} in a tree of {size}")
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(range_hash(node, middle, stop))
            stop = middle
        else:
            path.append(range_hash(node, start, middle))
            start = middle
    return path[::-1]


def prove_consistency(node: Node, old: int, new: int) -> list[bytes]:
    """Proof that the first `old` leaves are a prefix of the first `new`. Raises IndexError unless 0 < old <= new."""
    if not 0 < old <= new:
        raise IndexError(f"no consistency from {old} to {new}")
    return _subproof(node, old, 0, new, True)


def _subproof(node: Node, old: int, start: int, stop: int, whole: bool) -> list[bytes]:
    if old == stop:
        return [] if whole else [range_hash(node, start, stop)]
    middle = start + _split(stop - start)
    if old <= middle:
        return [*_subproof(node, old, start, middle, whole), range_hash(node, middle, stop)]
    return [*_subproof(node, old, middle, stop, False), range_hash(node, start, middle)]


def _proper(hashes: Sequence[bytes]) -> bool:
    return len(hashes) <= LONGEST_PROOF and all(isinstance(h, bytes) and len(h) == 32 for h in hashes)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf with hash `leaf` is number `index` of the `size` under `root`.

    >>> tree = Tree(leaf_hash(bytes([i])) for i in range(5))
    >>> verify_inclusion(leaf_hash(b"\\x03"), 3, 5, tree.inclusion(3), tree.root())
    True
    """
    if not 0 <= index < size or not _proper([leaf, root, *proof]):
        return False
    value = leaf
    sides = _climb(index, size - 1, len(proof))
    for left, step in zip(sides or [], proof, strict=False):
        value = node_hash(step, value) if left else node_hash(value, step)
    return sides is not None and value == root


def _climb(at: int, last: int, steps: int) -> list[bool] | None:
    """Whether each of `steps` hashes joins node `at` of a row of `last` + 1 from the left, up to the root; None for another number."""
    left = []
    for _ in range(steps):
        if last == 0:
            return None
        left.append(bool(at & 1 or at == last))
        if left[-1]:
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        at >>= 1
        last >>= 1
    return left if last == 0 else None


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree of `old` leaves is a prefix of the tree of `new`. False for `old` 0, always."""
    if not 0 < old <= new or not _proper([old_root, new_root, *proof]):
        return False
    if old == new:
        return not proof and old_root == new_root
    if not proof:
        return False
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    first = second = path[0]
    sides = _climb(at, last, len(path) - 1)
    for left, step in zip(sides or [], path[1:], strict=False):
        first = node_hash(step, first) if left else first
        second = node_hash(step, second) if left else node_hash(second, step)
    return sides is not None and first == old_root and second == new_root


class Tree:
    """A tree in memory: append, change, prove. `append` costs two hashes on average, `update` of k leaves at most k log2 n.

    >>> tree = Tree([leaf_hash(b"a"), leaf_hash(b"b")])
    >>> tree.append(leaf_hash(b"c")); len(tree)
    3
    >>> tree.root() == node_hash(node_hash(leaf_hash(b"a"), leaf_hash(b"b")), leaf_hash(b"c"))
    True
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaves)

    def __len__(self) -> int:
        return len(self._levels[0]) >> 5

    def node(self, level: int, index: int) -> bytes:
        """A complete node; IndexError where there is none."""
        row = self._levels[level]
        if not 0 <= index < len(row) >> 5:
            raise IndexError(f"no node {index} at level {level}")
        return bytes(row[index << 5:(index + 1) << 5])

    def row(self, level: int, start: int, stop: int) -> bytes:
        """Complete nodes [start, stop) of one level, joined."""
        if not 0 <= start <= stop <= len(self._levels[level]) >> 5:
            raise IndexError(f"no nodes {start} to {stop} at level {level}")
        return bytes(self._levels[level][start << 5:stop << 5])

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        if len(leaf) != 32:
            raise ValueError("a leaf hash has 32 bytes")
        self._levels[0] += leaf
        level = 0
        while len(row := self._levels[level]) & 32 == 0:
            level += 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += sha256(b"\x01" + row[-64:]).digest()

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add many leaf hashes: level by level, which is faster than one by one."""
        added = b"".join(leaves)
        if len(added) & 31:
            raise ValueError("a leaf hash has 32 bytes")
        self._levels[0] += added
        level = 0
        while True:
            row = self._levels[level]
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            above = self._levels[level + 1]
            first, last = len(above) << 1, len(row) & ~63
            if first < last:
                above += b"".join([sha256(b"\x01" + row[i:i + 64]).digest() for i in range(first, last, 64)])
            elif not above:
                self._levels.pop()
                return
            level += 1

    def update(self, changes: dict[int, bytes]) -> None:
        """Put other hashes in the place of some leaves; nodes above are computed again, each once."""
        row = self._levels[0]
        for index, leaf in changes.items():
            if not 0 <= index < len(self) or len(leaf) != 32:
                raise IndexError(f"no leaf {index} in a tree of {len(self)}")
            row[index << 5:(index + 1) << 5] = leaf
        touched = sorted(changes)
        for level in range(1, len(self._levels)):
            below, row = self._levels[level - 1], self._levels[level]
            count = len(row) >> 5
            parents = sorted({i >> 1 for i in touched})
            touched = [i for i in parents if i < count]
            for i in touched:
                row[i << 5:(i + 1) << 5] = sha256(b"\x01" + below[i << 6:(i + 1) << 6]).digest()

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves; of all when left out."""
        return root_of(self.node, len(self) if size is None else self._within(size))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """See `prove_inclusion`."""
        return prove_inclusion(self.node, index, len(self) if size is None else self._within(size))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """See `prove_consistency`."""
        return prove_consistency(self.node, old, len(self) if new is None else self._within(new))

    def _within(self, size: int) -> int:
        if not 0 <= size <= len(self):
            raise IndexError(f"the tree has {len(self)} leaves, not {size}")
        return size
