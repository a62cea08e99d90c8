"""RFC 6962 trees against a second implementation that follows the RFC's recursion, on valid and on mutated proofs."""

import hashlib
import random

import pytest

from bezoar.maths import merkle

# --- the second implementation: recursion over lists of data, straight from the text of the RFC; shares no code ------------------


def slow_split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def slow_root(data):
    if not data:
        return hashlib.sha256().digest()
    if len(data) == 1:
        return hashlib.sha256(bytes([0]) + data[0]).digest()
    k = slow_split(len(data))
    return hashlib.sha256(bytes([1]) + slow_root(data[:k]) + slow_root(data[k:])).digest()


def slow_path(m, data):
    if len(data) == 1:
        return []
    k = slow_split(len(data))
    if m < k:
        return [*slow_path(m, data[:k]), slow_root(data[k:])]
    return [*slow_path(m - k, data[k:]), slow_root(data[:k])]


def slow_included(leaf, index, size, proof, root):
    """Walks the shape of the tree from the root down; consumes the proof from its end."""
    if not 0 <= index < size:
        return False

    def climb(i, n, steps):
        if n == 1:
            return leaf if not steps else None
        if not steps:
            return None
        k = slow_split(n)
        below = climb(i, k, steps[:-1]) if i < k else climb(i - k, n - k, steps[:-1])
        if below is None:
            return None
        pair = below + steps[-1] if i < k else steps[-1] + below
        return hashlib.sha256(b"\x01" + pair).digest()

    return climb(index, size, list(proof)) == root


def slow_consistent(old, new, proof, old_root, new_root):
    if old <= 0 or old > new:
        return False
    steps = list(proof)

    def both(m, n, whole):
        """(hash of the first m, hash of all n) of a subtree, or None; takes steps from the end."""
        if m == n:
            if whole:
                return old_root, old_root
            if not steps:
                return None
            h = steps.pop(0)
            return h, h
        k = slow_split(n)
        if m <= k:
            low = both(m, k, whole)
            if low is None or not steps:
                return None
            right = steps.pop(0)
            return low[0], hashlib.sha256(b"\x01" + low[1] + right).digest()
        high = both(m - k, n - k, False)
        if high is None or not steps:
            return None
        left = steps.pop(0)
        return tuple(hashlib.sha256(b"\x01" + left + h).digest() for h in high)

    found = both(old, new, True)
    return found is not None and not steps and found == (old_root, new_root)


def data(n, salt=b""):
    return [salt + i.to_bytes(4, "big") for i in range(n)]


def tree(n):
    return merkle.Tree(merkle.leaf_hash(d) for d in data(n))


# --- known answers of the certificate-transparency reference data ----------------------------------------------------------------

KNOWN = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
KNOWN_ROOTS = ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]


def test_known_roots():
    t = merkle.Tree()
    assert t.root() == merkle.EMPTY_ROOT
    for leaf, root in zip(KNOWN, KNOWN_ROOTS, strict=True):
        t.append(merkle.leaf_hash(leaf))
        assert t.root().hex() == root


@pytest.mark.parametrize("n", range(1, 40))
def test_roots_and_proofs_agree_with_the_second_implementation(n):
    t, d = tree(n), data(n)
    root = slow_root(d)
    assert t.root() == root
    for i in range(n):
        proof = t.inclusion(i)
        assert proof == slow_path(i, d)
        assert merkle.verify_inclusion(merkle.leaf_hash(d[i]), i, n, proof, root)
        assert slow_included(merkle.leaf_hash(d[i]), i, n, proof, root)
    for m in range(1, n + 1):
        proof = t.consistency(m)
        assert merkle.verify_consistency(m, n, proof, slow_root(d[:m]), root)
        assert slow_consistent(m, n, proof, slow_root(d[:m]), root)


def mutations(rng, proof, root, other):
    """(name, proof, root): the twenty classes that touch proof and root; index and size are changed by the caller."""
    noise = rng.randbytes(32)
    yield "empty root", proof, b""
    yield "root of nothing", proof, merkle.EMPTY_ROOT
    yield "random root", proof, noise
    yield "root of another tree", proof, other
    yield "leading garbage", [noise, *proof], root
    yield "trailing garbage", [*proof, noise], root
    yield "leading root", [root, *proof], root
    yield "trailing root", [*proof, root], root
    yield "short hash", [*proof[:-1], (proof[-1] if proof else noise)[:31]], root
    yield "empty proof", [], root
    if proof:
        at = rng.randrange(len(proof))
        yield "truncated at the end", proof[:-1], root
        yield "truncated at the start", proof[1:], root
        yield "removed node", proof[:at] + proof[at + 1:], root
        yield "inserted node", [*proof[:at], noise, *proof[at:]], root
        yield "doubled node", [*proof[:at], proof[at], *proof[at:]], root
        for k in range(len(proof)):
            flipped = bytearray(proof[k])
            flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
            yield "bit flip", [*proof[:k], bytes(flipped), *proof[k + 1:]], root
    if len(proof) > 1:
        yield "swapped nodes", [proof[1], proof[0], *proof[2:]], root
        yield "reversed", proof[::-1], root


