"""Where outputs go: every way to say it, which one counts, and one sentence for each way to say it wrongly."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential

from batch_outputs.credentials import access_from_credential, account_name_of
from batch_outputs.errors import ConfigurationError
from batch_outputs.location import (
    Access,
    AzureAccount,
    DirectoryAccount,
    KeyAccess,
    SasAccess,
    SasFileAccess,
    StoreLocation,
    TokenAccess,
)
from batch_outputs.settings import (
    Target,
    account_from_connection_string,
    account_target,
    carries_secret,
    container_target,
    find_target,
    read_url_file,
    shown,
)

HOST = "https://acct.blob.core.windows.net"
SIGNATURE = "U0lHTkFUVVJFLXRoYXQtaXMtc2VjcmV0%3D"
SAS = f"sv=2024-11-04&sr=c&sp=racwdl&se=2030-01-01T00%3A00%3A00Z&sig={SIGNATURE}"
KEY = "S0VZLXRoYXQtaXMtc2VjcmV0LUtFWS10aGF0LWlzLXNlY3JldC1LRVktdGhhdC1pcy1zZWNyZXQtS0VZLXRoYQ=="
SECRETS = ("U0lHTkFUVVJF", "S0VZLXRo", "pa55word")
EMULATOR = "http://127.0.0.1:10000/devstoreaccount1"

WHOLE = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY};EndpointSuffix=core.windows.net"


class Identity:
    """A credential as azure-identity's blocking classes are."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("pa55word", 0)


IDENTITY = Identity()


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it carries along, shown or not."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def assert_no_secret(error: BaseException) -> None:
    """No secret is in the error's text, attributes or causes."""
    texts = ["".join(traceback.format_exception(error))]
    texts += [f"{found!r} {vars(found)} {found.args}" for found in chain(error)]
    # What decoding errors carry is not in their text.
    texts += [str(getattr(found, "object", "")) for found in chain(error)]
    for secret in SECRETS:
        assert secret not in "\n".join(texts)


def azure(access: Access, endpoint: str = HOST) -> AzureAccount:
    return AzureAccount(endpoint, access)


CONTAINER_URL = "BATCH_OUTPUTS_CONTAINER_URL"
ACCOUNT_URL = "BATCH_OUTPUTS_ACCOUNT_URL"
CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({CONTAINER_URL: f"{HOST}/job-x?{SAS}"}, Target(azure(SasAccess(SAS)), "job-x")),
        ({CONTAINER_URL: f"  {HOST}/job-x/?{SAS}\n"}, Target(azure(SasAccess(SAS)), "job-x")),
        ({CONTAINER_URL: f"{HOST}/job-x"}, Target(azure(TokenAccess()), "job-x")),
        ({CONTAINER_URL: f"{HOST}/$web"}, Target(azure(TokenAccess()), "$web")),
        ({CONTAINER_URL: f"{HOST}/%24web"}, Target(azure(TokenAccess()), "$web")),
        ({CONTAINER_URL: f"{EMULATOR}/job-x?{SAS}"}, Target(azure(SasAccess(SAS), EMULATOR), "job-x")),
        (
            {CONTAINER_URL: f"http://azurite:10000/acct/job-x?{SAS}"},
            Target(azure(SasAccess(SAS), "http://azurite:10000/acct"), "job-x"),
        ),
        (
            {CONTAINER_URL: f"http://[::1]:10000/acct/job-x?{SAS}"},
            Target(azure(SasAccess(SAS), "http://[::1]:10000/acct"), "job-x"),
        ),
        ({ACCOUNT_URL: HOST}, Target(azure(TokenAccess()))),
        ({ACCOUNT_URL: f"{HOST}/?{SAS}"}, Target(azure(SasAccess(SAS)))),
        ({ACCOUNT_URL: EMULATOR}, Target(azure(TokenAccess(), EMULATOR))),
        ({CONNECTION_STRING: WHOLE}, Target(azure(KeyAccess("acct", KEY)))),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY}, Target(azure(KeyAccess("acct", KEY)))),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_SAS_TOKEN": f"?{SAS}"}, Target(azure(SasAccess(SAS)))),
        ({"AZURE_STORAGE_ACCOUNT": "acct"}, Target(azure(TokenAccess()))),
        (
            {
                "AZURE_STORAGE_ACCOUNT": "devstoreaccount1",
                "AZURE_STORAGE_KEY": KEY,
                "AZURE_STORAGE_SERVICE_ENDPOINT": EMULATOR,
            },
            Target(azure(KeyAccess("devstoreaccount1", KEY), EMULATOR)),
        ),
        (
            {"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SERVICE_ENDPOINT": "https://acct.blob.core.chinacloudapi.cn/"},
            Target(azure(KeyAccess("acct", KEY), "https://acct.blob.core.chinacloudapi.cn")),
        ),
        (
            {"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS},
            Target(azure(KeyAccess("acct", KEY))),
        ),
    ],
)
def test_each_way_in(environ: dict[str, str], target: Target) -> None:
    """Each variable, alone and in its combinations, leads to its account, container and access; also on a node."""
    assert find_target(environ) == target
    assert find_target({"AZ_BATCH_NODE_ID": "n1", **environ}) == target


