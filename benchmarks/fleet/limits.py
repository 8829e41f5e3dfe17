"""What Microsoft publishes of the services, and the sample prices of its pages; none of it is measured here.

- "Scalability and performance targets for standard storage accounts": requests and ingress of an account. More can be
  asked for.
- "Scalability and performance targets for Blob storage": blocks of an append blob.
- "Map each REST operation to a price": which requests count as writes. Refused ones are charged, too.
- "Estimate the cost of using Azure Blob Storage": sample prices of August 2024 for the hot tier, which by its own words
  are no offer. Prices differ by region and redundancy.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUESTS_PER_SECOND = 20_000
"""Of a general-purpose v2 account; in the larger regions it is 40,000."""

INGRESS = 25e9 / 8
"""Bytes a second into an account: 25 Gbps."""

INGRESS_IN_LARGE_REGIONS = 60e9 / 8

GB = 1e9


@dataclass(frozen=True)
class Prices:
    """In dollars: of 10,000 writes, of 10,000 other requests, and of a GB that is kept for a month."""

    writes: float = 0.055
    others: float = 0.0044
    gb_month: float = 0.0208

    def of_requests(self, writes: float, others: float) -> float:
        """What so many requests cost."""
        return (writes * self.writes + others * self.others) / 10_000
