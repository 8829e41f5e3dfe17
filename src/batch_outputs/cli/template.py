"""`template`: templates of jobs, expanded to the tasks that they stand for."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from datetime import datetime
from typing import IO, TYPE_CHECKING

import click

from batch_outputs.cli.filters import sas_expiry
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, writing_output
from batch_outputs.wording import counted, time_text

if TYPE_CHECKING:
    from batch_outputs.client.templates import Expansion, StoredContainers

_IN_MEMORY = 16 * 1024 * 1024


@click.group("template")
def template_command() -> None:
    """Work with templates of jobs.

    \b
    batch-outputs template expand render.json --parameter frames=100
    """


def named_values(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """The values of options NAME=VALUE, by name."""
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value} is not NAME=VALUE.")
        if name in pairs:
            raise click.BadParameter(f"{name} is given twice; keep one.")
        pairs[name] = text
    return pairs


@template_command.command("expand", short_help="Print the tasks of a template as JSON.")
@click.argument("file", callback=not_empty)
@click.option("--parameters", metavar="FILE", callback=not_empty, help='Values: {"x": {"value": 1}} or {"x": 1}.')
@click.option(
    "--parameter",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    callback=named_values,
    help="A value, above one of --parameters. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One task a line, not one array.")
@click.option(
    "--sas/--no-sas", default=True, show_default=True, help="Whether URLs of containers are signed, for the service."
)
@click.option(
    "--expiry",
    metavar="TIME",
    default="7d",
    show_default=True,
    callback=sas_expiry,
    help="For how long a SAS is good (30m, 12h, 7d, 2w), or until which date or time (UTC).",
)
@click.option("--create-groups", is_flag=True, help="Make the containers of the groups that output files go to.")
@where_options(job=False, task=False, container=False)
def expand_command(
    file: str,
    parameters: str | None,
    pairs: dict[str, str],
    as_json: bool,
    sas: bool,
    expiry: datetime,
    create_groups: bool,
    where: Where,
) -> None:
    """Print the tasks of a template, as the Batch service's REST API takes them.

    \b
    batch-outputs template expand render.json --parameters values.json
    batch-outputs template expand render.json --parameter frames=100 --json
    batch-outputs template expand render.json --parameter frames=100 --no-sas

    Parameters, variables and expressions are resolved, and the task factory's tasks made, at most a million. For output
    files that go to a file group (autoStorage), and tasks per file, the configured account is used: the URLs printed
    then have a SAS and are secrets, unless --no-sas is given. With a mistake in the template nothing is printed.
    """
    from batch_outputs.client.templates import Template, read_parameters

    template = Template.read(file)
    expansion = template.expand(read_parameters(parameters, pairs, template=template))
    containers = None
    if expansion.needs_containers:
        from batch_outputs.client.templates import StoredContainers

        containers = StoredContainers(where.target(), sas=sas, expiry=expiry, create_groups=create_groups)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="ascii") as spool:
        number = run_async(_write_tasks(expansion, containers, spool, as_json=as_json))
        spool.seek(0)
        with writing_output():  # only now, when nothing can be wrong any more
            if sys.stdout is not None:
                shutil.copyfileobj(spool, sys.stdout)
                sys.stdout.flush()
    say(f"{counted(number, 'task')} in {file}.")
    if containers is not None and containers.signed:
        say(f"URLs among what was printed let whoever has them in until {time_text(expiry)}; keep them secret.")


async def _write_tasks(expansion: Expansion, containers: StoredContainers | None, to: IO[str], *, as_json: bool) -> int:
    number = 0
    async for task in expansion.tasks(containers):
        if as_json:
            to.write(json.dumps(task) + "\n")
        else:
            to.write("[\n" if number == 0 else ",\n")
            to.write("\n".join(f"  {line}" for line in json.dumps(task, indent=2).splitlines()))
        number += 1
    if not as_json:
        to.write("\n]\n")
    return number
