"""Only the person who has the address gets in, from a page of ours and by our name; nothing tells of the secrets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses, headers
from batch_outputs.browse.guard import Hosts, Keys, is_loopback
from support.command import Desk
from support.page import Answer, Page, serving

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared, not listened to
PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def desk_of_all(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with one job, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("guard") / "desk"
    folder.mkdir()
    with sync.JobOutputStorage.from_account_url((folder / "batch-outputs").as_uri(), "demo") as job:
        job.create_container()
        job.task("t1").save_bytes("TaskOutput", PICTURE, "a.png")
    return Desk(folder)


@pytest.fixture(scope="module")
def page(desk_of_all: Desk) -> Iterator[Page]:
    """One page for all tests that change nothing."""
    with serving(desk_of_all) as page:
        yield page


RAW = addresses.raw("job-demo", "t1/$TaskOutput/a.png")
PATHS = ["/", RAW, "/jobs/job-demo", "/static/style.css", "/nothing"]


def refused(answer: Answer) -> bool:
    """Whether somebody was kept out, and told so in a sentence that says nothing else."""
    assert answer.status in {200, 403, 404}, answer.text
    if answer.status != 403:
        return False
    assert "demo" not in answer.text
    assert answer["content-type"] == "text/plain; charset=utf-8"
    has_headers_of_a_page(answer)
    return True


def has_headers_of_a_page(answer: Answer) -> None:
    assert {name: answer.headers[name] for name in headers.PAGE} == dict(headers.PAGE)


def test_names_of_the_server(page: Page) -> None:
    """It is asked by this machine's names for itself with its port, and by no other, whatever the path."""
    port = page.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert page.get(RAW, host=host).status == 200, host
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"localhost.evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1:{port}0",
        f"127.0.0.1:+{port}",
        f"127.0.0.1:{port}.evil.example",
        f"evil.example@127.0.0.1:{port}",
        f"10.0.0.1:{port}",
        f"[::1]:{port}.evil.example",
        f"0:{port}",
        f":{port}",
        "",
    ):
        for path in PATHS:
            assert refused(page.get(path, host=host)), (host, path)


def test_no_name_or_two(page: Page) -> None:
    """A request without a name, or with two, is refused."""
    rest = f"Cookie: {page.cookie}\r\nConnection: close\r\n\r\n"
    host = f"Host: 127.0.0.1:{page.port}\r\n"
    for head in ("", host + "Host: evil.example\r\n", "Host: evil.example\r\n" + host, host + host):
        answer = page.ask_in_bytes(f"GET / HTTP/1.1\r\n{head}{rest}".encode())
        assert answer.split()[1] in {b"400", b"403"}, head
        assert b"demo" not in answer
    assert page.ask_in_bytes(f"GET / HTTP/1.0\r\n{rest}".encode()).split()[1] == b"403"


@pytest.mark.parametrize("path", PATHS)
def test_pages_that_ask(page: Page, path: str) -> None:
    """Pages of other sites, of other ports here and without an origin are refused; ours and what is typed are not."""
    ours = page.get(path).status
    own = f"http://127.0.0.1:{page.port}"
    for site in ("same-origin", "none", None):
        for origin in (None, own):
            assert page.get(path, sec_fetch_site=site, origin=origin).status == ours
    for site in ("cross-site", "same-site", "", "Same-Origin", "none, same-origin"):
        assert refused(page.get(path, sec_fetch_site=site)), site
        assert refused(page.get(path, sec_fetch_site=site, origin=own)), site
    for origin in (
        "http://evil.example",
        "http://127.0.0.1",
        f"http://127.0.0.1:{page.port + 1}",
        f"http://localhost:{page.port}",  # another origin than the one that is asked
        f"{own}.evil.example",
        f"http://evil.example:{page.port}",
        "",
    ):
        assert refused(page.get(path, sec_fetch_site=None, origin=origin)), origin
        assert refused(page.get(path, origin=origin)), origin
    assert refused(page.get(path, sec_fetch_site=None, origin="null"))


