"""Every indicator, by the name that clients use. A function in a module of this folder is in it: no list to keep."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import indicators
from indicators.indicator import REGISTERED, Indicator

for _module in pkgutil.walk_packages(indicators.__path__, "indicators."):
    if _module.name != __name__:
        importlib.import_module(_module.name)

CATALOG: Final[Mapping[str, Indicator]] = MappingProxyType(dict(sorted(REGISTERED.items())))
