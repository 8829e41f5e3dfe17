"""Who is compared: batch-outputs and the programs that do the like, each called as it is at its best."""

from __future__ import annotations

from benchmarks.contenders.adlfs import Adlfs
from benchmarks.contenders.azcopy import AzCopy
from benchmarks.contenders.base import Contender
from benchmarks.contenders.ours import Ours, OursUnchecked
from benchmarks.contenders.rclone import Rclone, RcloneUnchecked
from benchmarks.contenders.sdk import SdkAio, SdkBlocking

CONTENDERS: tuple[type[Contender], ...] = (
    Ours,
    OursUnchecked,
    Rclone,
    RcloneUnchecked,
    AzCopy,
    SdkAio,
    SdkBlocking,
    Adlfs,
)
