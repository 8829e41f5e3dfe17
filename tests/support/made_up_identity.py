"""An identity whose token Azurite takes, for programs that tests run: its signature is not looked at."""

from __future__ import annotations

IDENTITY = """
import base64, json, time
from types import SimpleNamespace

def part(**fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

now = int(time.time())
claims = part(
    aud="https://storage.azure.com", iss="https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
    iat=now - 60, nbf=now - 60, exp=now + 3600, oid="23657296-5cd5-45b0-a809-d972a7f4dfe1",
    tid="dd0d0df1-06c3-436c-8034-4b9a153097ce",
)
token = ".".join([part(alg="none", typ="JWT"), claims, part(signature="none")])

class Identity:
    def get_token(self, *scopes):
        return SimpleNamespace(token=token, expires_on=now + 3600)
"""
"""The beginning of a program, which has a class `Identity` from there on."""
