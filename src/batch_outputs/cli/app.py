"""The subcommands, each imported when it is asked for, and the page that has them all."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

from batch_outputs.cli.codes import FAILURE, INTERRUPTED, USAGE
from batch_outputs.cli.help_page import Entry, Group, Section, option


class _Known(NamedTuple):
    """What is known of a command without its module."""

    module: str
    sentence: str


_COMMANDS = {
    "In a task": {
        "run": _Known("run", "Run a program, keep its output and its files."),
        "resume": _Known("resume", "Finish what a killed run has left unsaved."),
        "save": _Known("save", "Save files, folders and patterns."),
        "track": _Known("track", "Save files as they grow."),
    },
    "To read what is stored": {
        "jobs": _Known("jobs", "List the jobs that have stored outputs, newest first."),
        "tasks": _Known("jobs", "List the tasks of a job that have stored outputs."),
        "list": _Known("listing", "List the outputs of a job, or of one task."),
        "cat": _Known("cat", "Write an output to standard output."),
        "tail": _Known("tail", "Write the end of an output, and follow a log."),
        "download": _Known("download", "Download outputs of a job, or of one task."),
        "browse": _Known("browse", "Show outputs in a browser."),
        "delete": _Known("delete", "Delete outputs of a job, or its whole container."),
    },
    "To submit jobs": {
        "prepare": _Known("containers", "Create a job's container, so that its tasks can save."),
        "container": _Known("containers", "Print the name of a job's container."),
        "url": _Known("containers", "Print the URL of a job's container with a SAS."),
        "group": _Known("group", "Keep files that tasks read, in file groups."),
        "template": _Known("template", "Make tasks from a job template."),
        "try": _Known("try_job", "Run a job on this machine as Batch nodes would."),
    },
    "For your shell": {
        "completion": _Known("completion", "Print a script that lets a shell complete commands."),
    },
}
_KNOWN = {name: known for commands in _COMMANDS.values() for name, known in commands.items()}

_PLACES = Section(
    "Where outputs are stored, by the first of these variables that is set",
    [
        Entry("BATCH_OUTPUTS_CONTAINER_URL", "A container's URL, with or without a SAS."),
        Entry("BATCH_OUTPUTS_ACCOUNT_URL", "An account's URL; the job says which container."),
        Entry("AZURE_STORAGE_CONNECTION_STRING", "An account with its key or a SAS."),
        Entry(
            "AZURE_STORAGE_SERVICE_ENDPOINT",
            "An account's URL; with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.",
        ),
        Entry("AZURE_STORAGE_ACCOUNT", "An account's name; with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN."),
        Entry("none of them", "The folder ./batch-outputs; on a Batch node that is an error."),
    ],
)
_VARIABLES = Section(
    "Other variables",
    [
        Entry(
            "BATCH_OUTPUTS_…_URL_FILE", "A file with one of the URLs above; it is read again when access is refused."
        ),
        Entry("AZ_BATCH_JOB_ID", "The job without --job; Batch sets it."),
        Entry("AZ_BATCH_TASK_ID", "The task without --task; Batch sets it."),
        Entry("AZURE_CLIENT_ID", "Which of the pool's identities is used."),
        Entry(
            "BATCH_OUTPUTS_RETRY_SECONDS", "Seconds for which a request without an answer is repeated.", ["default: 15"]
        ),
        Entry("BATCH_OUTPUTS_BULK", "0: save and download over one kind of connection only, more slowly."),
        Entry("BATCH_OUTPUTS_METADATA_URL", "Where the end of the node is announced.", ["default: by Azure"]),
        Entry("BATCH_OUTPUTS_DEBUG", "Not empty: errors come with a traceback."),
        Entry("NO_COLOR", "Not empty: no colours at a terminal."),
    ],
)
_EXIT_CODES = Section(
    "Exit codes",
    [
        Entry("0", "It is done."),
        Entry(str(USAGE), "The command line is wrong."),
        Entry(str(FAILURE), "Something is not done, or not saved."),
        Entry(str(INTERRUPTED), "Ctrl-C has ended it."),
        Entry("run, try", "Have codes of their own; see their pages."),
    ],
)


class _LazyGroup(Group):
    """A group whose commands live in modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_KNOWN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = _KNOWN.get(cmd_name)
        if known is None:
            return None
        command: click.Command = getattr(import_module(f"batch_outputs.cli.{known.module}"), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _KNOWN and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches  # click would look among commands that are loaded

            near = get_close_matches(name, _KNOWN, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def overview(self) -> list[list[Section]]:
        commands = [
            Section(heading, [Entry(name, known.sentence) for name, known in commands.items()])
            for heading, commands in _COMMANDS.items()
        ]
        return [commands, [_PLACES, _VARIABLES], [_EXIT_CODES]]


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # takes as long as all the rest of --help

        click.echo(version("batch-outputs"))
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version.")
def cli() -> None:
    """Keep what an Azure Batch task produces: its files, its logs as they grow, its exit code.

    \b
    batch-outputs run --save '*.mp4' -- ffmpeg -i in.mov out.mp4
    batch-outputs save --kind TaskPreview thumbs/
    batch-outputs list --job render
    batch-outputs tail -f --job render --task t1 stdout.txt
    batch-outputs download --job render --to results

    Each command has a page of its own, such as batch-outputs run --help.
    """
