"""Silence is told once each time, and not while something comes."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batch_outputs.silence import Silence

pytestmark = pytest.mark.anyio


async def test_told_once_each_time() -> None:
    """It is told when nothing has come for a while, once, and again after something has come."""
    told: list[float] = []
    heard = asyncio.Event()

    def tell() -> None:
        told.append(asyncio.get_running_loop().time())
        heard.set()

    silence = Silence(tell, patience=0.1)
    begun = asyncio.get_running_loop().time()
    with anyio.fail_after(20):
        async with silence.watched():
            await heard.wait()
            await asyncio.sleep(0.3)
            assert len(told) == 1
            heard.clear()
            silence.sign()
            await heard.wait()
    assert told[0] - begun >= 0.1
    assert len(told) == 2


async def test_a_failure_inside() -> None:
    """An error of what is watched comes as it is."""
    with pytest.raises(KeyError):
        async with Silence(lambda: None, patience=5).watched():
            raise KeyError
