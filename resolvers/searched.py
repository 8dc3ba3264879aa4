"""What the sources were asked to search for lately, so that they are not asked for it again and again."""

import time
from collections import OrderedDict
from typing import Final

FORGET_S: Final = 600.0
MOST: Final = 10_000


class Searched:
    """Remembers up to MOST texts, each for FORGET_S."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, text: str) -> bool:
        """Remember the text; False if it is remembered already."""
        now = time.monotonic()
        if self._until.get(text, 0.0) > now:
            return False
        self._until[text] = now + FORGET_S
        self._until.move_to_end(text)
        if len(self._until) > MOST:
            self._until.popitem(last=False)
        return True