def test_folders(tmp_path: Path) -> None:
    """A `file:` URL names a container's folder, or the folder of containers, percent-encoded as in any URL."""
    folder = tmp_path / "a b%41#ü"
    assert find_target({ACCOUNT_URL: folder.as_uri()}) == Target(DirectoryAccount(folder))
    assert find_target({CONTAINER_URL: (folder / "job-x").as_uri()}) == Target(DirectoryAccount(folder), "job-x")
    assert find_target({CONTAINER_URL: (folder / "job-x").as_uri() + "/"}).container == "job-x"
    assert container_target(StoreLocation(DirectoryAccount(folder), "job-x").url).location(None).container == "job-x"


def test_order_of_weight() -> None:
    """Argument beats environment, our variables beat the Azure CLI's, and one container beats an account."""
    everything = {
        CONTAINER_URL: f"{HOST}/job-one?{SAS}",
        ACCOUNT_URL: "https://two.blob.core.windows.net",
        CONNECTION_STRING: WHOLE.replace("=acct", "=three"),
        "AZURE_STORAGE_ACCOUNT": "four",
        "AZURE_STORAGE_KEY": KEY,
    }
    asked = f"{HOST}/job-zero"
    assert find_target(everything, container_url=asked, account_url=HOST).container == "job-zero"
    assert find_target(everything, account_url="https://zero.blob.core.windows.net") == Target(
        azure(TokenAccess(), "https://zero.blob.core.windows.net")
    )
    found = []
    for variable in list(everything):
        found.append(find_target(everything).location("j").place)
        del everything[variable]
    assert found[:4] == [
        "acct.blob.core.windows.net/job-one",
        "two.blob.core.windows.net/job-j",
        "three.blob.core.windows.net/job-j",
        "four.blob.core.windows.net/job-j",
    ]
    assert find_target(dict.fromkeys([CONTAINER_URL, ACCOUNT_URL, CONNECTION_STRING], "")).embedded


def test_reads_this_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, the environment of the process counts."""
    monkeypatch.setenv(CONTAINER_URL, f"{HOST}/job-from-process")
    assert find_target().container == "job-from-process"


class TestEmbedded:
    def test_nothing_configured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Away from a node, with nothing set, it is a folder below the current one; job and task have names there."""
        monkeypatch.chdir(tmp_path)
        target = find_target({})
        assert target == Target(DirectoryAccount(tmp_path / "batch-outputs"), embedded=True)
        assert target.location(None).place == str(tmp_path / "batch-outputs" / "job-local")
        assert target.location("Demo").container == "job-demo"
        assert (target.task(None), target.task("t1")) == ("task", "t1")

    def test_only_there_names_come_by_themselves(self) -> None:
        """In an account, job and task have to be named; a container that is configured holds for every job."""
        with pytest.raises(ConfigurationError, match="AZ_BATCH_JOB_ID") as refused:
            Target(azure(TokenAccess())).location(None)
        assert refused.value.variable == "AZ_BATCH_JOB_ID"
        with pytest.raises(ConfigurationError, match="AZ_BATCH_TASK_ID"):
            Target(azure(TokenAccess())).task(None)
        assert Target(azure(TokenAccess()), "job-x").location("other").container == "job-x"

    @pytest.mark.parametrize(
        "sign", ["AZ_BATCH_NODE_ID", "AZ_BATCH_POOL_ID", "AZ_BATCH_TASK_DIR", "AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID"]
    )
    def test_never_on_a_node(self, sign: str) -> None:
        """On a node nothing configured is an error that lists what to set: its disk is about to vanish."""
        with pytest.raises(ConfigurationError) as refused:
            find_target({sign: "x", "AZ_BATCH_ACCOUNT_NAME": "acct"})
        for variable in (CONTAINER_URL, ACCOUNT_URL, CONNECTION_STRING, "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"):
            assert variable in str(refused.value)

    def test_a_credential_alone_is_not_enough(self) -> None:
        """Who gives a credential does not mean a folder."""
        with pytest.raises(ConfigurationError, match="no account or container"):
            find_target({}, credential=IDENTITY)


