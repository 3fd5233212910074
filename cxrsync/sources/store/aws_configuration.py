"""What the environment and AWS's configuration files say of a store: endpoint, authorities, region.

botocore reads them, as for AWS's own tools; only AWS_REGION, which it does not know, is read here.
Reading blocks, but only for two small files.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cxrsync.config.parse_source import check_endpoint_url
from cxrsync.errors import CredentialsRefused, UsageError
from cxrsync.sanitize import reason_of
from cxrsync.sources.store.endpoints import DEFAULT_REGION

T = TypeVar("T")

ENDPOINT_LABEL = "AWS_ENDPOINT_URL (or endpoint_url in AWS's configuration)"
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")
_SSO = frozenset(
    {
        "SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError",
        "LoginError", "LoginTokenLoadError", "LoginRefreshRequired",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AwsConfiguration:
    """What is configured. ``endpoint_url``: of another store than AWS. ``ca_file``: authorities
    besides the system's."""

    region: str = DEFAULT_REGION
    endpoint_url: str | None = None
    ca_file: Path | None = None


def read_configuration(
    profile: str | None, environ: Mapping[str, str] = os.environ
) -> AwsConfiguration:
    """Return what is configured for S3. ``profile``: None: as AWS's own tools choose.

    Raises UsageError if the profile does not exist, or the endpoint is no address.
    """
    providers = importlib.import_module("botocore.configprovider")

    def read() -> tuple[str | None, str | None, str | None]:
        session = new_session(profile)
        endpoint_url = None
        if not session.get_config_variable("ignore_configured_endpoint_urls"):
            scoped = session.get_scoped_config()
            provider = providers.ConfiguredEndpointProvider(
                full_config=session.full_config,
                scoped_config=scoped,
                client_name="s3",
                environ=environ,
            )
            endpoint_url = provider.provide()
        region = environ.get("AWS_REGION") or session.get_config_variable("region")
        return region, endpoint_url, session.get_config_variable("ca_bundle")

    region, endpoint_url, ca_bundle = told(profile, read)
    if endpoint_url:
        endpoint_url = check_endpoint_url(endpoint_url, (), ENDPOINT_LABEL)
    return AwsConfiguration(
        region or DEFAULT_REGION, endpoint_url or None, Path(ca_bundle) if ca_bundle else None
    )


def configuration_if_installed(profile: str | None) -> AwsConfiguration:
    """Return what is configured for S3; nothing without botocore, which public files do not need.
    Raises as :func:`read_configuration`."""
    try:
        return read_configuration(profile)
    except ImportError:
        return AwsConfiguration()


def check_own_copy(endpoint_url: str | None, source: str) -> None:
    """Raise UsageError if the endpoint is not AWS's, and ``source`` is PhysioNet's own copy."""
    host = urlsplit(endpoint_url or "").hostname
    if host is not None and not host.endswith(_AWS_HOSTS):
        raise UsageError(
            f"{ENDPOINT_LABEL} names another store, and --from {source} names PhysioNet's own copy",
            next_step="Set AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true for this command, or name the "
            "bucket there: --from s3://BUCKET/PREFIX.",
        )


def new_session(profile: str | None) -> Any:
    """Return a session of botocore, which has read nothing yet."""
    return importlib.import_module("botocore.session").Session(profile=profile)


def told(profile: str | None, call: Callable[[], T]) -> T:
    """Return what ``call`` returns. Raises CredentialsRefused or UsageError for its errors."""
    errors = importlib.import_module("botocore.exceptions")
    try:
        return call()
    except errors.ProfileNotFound:
        named = "--aws-profile" if profile else "AWS_PROFILE"
        raise UsageError(
            f"{named}: AWS's configuration has no profile of this name",
            next_step="`aws configure list-profiles` names those that there are.",
        ) from None
    except (errors.ConfigParseError, errors.InvalidConfigError) as problem:
        raise UsageError(
            f"AWS's configuration cannot be used: {reason_of(problem)}",
            next_step="`aws configure list` shows what AWS's own tools say about it.",
        ) from None
    except errors.BotoCoreError as problem:
        kind = type(problem).__name__
        step = "`aws sts get-caller-identity` shows what AWS's own tools say about them."
        if kind in _SSO:
            step = "Run `aws sso login` (with --profile, if you use one), then this again."
        raise CredentialsRefused(
            f"AWS credentials cannot be used: {reason_of(problem)}", next_step=step
        ) from None