def test_forms_that_are_sent(page: Page) -> None:
    """With what changes something it must be said which page sends it; without referrer a form's origin is "null"."""
    address = addresses.delete("job-demo")
    assert (
        page.post(address).headers["content-type"] == "text/html; charset=utf-8"
    )  # refused by the page, not the guard
    assert page.post(address, origin="null").headers["content-type"] == "text/html; charset=utf-8"
    for site, origin in ((None, None), (None, "null"), (None, "http://evil.example"), ("cross-site", "null")):
        assert refused(page.post(address, sec_fetch_site=site, origin=origin)), (site, origin)


@pytest.mark.parametrize("path", PATHS)
def test_cookies(page: Page, path: str) -> None:
    """Without the cookie of this server nothing is shown; what other servers on this machine have set does no harm."""
    cookie = page.cookie
    assert cookie is not None
    name, _, value = cookie.partition("=")
    for wrong in (
        None,
        "",
        f"{name}=",
        f"{name}=x",
        f"{name}={value[:-1]}",
        f"{name}={value}x",
        f"{name}={value.lower()}",
        f"{name}={page.token}",
        f"batch-outputs-{page.port + 1}={value}",
        f"batch-outputs={value}",
        f"{name.upper()}={value}",
    ):
        assert refused(page.get(path, cookie=wrong)), wrong
    for beside in (
        "a=b; {}",
        "{}; a=b",
        'theme="unclosed; {}',
        "a,b=c; {}",
        "{{}}; @=; =; ; {}",
        "\x01=é; {}",
        "{}; a:b=c",
    ):
        assert page.get(path, cookie=beside.format(cookie)).status == page.get(path).status, beside
    assert page.get(path, cookie=f"{name}=of-another-run; {cookie}").status == page.get(path).status


def test_scripts_can_tell_who_is_not_known(page: Page) -> None:
    """A refusal for want of the token says so in a header, and no other answer does."""
    assert page.get("/", cookie=None)["x-batch-outputs"] == "token"
    for other in (page.get("/"), page.get("/nothing"), page.get("/", host="evil.example"), page.post("/jobs/x/delete")):
        assert "x-batch-outputs" not in other.headers


def test_the_token_is_exchanged(page: Page) -> None:
    """The token, at `/` only, is exchanged for a clean address and a cookie that no script and no site gets."""
    answer = page.get(f"/?token={page.token}", cookie=None, sec_fetch_site="none")
    assert (answer.status, answer["location"], answer.body) == (303, "/", b"")
    cookie, *attributes = answer["set-cookie"].split("; ")
    assert cookie == page.cookie
    assert {attribute.lower() for attribute in attributes} == {"httponly", "path=/", "samesite=strict"}
    assert cookie.startswith(f"batch-outputs-{page.port}=")
    assert page.token not in answer["set-cookie"]
    has_headers_of_a_page(answer)
    for path in (
        f"/jobs/job-demo?token={page.token}",
        f"{RAW}&token={page.token}",
        f"/static/style.css?token={page.token}",
        f"//?token={page.token}",
        f"/?token={page.token[:-1]}",
        f"/?token={page.token}x",
        "/?token=",
        "/?token=%c3%a9",
        "/?token=%ff%00",
        f"/?Token={page.token}",
    ):
        answer = page.get(path, cookie=None)
        assert refused(answer), path
        assert "set-cookie" not in answer.headers
    for headers_ in ({"sec_fetch_site": "cross-site"}, {"host": "evil.example"}, {"origin": "http://evil.example"}):
        answer = page.get(f"/?token={page.token}", cookie=None, **headers_)
        assert refused(answer)
        assert "set-cookie" not in answer.headers


