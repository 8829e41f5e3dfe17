"""`template`: templates of jobs, expanded to the tasks that they stand for."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from batch_outputs.cli.containers import expiry_option
from batch_outputs.cli.help_page import Decorator, Group, argument, option
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, writing_output
from batch_outputs.wording import counted, time_text

if TYPE_CHECKING:
    from batch_outputs.client.templates import Expansion, StoredContainers

F = TypeVar("F", bound=Callable[..., Any])

_IN_MEMORY = 16 * 1024 * 1024


@click.group("template", cls=Group)
def template_command() -> None:
    """Make tasks from a job template.

    \b
    batch-outputs template expand render.json --parameter frames=100

    Templates are those of the Azure CLI's Batch extension: a job with parameters and, where it has one, a task factory.
    batch-outputs try runs such a template on this machine.
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


def parameter_options(option: Callable[..., Decorator]) -> Decorator:
    """Give a command the options `--parameters` and `--parameter`, as `parameters` and `values`."""

    def decorate(command: F) -> F:
        of_file = option(
            "--parameters",
            metavar="FILE",
            callback=not_empty,
            show_default="none",
            help='The template\'s parameters, as JSON: {"frames": {"value": 9}} or {"frames": 9}.',
        )
        of_one = option(
            "--parameter",
            "values",
            metavar="NAME=VALUE",
            multiple=True,
            callback=named_values,
            help="The value of one parameter; it weighs more than that of --parameters.",
        )
        return of_file(of_one(command))

    return decorate


@template_command.command("expand", short_help="Print the tasks of a template as JSON.")
@argument("file", metavar="FILE", callback=not_empty, help="The template, as JSON.")
@parameter_options(option)
@option("--json", "as_json", is_flag=True, help="One task a line, not one array.")
@option(
    "--sas/--no-sas", default=True, show_default="--sas", help="Whether URLs of containers get a SAS, for the service."
)
@expiry_option
@option("--create-groups", is_flag=True, help="Make the containers of the file groups that output files go to.")
@where_options(job=False, task=False, container=False)
def expand_command(
    file: str,
    parameters: str | None,
    values: dict[str, str],
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
    then have a SAS and are secrets, unless --no-sas is given. If the template has a mistake, nothing is printed.
    """
    from batch_outputs.client.templates import Template, read_parameters

    template = Template.read(file)
    expansion = template.expand(read_parameters(parameters, values, template=template))
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
