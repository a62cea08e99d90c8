"""A second reader of C2SP logs, written from the specifications alone: shares no code with the writer (only the Ed25519 primitive)."""

import base64
import hashlib
import struct
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Bad(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Bad(why)


def mth(hashes):
    if not hashes:
        return hashlib.sha256(b"").digest()
    while len(hashes) > 1:  # bottom up; an odd last one moves up unchanged, which is the same tree
        pairs = [hashlib.sha256(b"\x01" + hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes) - 1, 2)]
        hashes = pairs + ([hashes[-1]] if len(hashes) % 2 else [])
    return hashes[0]


def check_note(raw, vkey):
    name, key_hash, material = vkey.split("+", 2)
    material = base64.b64decode(material)
    need(material[0] in (1, 4) and hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex() == key_hash, "vkey")
    text, _, signatures = raw.decode().rpartition("\n\n")
    text += "\n"
    for row in signatures.rstrip("\n").split("\n"):
        need(row.startswith("— "), "signature line")
        who, blob = row[2:].split(" ")
        blob = base64.b64decode(blob)
        if who == name and blob[:4].hex() == key_hash:
            message, signature = text.encode(), blob[4:]
            if material[0] == 4:
                (seconds,) = struct.unpack(">Q", signature[:8])
                message, signature = b"cosignature/v1\ntime %d\n" % seconds + message, signature[8:]
            try:
                Ed25519PublicKey.from_public_bytes(material[1:]).verify(signature, message)
            except InvalidSignature:
                raise Bad("signature") from None
            return text
    raise Bad("not signed by this key")


def tile_path(kind, n, width):
    parts = [f"{n % 1000:03d}"]
    while n >= 1000:
        n //= 1000
        parts.insert(0, f"x{n % 1000:03d}")
    return f"tile/{kind}/" + "/".join(parts) + ("" if width == 256 else f".p/{width}")


def verify_log(folder, vkey):
    """Size, root and leaf hashes; raises Bad."""
    folder = Path(folder)
    text = check_note((folder / "checkpoint").read_bytes(), vkey)
    origin, size, root, *_ = text.split("\n")
    need(origin == vkey.split("+")[0], "origin")
    size, root = int(size), base64.b64decode(root)
    leaves = []
    for n in range((size + 255) // 256):
        width = min(256, size - n * 256)
        blob = (folder / tile_path("entries", n, width)).read_bytes()
        at = 0
        for _ in range(width):
            need(at + 2 <= len(blob), "bundle cut")
            (length,) = struct.unpack_from(">H", blob, at)
            need(at + 2 + length <= len(blob), "entry cut")
            leaves.append(hashlib.sha256(b"\x00" + blob[at + 2:at + 2 + length]).digest())
            at += 2 + length
        need(at == len(blob), "bundle longer than its entries")
    level, row = 0, leaves
    while row:
        for n in range((len(row) + 255) // 256):
            part = row[n * 256:n * 256 + 256]
            need((folder / tile_path(level, n, len(part))).read_bytes() == b"".join(part), f"tile {level}/{n}")
        row = [mth(row[i:i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    need(mth(leaves) == root, "root")
    return size, root, leaves


def verify_proof(raw, entry, vkey):
    head, _, checkpoint = raw.partition(b"\n\n")
    rows = head.decode().split("\n")
    need(rows[0] == "c2sp.org/tlog-proof@v1" and rows[1].startswith("index "), "proof head")
    index, path = int(rows[1][6:]), [base64.b64decode(r) for r in rows[2:]]
    _, size, root, *_ = check_note(checkpoint, vkey).split("\n")

    def climb(i, n, steps):
        if n == 1:
            need(not steps, "proof too long")
            return hashlib.sha256(b"\x00" + entry).digest()
        need(bool(steps), "proof too short")
        k = 1 << (n - 1).bit_length() - 1
        if i < k:
            return hashlib.sha256(b"\x01" + climb(i, k, steps[:-1]) + steps[-1]).digest()
        return hashlib.sha256(b"\x01" + steps[-1] + climb(i - k, n - k, steps[:-1])).digest()

    need(index < int(size) and climb(index, int(size), path) == base64.b64decode(root), "proof")
    return index
