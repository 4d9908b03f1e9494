"""Headers of every answer, the same-origin rule, limits on bodies, the size of the first page."""

import gzip
from typing import Any

import pytest

from control_plane.web.assets import Assets
from control_plane.web.middleware import BodyLimit, SameOrigin, TooLarge

POLICY = ("default-src 'self'", "script-src 'self'", "style-src 'self'")


@pytest.mark.parametrize("path", ["/login", "/nowhere", "/static/none/none.js", "/campaigns"])
async def test_every_answer_carries_the_policy_and_its_request_id(visitor: Any, path: str) -> None:
    answer = await visitor.get(path)
    policy = answer.headers["content-security-policy"]
    assert all(part in policy for part in POLICY)
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.headers["x-request-id"]) >= 8


async def test_a_request_id_of_a_proxy_is_kept_and_a_strange_one_is_not(visitor: Any) -> None:
    kept = await visitor.get("/login", headers={"x-request-id": "from-the-proxy-1"})
    assert kept.headers["x-request-id"] == "from-the-proxy-1"
    strange = await visitor.get("/login", headers={"x-request-id": "<script>"})
    assert strange.headers["x-request-id"] != "<script>"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://console.example"}, False),
        ({"origin": "http://console.example"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({}, True),
    ],
)
async def test_an_unsafe_request_must_come_from_the_console_itself(
    visitor: Any, headers: dict[str, str], allowed: bool
) -> None:
    del visitor.headers["sec-fetch-site"]
    answer = await visitor.post("/theme", data={"theme": "dark"}, headers=headers)
    assert answer.status_code == (303 if allowed else 403)


async def test_a_safe_request_may_come_from_anywhere(visitor: Any) -> None:
    answer = await visitor.get("/login", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200


async def test_a_form_that_declares_too_much_is_refused(visitor: Any) -> None:
    answer = await visitor.post("/login", content=b"x" * 300_000)
    assert answer.status_code == 413


async def test_a_form_that_sends_more_than_it_declares_is_refused() -> None:
    async def read_all(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def endless() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(TooLarge):
        await BodyLimit(read_all, limit=100)(scope, endless, None)  # type: ignore[arg-type]


async def test_a_form_in_another_media_type_is_refused(visitor: Any) -> None:
    answer = await visitor.post("/login", content=b"<a/>", headers={"content-type": "text/xml"})
    assert answer.status_code == 415


async def test_further_origins_are_allowed_behind_a_proxy() -> None:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    guarded = SameOrigin(app, origins=["https://sms.example"])
    headers = [(b"origin", b"https://sms.example"), (b"host", b"10.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await guarded(scope, None, None)  # type: ignore[arg-type]
    assert reached == ["/"]


async def test_static_files_are_kept_for_ever_under_the_digest_of_their_content(visitor: Any) -> None:
    assets = Assets()
    answer = await visitor.get(assets.url("js/app.js"))
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    old = await visitor.get("/static/000000000000/js/app.js")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    assert (await visitor.get("/static/x/%2e%2e/%2e%2e/pyproject.toml")).status_code == 404


async def test_the_first_page_is_under_60_kilobytes_compressed(author: Any) -> None:
    assets = Assets()
    page = await author.get("/")
    wanted = [part.split('"')[0] for part in page.text.split(f"/static/{assets.digest}/")[1:]]
    names = {name.partition("#")[0] for name in wanted} | {"js/format.js"}
    assert "css/base.css" in names
    total = len(gzip.compress(page.content)) + sum(assets.size(name) for name in names)
    assert total < 60_000
