"""The YAML reader: plain values with positions; anything else is refused with its position."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog.yaml_document import Place, YamlDocument, spelled
from cxrsync.catalog.yaml_file import parse_yaml, read_yaml
from cxrsync.errors import ExitCode, UsageError

many = settings(deadline=None, max_examples=examples(300), derandomize=True)


def parse(text: str) -> YamlDocument:
    return parse_yaml(text, "the file")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a", "a"),
        ("'7'", "7"),
        ("[1, -2, +3, 1_000, 0]", [1, -2, 3, 1000, 0]),
        ("[1.5, -2.0, 1.5e+3]", [1.5, -2.0, 1500.0]),
        ("[true, no, On]", [True, False, True]),
        ("[~, null, ]", [None, None]),
        # Numbers only for YAML 1.1: a person may mean text.
        ("[010, 0x10, 0b1, 1:30, 1:30.5]", ["010", "0x10", "0b1", "1:30", "1:30.5"]),
        ("[.inf, .nan, 1.0e+400, 1234567890123456789]", [".inf", ".nan", "1.0e+400",
                                                      "1234567890123456789"]),
        ("[2020-02-31, 2020-01-01, =, 50%]", ["2020-02-31", "2020-01-01", "=", "50%"]),
        # Keys are text, as they are written.
        ("{on: 1, 2.10: 2, 7: 3, ~: 4, '': 5}", {"on": 1, "2.10": 2, "7": 3, "~": 4, "": 5}),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    found = parse(text).value
    assert found == value
    assert repr(found) == repr(value)  # 1 is not True


def test_places() -> None:
    document = parse("jobs:\n  - name: a\n    shard: [p10,\n      p11]\nother: {x: 1}\n")
    assert document.value == {"jobs": [{"name": "a", "shard": ["p10", "p11"]}], "other": {"x": 1}}
    assert document.places == {
        ("jobs",): (1, 1),
        ("jobs", 0): (2, 5),
        ("jobs", 0, "name"): (2, 5),
        ("jobs", 0, "shard"): (3, 5),
        ("jobs", 0, "shard", 0): (3, 13),
        ("jobs", 0, "shard", 1): (4, 7),
        ("other",): (5, 1),
        ("other", "x"): (5, 9),
    }
    error = document.error(("jobs", 0, "shard", 1), "is not a shard", "See there.")
    assert str(error) == "the file, line 4, column 7: jobs[0].shard[1]: is not a shard"
    assert (error.exit_code, error.next_step) == (ExitCode.USAGE, "See there.")
    assert str(document.error((), "it is empty")) == "the file: it is empty"
    assert str(document.error(("no",), "is not there")) == "the file: no: is not there"
    assert str(Place(1, 2)) == "line 1, column 2"
    assert spelled(("a", 0, 1, "b c")) == "a[0][1].b c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &b c", "the file, line 1, column 4: anchors and aliases"),
        ("a: [*b]", "the file, line 1, column 5: anchors and aliases"),
        ("&a b: c", "the file, line 1, column 1: anchors and aliases"),
        ("a: !!str 7", "the file, line 1, column 4: tags (!)"),
        ("a: ! 7", "the file, line 1, column 4: tags (!)"),
        ("- {a: 1, b: 2, a: 3}", "the file, line 1, column 16: [0].a is a duplicate key (the firs"),
        ("{a: 1, 'a': 2}", "line 1, column 8: a is a duplicate key"),
        ("? [a]\n: b", "line 1, column 3: a key must be text"),
        ("{" * 20_000, "line 1, column 17: lists and mappings are nested"),
        ("- " * 20_000, "line 1, column 33: lists and mappings are nested"),
        ("? " * 20_000, "line 1, column 33: lists and mappings are nested"),
        ("a: 'b", "this is not valid YAML"),
        ("a: \x07", "the file: this is not valid YAML"),
        ("%YAML 9.9\n--- a", "this is not valid YAML"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(UsageError, match=r"^cannot read the file x: No such file"):
        read_yaml(file, "the file x")
    file.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\n")
    assert read_yaml(file, "x").value == {"a": "é"}
    file.write_bytes(b"#" * (256 << 10))
    assert read_yaml(file, "x").value is None
    file.write_bytes(b"#" * ((256 << 10) + 1))
    with pytest.raises(UsageError, match="more than 262,144 bytes"):
        read_yaml(file, "x")


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or isinstance(value, str | bool | int | float)


tokens = st.sampled_from(
    ["a", "b: ", "- ", "[", "]", "{", "}", ", ", ": ", "\n", "  ", "? ", "&a ", "*a", "!!int ", "!",
     "'", '"', "|", ">", "<<", "~", "1:1", "0x", "2020-01-01", "%", "@", "#", "\t", "---\n", "é"]
)  # fmt: skip


@many
@given(st.lists(tokens, max_size=15).map("".join) | st.text(max_size=30))
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    try:
        document = parse(text)
    except UsageError:
        return
    assert plain(document.value)


def test_a_duplicate_key_says_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        parse("a: 1\na: 2")
    assert caught.value.next_step.startswith("Keep one of the two")


@pytest.mark.parametrize(
    "text", ["a:\n  b: 1\n   c: 2\n", "a:\n  b: 1\n  c 2\n", "a:\n - b: 1\n  c: 2\n"]
)
def test_a_wrong_indentation_or_a_missing_colon_is_among_the_causes(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "a colon and a blank" in caught.value.next_step
    assert "begin in the same column" in caught.value.next_step
