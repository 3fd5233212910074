"""Where a redirect points, without its secrets, and the --base-url that follows from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from cxrsync.errors import NotServed, SourceError, Throttled
from cxrsync.sources.http.redirects import explain_redirect, moved_base, shown, target_of

BASE = URL("https://physionet.org/files")
ASKED = BASE / "mimic-cxr-jpg/2.1.0/SHA256SUMS.txt"
PATH = "mimic-cxr-jpg/2.1.0/SHA256SUMS.txt"
SECRET = "eyJhbGciOiJIUzI1NiJ9abc123"


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("/login/?next=/files/x", "https://physionet.org/login/?…"),
        ("https://www.physionet.org/files/x", "https://www.physionet.org/files/x"),
        ("//mirror.example/files/x", "https://mirror.example/files/x"),
        ("x.txt", "https://physionet.org/files/mimic-cxr-jpg/2.1.0/x.txt"),
        ("http://physionet.org:8080/a", "http://physionet.org:8080/a"),
        # what may be a secret
        (f"https://s3.example/b/k?X-Amz-Signature={SECRET}", "https://s3.example/b/k?…"),
        (f"https://me:{SECRET}@s3.example/k", "https://s3.example/k"),
        (f"https://s3.example/{SECRET}/k", "https://s3.example/…/k"),
        (f"https://s3.example/k#{SECRET}", "https://s3.example/k"),
        (f"https://s3.example/k;jsessionid={SECRET}", "https://s3.example/k;…"),
        # an id of the request itself is no secret
        (f"https://s3.example/{PATH}", f"https://s3.example/{PATH}"),
        (f"https://s3.example/{'a/' * 300}", f"https://s3.example/{'a/' * 90}a…"),
    ],
)
def test_a_shown_address(location: str, text: str) -> None:
    target = target_of(location, ASKED)
    assert target is not None
    assert shown(target, ASKED) == text


@pytest.mark.parametrize(
    "location", [None, "", "  ", "javascript:alert(1)", "data:,x", "http://[", "x:y:z"]
)
def test_no_address(location: str | None) -> None:
    assert target_of(location, ASKED) is None


@pytest.mark.parametrize(
    ("base", "location", "moved"),
    [
        (BASE, f"https://www.physionet.org/files/{PATH}", "https://www.physionet.org/files"),
        (BASE, f"https://mirror.example/{PATH}", "https://mirror.example"),
        (BASE, f"https://mirror.example:8443/a/b/{PATH}", "https://mirror.example:8443/a/b"),
        (URL("https://physionet.org"), f"/files/{PATH}", "https://physionet.org/files"),
        (
            URL("http://physionet.org/files"),
            f"https://physionet.org/files/{PATH}",
            "https://physionet.org/files",
        ),
        (BASE, f"http://127.0.0.1:80/files/{PATH}", "http://127.0.0.1/files"),
        # another file, another version, a login page, the same address
        (BASE, "https://mirror.example/SHA256SUMS.txt", None),
        (BASE, "https://mirror.example/mimic-cxr-jpg/2.2.0/SHA256SUMS.txt", None),
        (BASE, "/login/", None),
        (BASE, f"/files/{PATH}", None),
        # nothing that a password may go to, and nothing that hides something
        (BASE, f"http://physionet.org/files/{PATH}", None),
        (BASE, f"https://s3.example/{PATH}?X-Amz-Signature={SECRET}", None),
        (BASE, f"https://s3.example/{SECRET}/{PATH}", None),
    ],
)
def test_a_base_url_that_has_moved(base: URL, location: str, moved: str | None) -> None:
    asked = base / PATH
    target = target_of(location, asked)
    assert target is not None
    assert moved_base(target, asked, base) == moved


@pytest.mark.parametrize(
    ("status", "location", "texts"),
    [
        (301, f"https://www.physionet.org/files/{PATH}", ["--base-url https://www.physionet.org"]),
        (308, "/elsewhere/", [": to https://physionet.org/elsewhere/", "Check --base-url"]),
        (301, None, ["does not say where", "Check --base-url"]),
        (302, "/login/?next=x", ["physionet.org/login/?…", "browser", "login page", "again"]),
        (307, None, ["does not say where"]),
    ],
)
def test_what_to_do_about_it(status: int, location: str | None, texts: list[str]) -> None:
    refused: SourceError = (
        Throttled(f"x ({status})") if status in {302, 307} else NotServed(f"x ({status})")
    )
    told = explain_redirect(refused, status, location, ASKED, BASE)
    assert type(told) is type(refused)
    assert all(text in f"{told} {told.next_step}" for text in [f"({status})", *texts])


@given(st.text(max_size=80) | st.from_regex(r"https?://[a-z.]{1,9}/[ -~]{0,60}", fullmatch=True))
def test_any_location(location: str) -> None:
    told = explain_redirect(NotServed("x (301)"), 301, location, ASKED, BASE)
    text = f"{told} {told.next_step}"
    assert text.isascii() or text.replace("…", "").isprintable()
    assert len(text) < 1_000
    if "?" in location:
        query = location.partition("?")[2].partition("#")[0]
        assert len(query) < 6 or query not in text
