"""Values that were evaluated before: the same calls over the same bars give the same."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

import polars as pl

from indicators.evaluate import Values, evaluate
from indicators.indicator import Call

MOST_BYTES: Final = 32_000_000

_Key: TypeAlias = tuple[bytes, int, Call]


class ValueCache:
    """What was evaluated last, in `most_bytes` of memory; what has not been asked for longest goes first.

    It is known by what the bars hold, so a bar that changes, the oldest of the warm-up too, has them evaluated anew.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[_Key, tuple[Values, int]] = OrderedDict()
        self.size_bytes = 0

    def evaluate(self, bars: pl.DataFrame, calls: Sequence[Call], warm_up: int) -> list[Values]:
        """As `evaluate`, without the values of the first `warm_up` bars."""
        digest = _digest(bars)
        known = ((call, self._again((digest, warm_up, call))) for call in calls)
        found = {call: values for call, values in known if values is not None}
        lacking = [call for call in dict.fromkeys(calls) if call not in found]
        if lacking:
            for call, values in zip(lacking, evaluate(bars, lacking, warm_up), strict=True):
                found[call] = values
                self._keep((digest, warm_up, call), values, 8 * bars.height * len(call.indicator.outputs))
        return [found[call] for call in calls]

    def _again(self, key: _Key) -> Values | None:
        """What is known under the key, which is from now on what was asked for last."""
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        return known[0]

    def _keep(self, key: _Key, values: Values, size_bytes: int) -> None:
        # Of all the bars: a column that is cut holds on to what it was cut from.
        self._known[key] = values, size_bytes
        self.size_bytes += size_bytes
        while self.size_bytes > self._most_bytes:
            _, (_, dropped_bytes) = self._known.popitem(last=False)
            self.size_bytes -= dropped_bytes


def _digest(bars: pl.DataFrame) -> bytes:
    found = sha256(str(bars.schema).encode())
    for column in bars.iter_columns():
        found.update(column.to_numpy().view("u8").data)
    return found.digest()
