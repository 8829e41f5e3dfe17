"""The subcommands, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

_MODULES = {
    "run": "run",
    "resume": "resume",
    "save": "save",
    "track": "track",
    "list": "listing",
    "tasks": "jobs",
    "jobs": "jobs",
    "cat": "cat",
    "tail": "tail",
    "download": "download",
    "browse": "browse",
    "delete": "delete",
    "prepare": "containers",
    "container": "containers",
    "url": "containers",
    "group": "group",
    "template": "template",
    "try": "try_job",
    "completion": "completion",
}


class _LazyGroup(click.Group):
    """A group whose commands live in modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"batch_outputs.cli.{module}"), f"{cmd_name}_command")
        return command


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # takes as long as all the rest of --help

        click.echo(version("batch-outputs"))
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show version."
)
def cli() -> None:
    """Keep what an Azure Batch task produces: its files, its logs as they grow, its exit code.

    \b
    batch-outputs run --save '*.mp4' -- ffmpeg -i in.mov out.mp4
    batch-outputs save --kind TaskPreview thumbs/
    batch-outputs list --job render
    batch-outputs cat --job render --task t1 stdout.txt

    \b
    Where outputs go is said by BATCH_OUTPUTS_CONTAINER_URL,
    BATCH_OUTPUTS_ACCOUNT_URL or the AZURE_STORAGE_… variables of the Azure CLI.
    With none of them set, away from a Batch node, it is ./batch-outputs.
    """
