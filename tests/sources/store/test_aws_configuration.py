"""What the environment and AWS's configuration files say of a store, as AWS's own tools read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxrsync.catalog.load import load_stores
from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.config.store_address import Service, StoreAddress
from cxrsync.errors import UsageError
from cxrsync.sources.store.aws_configuration import (
    AwsConfiguration,
    check_own_copy,
    read_configuration,
)
from cxrsync.sources.store.object_store import ObjectStore

FILE = """
[default]
region = eu-west-1
ca_bundle = /etc/corporate.pem
[profile lab]
endpoint_url = https://all.test
region = eu-central-1
services = local
[services local]
s3 =
  endpoint_url = https://minio.test:9000
"""
LAB = {"AWS_PROFILE": "lab"}
ALL, ONLY_S3 = {"AWS_ENDPOINT_URL": "https://e.test/"}, {"AWS_ENDPOINT_URL_S3": "https://s.test"}


@pytest.fixture(autouse=True)
def no_other_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(FILE)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("variables", "region", "endpoint_url", "ca_file"),
    [
        ({}, "eu-west-1", None, "/etc/corporate.pem"),
        ({"AWS_CONFIG_FILE": "/nowhere"}, "us-east-1", None, None),
        (LAB, "eu-central-1", "https://minio.test:9000", None),
        ({**LAB, "AWS_CA_BUNDLE": "/a.pem"}, "eu-central-1", "https://minio.test:9000", "/a.pem"),
        ({**LAB, **ALL}, "eu-central-1", "https://e.test", None),
        ({**ALL, **ONLY_S3}, "eu-west-1", "https://s.test", "/etc/corporate.pem"),
        ({**LAB, **ALL, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "eu-central-1", None, None),
        ({"AWS_DEFAULT_REGION": "sa-east-1"}, "sa-east-1", None, "/etc/corporate.pem"),
        ({"AWS_DEFAULT_REGION": "sa-east-1", "AWS_REGION": "us-west-2"}, "us-west-2", None,
         "/etc/corporate.pem"),
    ],
)  # fmt: skip
def test_what_is_configured(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    region: str,
    endpoint_url: str | None,
    ca_file: str | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = AwsConfiguration(region, endpoint_url, Path(ca_file) if ca_file else None)
    assert read_configuration(None) == expected


def test_an_endpoint_of_aws_may_have_physionets_own_copy() -> None:
    check_own_copy(None, "s3")
    check_own_copy("https://accesspoint.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "s3")
    with pytest.raises(UsageError):
        check_own_copy("http://127.0.0.1:9000", "s3")


def test_a_profile_of_the_command_line() -> None:
    assert read_configuration("lab").endpoint_url == "https://minio.test:9000"
    with pytest.raises(UsageError, match="--aws-profile: AWS's configuration has no profile"):
        read_configuration("typo")


@pytest.mark.parametrize(
    ("file", "variables", "word"),
    [
        ("[default\nregion", {}, "AWS's configuration cannot be used"),
        ("[default]\nservices = none\n", {}, "AWS's configuration cannot be used"),
        (FILE, {"AWS_ENDPOINT_URL": "minio:9000"}, "AWS_ENDPOINT_URL .* is not an address"),
        (FILE, {"AWS_ENDPOINT_URL": "https://a:secret@b.test"}, "contains a key or a password"),
        (FILE, {"AWS_PROFILE": "typo"}, "AWS_PROFILE: AWS's configuration has no profile"),
    ],
)
def test_what_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, variables: dict[str, str], word: str
) -> None:
    (tmp_path / "config").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=word) as caught:
        read_configuration(None)
    assert "secret" not in f"{caught.value} {caught.value.next_step}"


async def test_a_store_obeys_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(origin: SourceConfig, bucket: str = "lab") -> ObjectStore:
        address = StoreAddress(Service.S3, bucket)
        return ObjectStore(address, origin, TransferLimits(), load_stores(), lambda _event: None)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://e.test")
    with pytest.raises(UsageError, match="AWS_CA_BUNDLE /etc/corporate"):
        made(SourceConfig())
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for bucket in ("lab", "physionet-open"):
        store = made(SourceConfig(), bucket)
        assert store.identity == f"s3://{bucket} at https://e.test"
        await store.close()
    with pytest.raises(UsageError, match="names another store, and --from s3 names PhysioNet's"):
        made(SourceConfig(), "")
    store = made(SourceConfig(endpoint_url="https://own.test"))
    assert store.identity == "s3://lab at https://own.test"
    await store.close()
