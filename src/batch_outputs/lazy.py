"""Names of a package that are fetched from their modules when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module


def fetch(package: str, homes: Mapping[str, str], name: str) -> object:
    """What a package's `__getattr__` returns: the name from the module that `homes` tells, kept for the next time.

    Raises:
        AttributeError: the package has no such name.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{package}.{home}"), name)
    setattr(sys.modules[package], name, value)
    return value