def test_mutated_proofs_zero_wrong_answers():
    """Both verifiers agree on every probe, and the only accepted ones are those that are true of the data."""
    rng = random.Random(6962)
    probes = accepted = 0
    for n in (1, 2, 3, 5, 7, 8, 9, 16, 21, 33, 64, 100):
        t, d = tree(n), data(n)
        root, other = t.root(), slow_root(data(n, b"x"))
        for i in sorted({0, n - 1, n // 2, rng.randrange(n)}):
            leaf, proof = merkle.leaf_hash(d[i]), t.inclusion(i)
            tries = [("as it is", leaf, i, n, proof, root)]
            tries += [(name, leaf, i, n, p, r) for name, p, r in mutations(rng, proof, root, other)]
            tries += [("index", leaf, j, n, proof, root) for j in (i - 1, i + 1, i ^ 2, -1, n)]
            tries += [("size", leaf, i, s, proof, root) for s in (n * 2, n // 2, n + 1, n - 1, 0)]
            tries += [("wrong leaf", merkle.leaf_hash(b"!"), i, n, proof, root), ("node as leaf", root, i, n, proof, root)]
            for name, leaf_, at, size, p, r in tries:
                probes += 1
                ours = merkle.verify_inclusion(leaf_, at, size, p, r)
                assert ours == (len(r) == 32 and all(len(h) == 32 for h in p) and slow_included(leaf_, at, size, p, r)), (name, n, i)
                if ours:  # an accepted probe must be the true proof of that leaf, or a shape in which the same path proves the same thing
                    accepted += 1
                    assert leaf_ == leaf and p == proof and r == root, (name, n, i)
                    assert at == i and len(slow_path(at, [b""] * size)) == len(proof)
        for m in sorted({1, n, n // 2 or 1, n - 1 or 1, rng.randrange(n) + 1}):
            proof, before = t.consistency(m), slow_root(d[:m])
            tries = [("as it is", m, n, proof, before, root)]
            tries += [(name, m, n, p, before, r) for name, p, r in mutations(rng, proof, root, other)]
            tries += [(name + " (old)", m, n, p, r, root) for name, p, r in mutations(rng, proof, before, other)]
            tries += [("swapped roots", m, n, proof, root, before), ("zero", 0, n, proof, before, root), ("zero, bare", 0, n, [], before, root),
                      ("zero, empty", 0, n, [], merkle.EMPTY_ROOT, root), ("backwards", n, m, proof, root, before)]
            tries += [("sizes", a, b, proof, before, root) for a, b in ((m - 1, n), (m + 1, n), (m, n * 2), (m, n // 2), (m ^ 2, n))]
            for name, a, b, p, r0, r1 in tries:
                probes += 1
                ours = merkle.verify_consistency(a, b, p, r0, r1)
                assert ours == (len(r0) == len(r1) == 32 and all(len(h) == 32 for h in p) and slow_consistent(a, b, p, r0, r1)), (name, m, n)
                if ours:
                    accepted += 1
                    assert (p, r0, r1) == (proof, before, root) or (a == b == n and p == [] and r0 == r1 == root), (name, m, n)
    assert probes >= 2000, probes
    assert accepted >= 90


def test_consistency_from_nothing_is_refused():
    t = tree(7)
    assert not merkle.verify_consistency(0, 7, [], merkle.EMPTY_ROOT, t.root())
    assert not merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)
    with pytest.raises(IndexError):
        t.consistency(0)


@pytest.mark.parametrize("index", [-1, 7, 100])
def test_no_proof_outside(index):
    with pytest.raises(IndexError):
        tree(7).inclusion(index)


def test_growing_one_by_one_in_lumps_and_by_change_gives_one_tree():
    rng = random.Random(1)
    for n in (0, 1, 2, 3, 17, 64, 65, 200):
        leaves = [merkle.leaf_hash(d) for d in data(n)]
        one = merkle.Tree()
        for h in leaves:
            one.append(h)
        lumps = merkle.Tree()
        at = 0
        while at < n:
            k = rng.randrange(1, 9)
            lumps.extend(leaves[at:at + k])
            at += k
        assert one.root() == lumps.root() == slow_root(data(n))
        if n:
            changes = {rng.randrange(n): merkle.leaf_hash(rng.randbytes(3)) for _ in range(5)}
            one.update(changes)
            fresh = [changes.get(i, h) for i, h in enumerate(leaves)]
            assert one.root() == merkle.Tree(fresh).root()
            assert all(one.node(k, i) == merkle.Tree(fresh).node(k, i) for k in range(3) for i in range(n >> k))


def test_a_proof_that_is_no_proof_is_false_not_an_error():
    assert not merkle.verify_inclusion(b"", 0, 1, [], b"")
    assert not merkle.verify_inclusion(b"x" * 32, 0, 2, ["y" * 32], b"x" * 32)
    assert not merkle.verify_inclusion(b"x" * 32, 0, 1 << 70, [b"y" * 32] * 65, b"x" * 32)
    assert not merkle.verify_consistency(1, 2, [b"y"] * 3, b"x" * 32, b"x" * 32)
