"""The connection to a bucket, and in one sentence what a store refuses."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.trouble import Trouble, Usage

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIES: Mapping[str, Any] = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=25),  # less than a picture's own time-out
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
"""S3's codes for credentials that are wrong as such, whatever is asked for."""
WITHOUT = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
METADATA_SERVICE = "169.254.169.254"  # where a cloud's machines get credentials; the last resort


class StoreTrouble(Trouble):
    """The store refuses or does not answer, even after retries. It ends the command."""


class WrongAddress(StoreTrouble, Usage):
    """There is no such bucket, or a name in it that can be no path."""


def bucket_of(address: str) -> str:
    """The beginning of an address, which names the bucket.

    >>> bucket_of("s3://bucket/faces/a.jpg")
    's3://bucket'
    """
    return "/".join(address.split("/", 3)[:3])


@lru_cache
def connect(bucket: str) -> ObjectStore:
    """A process's one connection to a bucket. Settings and credentials come from the environment,
    as every program of that store takes them (AWS_…, GOOGLE_…, AZURE_…).
    """
    try:
        from obstore.store import MemoryStore, from_url
    except ImportError:
        raise Usage(
            f"{bucket} needs the package obstore: .venv/bin/pip install -c constraints.txt obstore"
        ) from None
    if bucket.startswith("memory:"):
        return MemoryStore()
    options: dict[str, Any] = {"retry_config": RETRIES}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if bucket.startswith("s3:") and endpoint.startswith("http://"):
        options["client_options"] = {"allow_http": True}
    if bucket.startswith("s3:") and _has_profile():
        options["credential_provider"] = _from_profile(bucket)
    try:
        return from_url(bucket, **options)
    except Exception as error:  # a value of the environment, or the bucket's name
        raise Usage(f"{bucket} cannot be opened: {_reason(error)}") from None


def _has_profile() -> bool:
    """Whether S3's credentials are to be found in a profile of ~/.aws."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return False
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return "AWS_PROFILE" in os.environ or Path(path).expanduser().is_file()


def _from_profile(bucket: str) -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise Usage(
            f"{bucket}: reading a profile of ~/.aws needs the package boto3; install it, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    try:
        return Boto3CredentialProvider()
    except Exception as error:  # no such profile, or nothing in it
        raise StoreTrouble(f"{bucket}: {WITHOUT} ({_reason(error)})") from None


@contextmanager
def requests(address: str, reading: bool = False) -> Iterator[None]:
    """Say in one sentence what a store refuses. A missing file is a FileNotFoundError, and for
    `reading` a file that alone is closed is a PermissionError.
    """
    try:
        yield
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        if not missing and not type(error).__module__.startswith("obstore"):
            raise
        code = "".join(re.findall(r"<Code>(\w+)</Code>", str(error))[:1])
        if missing and code != "NoSuchBucket":
            raise FileNotFoundError(errno.ENOENT, "no such file", address) from None
        if reading and code == "AccessDenied":
            raise PermissionError(errno.EACCES, "access is denied", address) from None
        raise _trouble(address, error, code) from None


def _trouble(address: str, error: Exception, code: str) -> Trouble:
    """A store's error as a sentence. `code` is S3's word for it, if any."""
    from obstore import exceptions

    if isinstance(error, exceptions.InvalidPathError):
        return WrongAddress(
            f"{address} holds a name that can be no path ({_reason(error)}): rename it"
        )
    if code == "NoSuchBucket":
        return WrongAddress(f"there is no {bucket_of(address)}: make it, or correct the address")
    if METADATA_SERVICE in str(error):
        return StoreTrouble(f"{bucket_of(address)}: {WITHOUT}")
    if code in REFUSED:
        return StoreTrouble(f"{bucket_of(address)} refuses the credentials ({code}): correct them")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return StoreTrouble(f"{address}: access is denied to these credentials")
    return StoreTrouble(
        f"{bucket_of(address)} does not answer ({_reason(error)}): see to that, then run the same "
        "command again; it goes on from here"
    )


def _reason(error: Exception) -> str:
    """What is wrong, in short and without addresses: one may carry a key."""
    line = str(error).strip().partition("\n")[0].rpartition(" - ")[2]
    return re.sub(r"\S+://\S+ *|:\s*(<.*)?$", "", line)[:200]
