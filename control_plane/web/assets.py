"""The console's static files: read and compressed once, served from memory.

Their address names their content: the digest is a folder of it, so ES modules import each other by relative
paths and browsers may keep everything for ever.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).resolve().parents[2] / "ui" / "static"
SERVED = frozenset({".css", ".js", ".svg"})
COMPRESS_ABOVE = 512


@dataclass(frozen=True)
class Asset:
    content: bytes
    compressed: bytes | None
    media_type: str


class Assets:
    """An ASGI app of the files in a folder. `url(path)` is the address of one."""

    def __init__(self, folder: Path = STATIC) -> None:
        digest = hashlib.sha256()
        self._assets: dict[str, Asset] = {}
        for file in sorted(folder.rglob("*")):
            if file.suffix not in SERVED:
                continue
            name, content = file.relative_to(folder).as_posix(), file.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            self._assets[name] = _asset(file, content)
        self.digest = digest.hexdigest()[:12]

    def url(self, path: str) -> str:
        assert path in self._assets, f"no such asset: {path}"
        return f"/static/{self.digest}/{path}"

    def size(self, path: str) -> int:
        """Bytes on the wire, compressed."""
        asset = self._assets[path]
        return len(asset.compressed or asset.content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        digest, _, name = scope["path"].removeprefix("/static/").partition("/")
        asset = self._assets.get(name)
        if asset is None or scope["method"] not in ("GET", "HEAD"):
            await Response(status_code=404)(scope, receive, send)
            return
        # An address of another build still finds its file, but must not be kept.
        keep = "public, max-age=31536000, immutable" if digest == self.digest else "no-cache"
        headers = {"cache-control": keep, "vary": "accept-encoding"}
        content = asset.content
        if asset.compressed and "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            content, headers["content-encoding"] = asset.compressed, "gzip"
        await Response(content, media_type=asset.media_type, headers=headers)(scope, receive, send)


def _asset(file: Path, content: bytes) -> Asset:
    media_type = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(
        file.suffix
    ) or mimetypes.types_map.get(file.suffix, "application/octet-stream")
    compressed = gzip.compress(content, 9, mtime=0) if len(content) > COMPRESS_ABOVE else None
    return Asset(content, compressed, media_type)
