"""The catalogue's entry ``stores``: where the copies in the clouds are."""

from pathlib import Path

import pytest

from cxrsync.catalog.load import load, load_stores
from cxrsync.catalog.stores import STORES, Price, fill
from cxrsync.errors import UsageError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "datasets.yaml"
    monkeypatch.setenv("CXRSYNC_DATASETS", str(file))
    return file


def test_the_shipped_patterns_give_the_published_names() -> None:
    stores = load_stores()
    assert (stores.s3.account, stores.s3.region) == ("724665945834", "us-east-1")
    name = fill(stores.s3.access_point, "mimic-cxr-jpg", "2.1.0", "02")
    assert name == "mimic-cxr-jpg-v2-1-0-02"
    assert fill(stores.s3.prefix, "mimic-cxr-jpg", "2.1.0") == "mimic-cxr-jpg/2.1.0"
    assert fill(stores.gcs.bucket, "mimic-cxr", "2.0.0") == "mimic-cxr-2.0.0.physionet.org"
    assert STORES not in load()


def test_a_users_file_changes_single_fields(own: Path) -> None:
    own.write_text("stores:\n  s3: {region: eu-west-1}\n  prices: {s3: {per_gb: 0.09}}\n")
    changed = load_stores()
    assert (changed.s3.account, changed.s3.region) == ("724665945834", "eu-west-1")
    assert changed.prices == {"s3": Price(0.09)}
    assert "mimic-cxr" in load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "stores: {s3: {acount: '1'}}",
            "acount: there is no such field. Did you mean account, access_point?",
        ),
        ("stores: {s3: {account: 724665945834}}", "stores.s3.account: 724665945834 is not text"),
        ("stores: {s3: {access_point: '{slug}/{date}'}}", "is not in the form of this field"),
        ("stores: [s3]", "a list is not a mapping"),
        ("stores: {prices: {s3: {per_gb: -1}}}", "is too small"),
    ],
)
def test_a_wrong_field_is_named(own: Path, text: str, said: str) -> None:
    own.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_stores()
    assert said in f"{caught.value} {caught.value.next_step}"
