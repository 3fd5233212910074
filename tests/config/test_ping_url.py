import pytest

from cxrsync.config.ping_url import parse_ping_url
from cxrsync.errors import UsageError


@pytest.mark.parametrize(
    ("code", "good", "expected"),
    [
        (0, True, "https://hc.test/abc?rid=1"),
        (9, True, "https://hc.test/abc?rid=1"),
        (5, False, "https://hc.test/abc/5?rid=1"),
        (143, False, "https://hc.test/abc/143?rid=1"),
        (-9, False, "https://hc.test/abc/fail?rid=1"),
    ],
)
def test_the_end_of_a_run(code: int, good: bool, expected: str) -> None:
    assert parse_ping_url("https://hc.test/abc?rid=1#x").for_end(code, is_success=good) == expected


@pytest.mark.parametrize("text", ["https://hc.test/abc", "https://hc.test/abc/"])
def test_the_start_of_a_run(text: str) -> None:
    assert parse_ping_url(text).for_start() == "https://hc.test/abc/start"


def test_only_the_host_is_shown() -> None:
    url = parse_ping_url("https://user:pass@hc.test:8443/secret?key=secret")
    assert "secret" not in f"{url} {url!r}"
    assert "pass" not in f"{url} {url!r}"
    assert str(url) == "hc.test"


@pytest.mark.parametrize(
    "value",
    ["", "secret", "ftp://hc.test/secret", "https:///secret", "https://[secret", 5, None,
     "https://hc.test:port/secret", "https://hc.test/sec ret", "https://xn--.test/secret"],
)  # fmt: skip
def test_what_is_no_address(value: object) -> None:
    with pytest.raises(UsageError) as error:
        parse_ping_url(value)
    assert "secret" not in str(error.value)
    assert str(error.value).startswith("ping ")
