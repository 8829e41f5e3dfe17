"""`completion`: the script that lets a shell complete our commands and options."""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from batch_outputs.cli.help_page import argument, command
from batch_outputs.cli.talk import show

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@command("completion")
@argument(
    "shell",
    metavar="[bash|zsh|fish]",
    type=click.Choice(list(_SHELLS)),
    required=False,
    help="The shell that is to complete; without it, the one that the variable SHELL names.",
)
@click.pass_context
def completion_command(context: click.Context, shell: str | None) -> None:
    """Print a script that lets a shell complete commands.

    \b
    batch-outputs completion bash >> ~/.bashrc
    batch-outputs completion zsh >> ~/.zshrc

    For fish, write it to ~/.config/fish/completions/batch-outputs.fish. It works in shells that are started afterwards;
    bash needs version 4.4 or later, and zsh needs compinit before it. Nothing is looked up in storage.
    """
    program = context.find_root().info_name or "batch-outputs"
    # Not by `source()`, which first starts a bash to ask for its version.
    script = _SHELLS[shell or _own_shell()](context.find_root().command, {}, program, "_BATCH_OUTPUTS_COMPLETE")
    show(script.source_template % script.source_vars())


def _own_shell() -> str:
    name = os.path.basename(os.environ.get("SHELL", "")).removesuffix(".exe")
    if name not in _SHELLS:
        raise click.UsageError(f"Which shell is meant is not known; name one of {', '.join(_SHELLS)}.")
    return name
