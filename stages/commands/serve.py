"""The command that serves the page to try a model; the server is in stages/serving."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.trouble import Trouble

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Serve:
    """Serve a page on this machine to try a model with pictures or the webcam; Ctrl-C ends it."""

    model: Path | None = None
    """A run's folder, a .safetensors or .onnx file; unset takes the newest in processed/runs/."""
    faces: Literal["largest", "all"] = "largest"
    """Which faces of a picture get an answer."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets the whole network in, where browsers allow no webcam."""
    port: int = 8000
    """Port to listen at; 0 takes any free one."""
    max_megabytes: float = 20.0
    """Larger uploads are refused before they are read to the end."""
    max_megapixels: float = 40.0
    """Larger pictures are refused before they are decoded."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("--port must be 0 to 65535")
        if self.max_megabytes <= 0 or self.max_megapixels <= 0:
            raise ValueError("--max-megabytes and --max-megapixels must be over 0")

    def run(self, context: Context) -> int:
        """Answer until Ctrl-C; `--workers` is the number of threads, `--timeout` a request's."""
        from stages.commands.model_choice import resolve_model
        from stages.serving.service import Limits, PredictionService
        from stages.serving.web import server

        common = context.settings.common
        limits = Limits(self.max_megabytes, self.max_megapixels, common.timeout)
        with listen(self.host, self.port) as listener:
            host, port = listener.getsockname()[:2]
            model = resolve_model(self.model, context.workbench)
            with (
                PredictionService(model, self.faces, limits, common.workers) as service,
                suppress(KeyboardInterrupt),  # uvicorn raises it once more when all is closed
            ):
                print(f"serve: {model} at {_address(host, port)} (Ctrl-C ends it)", flush=True)
                server(service, loopback=ip_address(host).is_loopback).run(sockets=[listener])
        print("serve: ended")
        return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Trouble where the address is taken or is none."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address to the system's
        raise Trouble(
            f"cannot listen at {host}, port {port} ({reason}): give another --port or --host"
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
