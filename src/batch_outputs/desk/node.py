"""One of the nodes on the desk: its directories and its slots."""

from __future__ import annotations

import os

from batch_outputs.desk.workspace import Workspace


class Node:
    """A node, below a folder of its own. `free` is how many of its slots no task has."""

    def __init__(self, folder: str, number: int, slots: int) -> None:
        self.node_id: str = f"node-{number}"
        self.root: str = os.path.join(folder, self.node_id)
        self.free = slots
        self.is_eligible = True
        """False once its preparation task has failed: then no task of the job runs there."""

    @property
    def shared(self) -> str:
        """The directory that all tasks of the node see."""
        return os.path.join(self.root, "shared")

    @property
    def startup(self) -> str:
        """The directory of a start task, which a job does not have."""
        return os.path.join(self.root, "startup")

    @property
    def mounts(self) -> str:
        """The directory below which file systems would be mounted."""
        return os.path.join(self.root, "mounts")

    def workspace(self, task_id: str) -> Workspace:
        """The directories of a task."""
        return Workspace(os.path.join(self.root, "tasks", task_id))

    def make(self) -> None:
        """Make its directories."""
        for folder in (self.shared, os.path.join(self.startup, "wd"), self.mounts, os.path.join(self.root, "tasks")):
            os.makedirs(folder, exist_ok=True)
