"""A model behind an address -> a `Suspect` without a module."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bezoar.core.errors import AbilityFailed, LimitExceeded, UsageError
from bezoar.core.limits import MIB
from bezoar.core.suspect import Suspect
from bezoar.sources.suspects.black_boxes import suspect_from_callable

MOST_REPLY = 16 * MIB


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class Endpoint:
    """Rows -> probabilities over HTTP. POST {"inputs": [...]} -> {"probabilities": [[...], ...]}, one row per input.

    Pictures go as base64 of PNG, texts as they are, rows as lists of numbers. No redirect and no proxy is followed; at most
    `per_second` requests; a reply has at most 16 MiB and `seconds` to arrive.
    """

    def __init__(self, address: str, *, headers: Mapping[str, str] | None = None, per_second: float = 5.0, seconds: float = 30.0) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
            raise UsageError(f"{address[:80]!r} is no address of a model", advice="write http://host:port/path or https://...")
        self.address, self.headers, self.seconds = address, dict(headers or {}), seconds
        self.pause, self._last = 1.0 / max(per_second, 1e-3), 0.0
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay).open

    def __call__(self, rows: Any) -> Any:
        body = json.dumps({"inputs": [_sent(r) for r in rows]}).encode()
        request = urllib.request.Request(self.address, body, {"Content-Type": "application/json", **self.headers}, method="POST")  # noqa: S310
        told = self._told(request)
        found = told.get("probabilities") if isinstance(told, dict) else None
        if not isinstance(found, list) or not all(isinstance(r, list) and all(type(v) in (int, float) for v in r) for r in found):
            raise AbilityFailed('the endpoint does not answer {"probabilities": [[...], ...]}',
                                advice="see the how-to about opening models")
        return found

    def _told(self, request: urllib.request.Request) -> Any:
        time.sleep(max(0.0, self._last + self.pause - time.monotonic()))
        self._last = time.monotonic()
        end = self._last + self.seconds
        try:
            with self._open(request, timeout=self.seconds) as reply:
                raw = bytearray()
                while piece := reply.read1(65_536):
                    raw += piece
                    if len(raw) > MOST_REPLY or time.monotonic() > end:
                        raise LimitExceeded("the endpoint's reply is too long, or takes too long", advice="ask it in smaller batches")
            return json.loads(raw)
        except urllib.error.HTTPError as error:
            raise AbilityFailed(f"the endpoint answers with status {error.code}", advice="check its address and what it takes") from error
        except (OSError, ValueError, RecursionError) as error:
            raise AbilityFailed(f"the endpoint cannot be asked: {str(error)[:200]}",
                                advice="check its address, and that it runs") from error


def _sent(row: Any) -> Any:
    if isinstance(row, str):
        return row
    array = np.asarray(row)
    if array.ndim == 3:
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(array.astype(np.uint8)).save(out, "PNG")
        return base64.b64encode(out.getvalue()).decode()
    return [float(v) if np.isfinite(v) else None for v in array]


def open_endpoint(address: str, classes: Sequence[str], *, shape: Sequence[int] = (), modality: str = "image",
                  headers: Mapping[str, str] | None = None, per_second: float = 5.0, seconds: float = 30.0, batch: int = 32) -> Suspect:
    """A model behind an address that the user names, as a black box; see `Endpoint`. Nothing but inputs is sent."""
    asked = Endpoint(address, headers=headers, per_second=per_second, seconds=seconds)
    return suspect_from_callable(asked, classes, shape, modality=modality, name=address, batch=batch,
                                 notes=("it is asked over the network; it may answer others differently",))
