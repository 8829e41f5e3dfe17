"""`browse`: the page that shows outputs in a browser."""

from __future__ import annotations

import contextlib
import sys
import threading

import click

from batch_outputs.cli.help_page import command, options_under
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, show
from batch_outputs.errors import ConfigurationError

_address_option = options_under("The address of the page")
_page_option = options_under("The page")


@command("browse")
@_address_option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="0, any free one",
    metavar="N",
    help="The port to listen on.",
)
@_address_option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    callback=not_empty,
    help="The address to listen on; anything but this machine's own lets the network in.",
)
@_address_option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    callback=lambda context, option, values: tuple(not_empty(context, option, value) for value in values),
    show_default="none",
    help="A further name that browsers may know this machine by, such as behind a tunnel.",
)
@_page_option(
    "--open/--no-open",
    "wants_browser",
    default=None,
    show_default="at a terminal",
    help="Whether to open a browser.",
)
@_page_option("--allow-delete", is_flag=True, help="Let the page delete outputs; not for the network.")
@where_options(task=False, job_default="all jobs")
def browse_command(
    port: int, host: str, host_names: tuple[str, ...], wants_browser: bool | None, allow_delete: bool, where: Where
) -> None:
    """Show outputs in a browser.

    \b
    batch-outputs browse
    batch-outputs browse --job render-2026
    batch-outputs browse --port 8765 --no-open

    The first line on standard output is the page's address, with a token that lets you in. The page is for you alone:
    it is served on this machine only, and shows all jobs of the account, or the one of a container. Ctrl-C ends it.
    Needs the extra: pip install 'batch-outputs[browse]'.
    """
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"The page needs {error.name}, which is not installed; install it with pip install 'batch-outputs[browse]'."
        ) from error
    from batch_outputs.browse.guard import is_loopback

    if allow_delete and not is_loopback(host) and not host_names:
        raise click.UsageError(
            "--allow-delete is not for a page that the network can ask without encryption; leave out --host and use a "
            "tunnel, or name with --host-name the tunnel or proxy that encrypts."
        )
    opens = sys.stdout is not None and sys.stdout.isatty() if wants_browser is None else wants_browser
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it, and no failure
        run_async(_browse(where, port, host, host_names, opens=opens, allow_delete=allow_delete))


async def _browse(
    where: Where, port: int, host: str, host_names: tuple[str, ...], *, opens: bool, allow_delete: bool
) -> None:
    from batch_outputs.account import OutputAccount
    from batch_outputs.browse.guard import is_loopback
    from batch_outputs.browse.jobs import Jobs
    from batch_outputs.browse.server import serve
    from batch_outputs.browse.site import Site

    target = where.target()
    if where.job is not None:
        target = target._replace(container=target.location(where.job).container)
    site = Site(Jobs(OutputAccount.at(target)), allow_delete=allow_delete)

    def announce(address: str, address_to_open: str) -> None:
        show(address)
        sys.stdout.flush()
        say(f"showing {site.jobs.place}; Ctrl-C ends it.")
        if not is_loopback(host):
            say("the network can ask, too, and what it is told is not encrypted; only the token keeps others out.")
        if opens:
            _open_browser(address_to_open)

    await serve(site, host=host, port=port, host_names=host_names, announce=announce)


def _open_browser(address: str) -> None:
    import webbrowser

    # Some browsers are waited for until they are closed.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