class TestFiles:
    @pytest.mark.parametrize("text", ["{}", "  {}\n", "\ufeff{}\r\nwhatever else\r\n"])
    def test_a_url_in_a_file(self, text: str, tmp_path: Path) -> None:
        """The first line of the file is the URL; a SAS is remembered as the file that can renew it."""
        file = tmp_path / "url"
        file.write_text(text.format(f"{HOST}/job-x?{SAS}"), encoding="utf-8")
        assert find_target({f"{CONTAINER_URL}_FILE": str(file)}) == Target(azure(SasFileAccess(file)), "job-x")
        file.write_text(text.format(f"{HOST}?{SAS}"), encoding="utf-8")
        assert find_target({f"{ACCOUNT_URL}_FILE": str(file)}) == Target(azure(SasFileAccess(file)))

    def test_without_a_sas(self, tmp_path: Path) -> None:
        """A URL without a SAS means an identity, in a file too; and it may be a folder."""
        file = tmp_path / "url"
        file.write_text(HOST)
        assert find_target({f"{ACCOUNT_URL}_FILE": str(file)}) == Target(azure(TokenAccess()))
        file.write_text(tmp_path.as_uri())
        assert find_target({f"{ACCOUNT_URL}_FILE": str(file)}) == Target(DirectoryAccount(tmp_path))

    def test_one_of_both(self, tmp_path: Path) -> None:
        """A URL and a file for it contradict each other; an empty variable is none."""
        file = tmp_path / "url"
        file.write_text(f"{HOST}/job-x?{SAS}")
        with pytest.raises(ConfigurationError, match="both set") as refused:
            find_target({CONTAINER_URL: f"{HOST}/job-x?{SAS}", f"{CONTAINER_URL}_FILE": str(file)})
        assert_no_secret(refused.value)
        assert find_target({CONTAINER_URL: "", f"{CONTAINER_URL}_FILE": str(file)}).container == "job-x"

    @pytest.mark.parametrize("content", [b"", b" \n\n", f"{HOST}/job-x?{SAS}".encode("utf-16"), SAS.encode()])
    def test_is_named_when_it_holds_none(self, content: bytes, tmp_path: Path) -> None:
        """An empty file, or one that holds something else, is refused; what it holds is not shown."""
        file = tmp_path / "url"
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"url|_FILE") as refused:
            find_target({f"{CONTAINER_URL}_FILE": str(file)})
        assert_no_secret(refused.value)

    def test_is_named_when_it_cannot_be_read(self, tmp_path: Path) -> None:
        """A missing file, or a folder in its place, is refused with its path and the reason."""
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(ConfigurationError, match="cannot be read") as refused:
                read_url_file(str(path))
            assert str(path) in str(refused.value)


