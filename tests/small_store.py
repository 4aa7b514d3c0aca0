"""An S3 server on this machine (moto's), and its faults."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from pipeline.store import Address

SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class S3:
    """The server. `requests` counts what was asked for: method and the last part of the name.

    Requests for whose number `refuses` is true are refused, as S3 refuses them under load.
    """

    def __init__(self) -> None:
        self.reset()
        self._busy = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.port}",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def reset(self) -> None:
        """Count from 0, and refuse nothing."""
        self.requests: Counter[str] = Counter()
        self.refuses: Callable[[int], bool] = lambda number: False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """As WSGI wants it."""
        with self._busy:
            name = environ["PATH_INFO"].rpartition("/")[2]
            self.requests[f"{environ['REQUEST_METHOD']} {name}"] += 1
            refused = self.refuses(self.requests.total())
        if refused:
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def bucket(self) -> Address:
        """A new bucket."""
        name = f"bucket-{uuid.uuid4().hex}"
        self.client("s3").create_bucket(Bucket=name)
        return Address(f"s3://{name}")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )

    def user(self, allowed: str, closed: str = "") -> dict[str, str]:
        """Keys of a new user who may do what `allowed` names, but not read the file `closed`."""
        name, iam = uuid.uuid4().hex, self.client("iam")
        rules = [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]
        if closed:
            closed_file = f"arn:aws:s3:::{closed.removeprefix('s3://')}"
            rules.append({"Effect": "Deny", "Action": "s3:GetObject", "Resource": closed_file})
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": rules})
        iam.put_user_policy(UserName=name, PolicyName="rules", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        names = {"AccessKeyId": "AWS_ACCESS_KEY_ID", "SecretAccessKey": "AWS_SECRET_ACCESS_KEY"}
        return {names[part]: key[part] for part in names}

    @contextmanager
    def closed(self) -> Iterator[None]:
        """In here the server knows only the keys that it gave."""
        before = settings.INITIAL_NO_AUTH_ACTION_COUNT, ActionAuthenticatorMixin.request_count
        settings.INITIAL_NO_AUTH_ACTION_COUNT, ActionAuthenticatorMixin.request_count = 0, 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT, ActionAuthenticatorMixin.request_count = before


def upload(folder: Path, address: Address) -> None:
    """Put every file of a folder below an address."""
    for path in folder.rglob("*"):
        if path.is_file():
            (address / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())


def contents(address: Address) -> dict[str, bytes]:
    """All files below an address."""
    return {entry.name: (address / entry.name).read_bytes() for entry in address.entries()}
