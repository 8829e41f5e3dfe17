"""What of a log may reach a terminal; see `batch_outputs.terminal_text`."""

from __future__ import annotations

from batch_outputs.terminal_text import TerminalFilter

__all__ = ["TerminalFilter"]