MALFORMED_URLS = [
    ("", "not a URL"),
    (" ", "not a URL"),
    ("acct", "not a URL"),
    ("acct.blob.core.windows.net/job-x", "not a URL"),
    ("job-x", "not a URL"),
    ("/some/folder", "not a URL"),
    ("ftp://acct.blob.core.windows.net/job-x", "not a URL"),
    ("https://", "not a URL"),
    ("https:///job-x", "not a URL"),
    ("https://acct:port/job-x", "not a URL"),
    ("https://[::1/job-x", "not a URL"),
    ("https://ac ct.blob.core.windows.net/job-x", "not a URL"),
    ("https://.blob.core.windows.net/job-x", "not a URL"),
    (f"?{SAS}", "not a URL"),
    (SAS, "not a URL"),
    (SAS.replace("=", "%3D"), "not a URL"),
    (KEY, "not a URL"),
    (KEY.rstrip("="), "not a URL"),
    (WHOLE, "not a URL"),
    (f"BlobEndpoint={HOST}/;SharedAccessSignature={SAS}", "not a URL"),
    (f"{HOST.replace('https', 'htps')}/job-x?{SAS}", "not a URL"),
    (f"https%3A%2F%2Facct.blob.core.windows.net%2Fjob-x%3Fsig%3D{SIGNATURE}", "not a URL"),
    ("https://me:pa55word@acct.blob.core.windows.net/job-x", "user or password"),
    ("https://pa55word@acct.blob.core.windows.net/job-x", "user or password"),
    ("file://server/share/job-x", "absolute folder"),
    ("file:folder", "absolute folder"),
    ("file:///folder/job-x?x", r"\? or #"),
    ("file:///folder/job-x#x", r"\? or #"),
    ("file:///folder/job%00x", "absolute folder"),
]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *MALFORMED_URLS,
        (HOST, "container's name"),
        (f"{HOST}/", "container's name"),
        (f"{HOST}/?{SAS}", "container's name"),
        (f"{HOST}/job-x/blob.txt", "container's name"),
        (f"{HOST}/job-x/blob.txt?{SAS}", "container's name"),
        (EMULATOR, "container's name"),
        (f"{HOST}/Job-X", "names the container 'Job-X'"),
        (f"{HOST}/jo", "names the container 'jo'"),
        (f"{HOST}/job--x", "names the container"),
        (f"{HOST}/-job", "names the container"),
        (f"{HOST}/{'x' * 64}", "names the container"),
        (f"{HOST}/job-x%3F{SAS.replace('=', '%3D').replace('&', '%26')}", "names the container"),
        (f"{HOST}/job-x%3F{SAS}", "names the container"),
        (f"{HOST}/job-x?sv=2024-11-04", "not a SAS"),
        (f"{HOST}/job-x?sig=", "not a SAS"),
        (f"{HOST}/job-x#?{SAS}", "not a SAS"),
        (f"{HOST}/job-x?sv=1&sig=U0lHTkFUVVJF\u00fc", "not a SAS"),
        ("file:///", "names no container"),
    ],
)
def test_malformed_container_urls(url: str, reason: str) -> None:
    """Each wrong container URL is refused with its reason, naming where it came from, and showing no secret."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        container_target(url, variable="X_URL")
    assert "X_URL" in str(refused.value)
    assert refused.value.variable == "X_URL"
    assert_no_secret(refused.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *MALFORMED_URLS,
        (f"{HOST}/job-x", "has a path"),
        (f"{HOST}/job-x?{SAS}", "has a path"),
        (f"{EMULATOR}/job-x", "has a path"),
        (f"{HOST}?restype=container", "not a SAS"),
    ],
)
def test_malformed_account_urls(url: str, reason: str) -> None:
    """Each wrong account URL, too."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        account_target(url, variable="X_URL")
    assert "X_URL" in str(refused.value)
    assert_no_secret(refused.value)


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": f"{KEY}*"}, "AZURE_STORAGE_KEY is not an account key"),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY[:-3]}, "AZURE_STORAGE_KEY is not an account key"),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": f"{KEY}ü"}, "AZURE_STORAGE_KEY is not an account key"),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_SAS_TOKEN": "U0lHTkFUVVJF"}, "TOKEN is not a SAS"),
        ({"AZURE_STORAGE_ACCOUNT": "ac ct"}, "AZURE_STORAGE_ACCOUNT"),
        ({"AZURE_STORAGE_ACCOUNT": "acct/x", "AZURE_STORAGE_KEY": KEY}, "AZURE_STORAGE_ACCOUNT"),
        ({"AZURE_STORAGE_ACCOUNT": WHOLE}, "AZURE_STORAGE_ACCOUNT"),
        ({"AZURE_STORAGE_SERVICE_ENDPOINT": "acct"}, "AZURE_STORAGE_SERVICE_ENDPOINT"),
        ({"AZURE_STORAGE_SERVICE_ENDPOINT": f"{HOST}?{SAS}", "AZURE_STORAGE_KEY": KEY}, "keep one"),
        ({CONNECTION_STRING: "AccountName=acct"}, CONNECTION_STRING),
    ],
)
def test_malformed_variables(environ: dict[str, str], reason: str) -> None:
    """The Azure CLI's variables are checked before anything is done, and named when they are wrong."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        find_target(environ)
    assert_no_secret(refused.value)


class TestConnectionStrings:
    @pytest.mark.parametrize(
        ("text", "account"),
        [
            (WHOLE, azure(KeyAccess("acct", KEY))),
            (f" {WHOLE} ; ", azure(KeyAccess("acct", KEY))),
            (f"accountname=acct;ACCOUNTKEY={KEY}", azure(KeyAccess("acct", KEY))),
            (
                f"AccountName=acct;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
                azure(KeyAccess("acct", KEY), "https://acct.blob.core.chinacloudapi.cn"),
            ),
            (
                f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={EMULATOR};",
                azure(KeyAccess("devstoreaccount1", KEY), EMULATOR),
            ),
            (f"BlobEndpoint={HOST}/;QueueEndpoint=x;SharedAccessSignature={SAS}", azure(SasAccess(SAS))),
            (f"AccountName=acct;SharedAccessSignature=?{SAS}", azure(SasAccess(SAS))),
        ],
    )
    def test_each_form(self, text: str, account: AzureAccount) -> None:
        """What the portal, the CLI and the emulator write is understood."""
        assert account_from_connection_string(text) == account

    def test_the_emulators_short_form(self) -> None:
        """`UseDevelopmentStorage=true` means the emulator on this machine."""
        account = account_from_connection_string("UseDevelopmentStorage=true")
        assert account.endpoint == EMULATOR
        assert isinstance(account.access, KeyAccess)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "x", ";;", "AccountName=acct", f"AccountKey={KEY}", "AccountName=acct;AccountKey="),
            *(f"AccountName=acct;AccountKey={KEY}*", f"AccountName=ac ct;AccountKey={KEY}"),
            f"SharedAccessSignature={SAS}",  # no endpoint
            "AccountName=acct;SharedAccessSignature=sv=1",
            f"AccountName=acct;AccountKey={KEY};BlobEndpoint=acct",
            f"AccountName=acct;AccountKey={KEY};BlobEndpoint=file:///x",
            f"AccountName=acct;AccountKey={KEY};BlobEndpoint={HOST}/path",
            f"AccountName=acct;AccountKey={KEY};BlobEndpoint={HOST}?{SAS}",
            f"DefaultEndpointsProtocol=ftp;AccountName=acct;AccountKey={KEY}",
        ],
    )
    def test_malformed(self, text: str) -> None:
        """What is not whole is refused without showing any of it."""
        with pytest.raises(ConfigurationError, match="The connection string") as refused:
            account_from_connection_string(text)
        assert_no_secret(refused.value)


class TestCredentials:
    @pytest.mark.parametrize(
        ("credential", "access"),
        [
            (SAS, SasAccess(SAS)),
            (f" ?{SAS}\n", SasAccess(SAS)),
            (KEY, KeyAccess("acct", KEY)),
            (AzureSasCredential(f"?{SAS}"), SasAccess(SAS)),
            (AzureNamedKeyCredential("named", KEY), KeyAccess("named", KEY)),
            (IDENTITY, TokenAccess(IDENTITY)),
        ],
    )
    def test_each_form(self, credential: object, access: Access) -> None:
        """A SAS or a key as text, azure-core's classes for these, and an identity are taken, wherever there is none."""
        expected = Target(azure(access), "job-x")
        assert container_target(f"{HOST}/job-x", credential=credential) == expected
        assert find_target({CONTAINER_URL: f"{HOST}/job-x"}, credential=credential) == expected
        assert find_target({"AZURE_STORAGE_ACCOUNT": "acct"}, credential=credential) == Target(azure(access))

    def test_beats_the_environment(self) -> None:
        """A credential that is given counts before those that the Azure CLI's variables hold."""
        given_first = Target(azure(TokenAccess(IDENTITY)))
        assert find_target({CONNECTION_STRING: WHOLE}, credential=IDENTITY) == given_first
        variables = {"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS}
        assert find_target(variables, credential=IDENTITY) == given_first

    def test_contradicts_a_sas(self) -> None:
        """A URL with a SAS needs no credential: one of the two is a mistake."""
        with pytest.raises(ConfigurationError, match="keep one") as refused:
            container_target(f"{HOST}/job-x?{SAS}", credential=KEY)
        assert_no_secret(refused.value)

    def test_an_asynchronous_one_is_told_apart(self) -> None:
        """An asynchronous identity is refused with the name of the blocking class."""
        identity = pytest.importorskip("azure.identity.aio", reason="azure-identity is not installed")
        for name in ("DefaultAzureCredential", "ManagedIdentityCredential", "AzureCliCredential"):
            with pytest.raises(ConfigurationError, match=rf"azure\.identity\.{name} "):
                access_from_credential(getattr(identity, name)(), HOST)

    @pytest.mark.parametrize(
        "credential",
        ["", " ", f"{KEY}*", "pa55word!", f"{SAS}\n{SAS}", "sig=", b"key", 7, object(), {"account_key": KEY}],
    )
    def test_anything_else_is_refused(self, credential: object) -> None:
        """What is no credential is named by its type; its content is not shown."""
        with pytest.raises(ConfigurationError) as refused:
            access_from_credential(credential, HOST)
        assert_no_secret(refused.value)


def test_no_secret_in_a_repr(tmp_path: Path) -> None:
    """Whatever is handed around can be printed."""
    accesses: list[Access] = [SasAccess(SAS), KeyAccess("acct", KEY), TokenAccess(IDENTITY), SasFileAccess(tmp_path)]
    for access in accesses:
        location = Target(azure(access), "job-x").location(None)
        for text in (repr(location), str(location), location.url, location.place, location.blob_url("t1/$TaskLog/a b")):
            assert not any(secret in text for secret in SECRETS)
    plain = Target(azure(TokenAccess()), "job-x").location(None)
    assert plain.blob_url("t1/$TaskLog/a b?") == f"{HOST}/job-x/t1/$TaskLog/a%20b%3F"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (HOST, "acct"),
        (f"{EMULATOR}/job-x", "devstoreaccount1"),
        ("http://azurite:10000/acct/job-x", "acct"),
        ("http://[::1]:10000/acct", "acct"),
        ("https://acct-secondary.blob.core.windows.net:443/x", "acct-secondary"),
    ],
)
def test_account_names(url: str, name: str) -> None:
    """The account's name leads the host, or the path at an emulator."""
    assert account_name_of(url) == name


@pytest.mark.parametrize(
    ("check", "yes", "no"),
    [
        (
            carries_secret,
            [f"{HOST}/job-x?{SAS}", "https://me:pa55word@host/x", "https://me@host"],
            [HOST, f"{HOST}/a@b", "file:///a@b", "", "job-x"],
        )
    ],
)
def test_what_must_not_stand_on_a_command_line(check: Callable[[str], bool], yes: list[str], no: list[str]) -> None:
    """A signature, a user or a password does; a plain URL does not."""
    assert all(check(url) for url in yes)
    assert not any(check(url) for url in no)


def test_shown() -> None:
    """A URL is shown as far as it can be told to hold no secret."""
    assert shown(f"{HOST}/job-x?{SAS}") == repr(f"{HOST}/job-x")
    assert shown("https://me:pa55word@host/x") == "'https://host/x'"
    assert shown("job-x") == "'job-x'"
    for text in (SAS, KEY, WHOLE, f"{HOST}/x%3Fsig%3D{SIGNATURE}", f"{HOST}/x%253Fsig%253D{SIGNATURE}"):
        assert "secret" in shown(text)
