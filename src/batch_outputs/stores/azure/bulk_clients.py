"""obstore's clients for one container, made anew with each new ticket."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.network import KEEP_ALIVE
from batch_outputs.stores.azure.retries import RetryPolicy

if TYPE_CHECKING:
    from obstore.store import AzureBearerToken, AzureSASToken, ClientConfig
    from obstore.store import AzureStore as Client

_TIMEOUT = timedelta(seconds=60)
_MOST_RETRIES = 10


class Clients:
    """Two clients: `patient` tries again by itself, for long work; `prompt` tells at once what is wrong.

    Both are None until a ticket is there, and where obstore, which reads the environment, does not like what it finds.
    """

    def __init__(self, container: str, endpoint: str, policy: RetryPolicy, proxy: str | None) -> None:
        self.patient: Client | None = None
        self.prompt: Client | None = None
        self.ticket: Ticket | None = None
        self._container = container
        self._endpoint = endpoint
        self._patience = policy.patience
        self._proxy = proxy

    def renew(self, ticket: Ticket) -> None:
        """Use this ticket from now on."""
        if ticket == self.ticket:
            return
        self.ticket = ticket
        self.patient = self.prompt = None
        with suppress(Exception):
            self.patient = self._configured(ticket, retries=_MOST_RETRIES if self._patience else 0)
            self.prompt = self._configured(ticket, retries=0)

    def forget(self) -> None:
        """Have no clients any more; their connections are closed with them."""
        self.ticket = self.patient = self.prompt = None

    def _configured(self, ticket: Ticket, *, retries: int) -> Client:
        from obstore.store import AzureStore as Client

        options: ClientConfig = {
            "allow_http": self._endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=20),
            "timeout": _TIMEOUT,
            "pool_idle_timeout": timedelta(seconds=KEEP_ALIVE),
        }
        if self._proxy is not None:
            options["proxy_url"] = self._proxy
        # A provider comes before every key, token and switch that obstore might find in the environment.
        return Client(
            self._container,
            config={
                "endpoint": self._endpoint,
                "account_name": "-",
                "use_emulator": False,
                "skip_signature": False,
            },
            credential_provider=lambda: _credential(ticket),
            client_options=options,
            # Where this ends, the wire goes on with patience of its own.
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=self._patience / 3)},
        )


def _credential(ticket: Ticket) -> AzureSASToken | AzureBearerToken:
    if ticket.sas:
        return {"sas_token": ticket.sas, "expires_at": None}
    return {"token": ticket.token, "expires_at": None}