def test_the_opening_token_is_good_once() -> None:
    """The token that a browser is opened with, which others here can see, is good once; the printed one stays good."""
    keys = Keys(1234)
    opening = keys.opening_token
    assert not keys.takes("")
    assert keys.takes(opening)
    assert not keys.takes(opening)
    assert not keys.takes("")
    assert keys.takes(keys.token)
    assert keys.takes(keys.token)


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/%2e%2e/raw?name=x",
        "/jobs/..%2f..%2fetc/raw?name=passwd",
        "/jobs/job-demo%2Fraw?name=x",
        "/jobs/%252e%252e/raw?name=x",
        "/jobs/job-demo%00/raw?name=x",
        "/jobs/job-demo/raw?name=t1/$TaskOutput/a.png%00",
        "/jobs/job-demo/raw?name=t1/$TaskOutput/%2e%2e/%2e%2e/%2e%2e/.batch-outputs/container.json",
        "/jobs/job-demo/raw?name=.batch-outputs/container.json",
        "/jobs/job-demo/raw?name=../job-demo/t1/$TaskOutput/a.png",
        "/jobs/job-demo/raw?name=%252e%252e",
        "/jobs/job-demo/raw?name=%ff%fe",
        "/jobs/job-demo/raw?name=" + "x" * 5000,
        "/jobs/%ff/raw?name=x",
        "/jobs/" + "x" * 5000,
        "/static/%2e%2e/guard.py",
        "/static/..%2fguard.py",
        "/static/%252e%252e%252fguard.py",
        "/static/..%5cguard.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/" + "x" * 5000,
        "/static/",
        "/static",
        "//evil.example/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/jobs//raw?name=x",
        "http://evil.example/",
    ],
)
def test_paths_that_lead_elsewhere(page: Page, path: str) -> None:
    """However a path is encoded, it leads to nothing that is not ours to show, and to no other server."""
    answer = page.get(path)
    assert answer.status in {404, 307}, answer.text
    assert answer.status == 404 or answer["location"].startswith(f"{page.origin}/")
    assert PICTURE not in answer.body
    has_headers_of_a_page(answer)


def test_methods(page: Page) -> None:
    """Nothing but reading and forms is answered."""
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "CONNECT"):
        answer = page.get("/", method=method)
        assert answer.status in {400, 405}, method
    answer = page.get("/", method="OPTIONS", origin="http://evil.example")
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD, POST")
    assert not any(name.lower().startswith("access-control") for name in answer.headers)
    has_headers_of_a_page(answer)
    assert page.post("/").status == 405


def test_headers_of_every_answer(page: Page) -> None:
    """Pages, files of ours, errors and "not changed" forbid what is not needed; content of outputs is in a sandbox."""
    style = page.get("/static/style.css")
    for answer in (
        page.get("/"),
        page.get("/nothing"),
        page.get("/jobs/job-demo/raw?name=x"),
        page.post("/jobs/job-demo"),
        style,
        page.get("/static/style.css", if_none_match=style["etag"]),
        page.get("/static/style.css", range="bytes=0-1"),
    ):
        has_headers_of_a_page(answer)
        assert "server" not in answer.headers
    assert page.get("/static/style.css", if_none_match=style["etag"]).status == 304
    etag = page.get(RAW)["etag"]
    for answer in (page.get(RAW), page.get(RAW, if_none_match=etag), page.get(RAW, range="bytes=99-")):
        expected = {**headers.PAGE, **headers.BLOB, "Cache-Control": "private, no-cache"}
        assert {name: answer.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("host", "asked", "known"),
    [
        ("127.0.0.1", "[::1]:80", False),
        ("::1", "[::1]:80", True),
        ("::1", "[::1]", True),
        ("::1", "::1:80", True),
        (ANY_ADDRESS, "10.1.2.3:80", True),
        (ANY_ADDRESS, "10.1.2.3:81", False),
        (ANY_ADDRESS, "evil.example:80", False),
        (ANY_ADDRESS, "10.1.2.3.evil.example:80", False),
        ("::", "[fe80::1]:80", True),
        ("10.0.0.1", "box:8443", True),
        ("10.0.0.1", "box", True),
        ("10.0.0.1", "BOX:80", True),
        ("10.0.0.1", "gate:8443", True),
        ("10.0.0.1", "gate:80", False),
        ("10.0.0.1", "box.evil.example:80", False),
    ],
)
def test_other_names(host: str, asked: str, known: bool) -> None:
    """On the network any address is good, and further names are those that were given, with any port or with theirs."""
    assert Hosts(host, 80, ["Box", "gate:8443"]).has(asked) is known


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LOCALHOST", True), (ANY_ADDRESS, False), ("::", False)],
)
def test_loopback(host: str, local: bool) -> None:
    """It is known which addresses only this machine can ask."""
    assert is_loopback(host) is local
