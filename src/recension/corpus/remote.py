"""What fsspec opens: files behind URLs, and the many ways in which their drivers say that something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from recension.corpus.folders import chosen_files
from recension.corpus.listing import MAGIC, Found, Listing, format_of, named
from recension.corpus.rows import shown
from recension.errors import InputError

_STAMPS = ("ETag", "etag", "blob_id", "mtime", "LastModified", "last_modified", "updated", "created")
_ERRORS = {
    "zipfile": ("BadZipFile",),
    "tarfile": ("TarError",),
    "aiohttp": ("ClientError",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "azure.core.exceptions": ("AzureError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "gcsfs.retry": ("HttpError",),
    "paramiko.ssh_exception": ("SSHException",),
}


def driver_errors() -> tuple[type[Exception], ...]:
    """What the drivers that are loaded raise where the fault is not ours."""
    own = [
        getattr(sys.modules[module], name)
        for module, names in _ERRORS.items()
        if module in sys.modules
        for name in names
        if hasattr(sys.modules[module], name)
    ]
    return (OSError, ValueError, ImportError, RuntimeError, *own)


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split()) or type(error).__name__


def _named_by(error: OSError) -> str:
    return f" as {shown(str(error.filename))}" if error.filename else ""


def system_of(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except FileNotFoundError as error:
        raise InputError(f"cannot open {shown(url)}: no such file{_named_by(error)}") from None
    except TypeError as error:
        raise InputError(f"cannot open {shown(url)}: the URL says too little ({reason_of(error)})") from None
    except ValueError as error:
        raise InputError(f"cannot open {shown(url)}: {reason_of(error)}; check the protocol") from None
    except driver_errors() as error:
        raise InputError(f"cannot open {shown(url)}: {reason_of(error)}") from None
    return system, str(path)


def stamp_of(info: Mapping[str, Any]) -> str:
    value = next((info[key] for key in _STAMPS if info.get(key) is not None), "")
    return str(value.timestamp() if isinstance(value, datetime) else value)


def remote_files(given: str) -> Listing:
    """The files behind a URL: of one file, a folder or a pattern."""
    system, path = system_of(given)
    behind = "::" + given.partition("::")[2] if "::" in given else ""
    protocol = given.partition("://")[0]

    def found(name: str, info: Mapping[str, Any]) -> Found:
        full = str(info["name"])
        url = f"{protocol}://{full}{behind}" if behind else str(system.unstrip_protocol(full))
        return Found(name, url, int(info.get("size") or 0), stamp_of(info))

    web = protocol in ("http", "https")  # a question mark begins the query there, and there are no folders
    magic = None if web else MAGIC.search(path)
    last = (path.partition("?")[0] if web else path).rpartition("/")[2]
    try:
        if magic is None and (web or format_of(last)) and system.isfile(path):
            return Listing([named(found(last, system.info(path)), given)], [])
        root, listing = _listing(system, path, magic.start() if magic else None)
    except PermissionError:
        raise InputError(f"cannot read {shown(given)}: permission denied; check the credentials") from None
    except FileNotFoundError:
        raise InputError(f"no such file or folder: {shown(given)}") from None
    except driver_errors() as error:
        raise InputError(f"cannot list {shown(given)}: {reason_of(error)}; check it and run again") from error
    by_name = {name.removeprefix(root).lstrip("/"): info for name, info in listing.items()}
    if root == path:  # a file whose name says no format
        return Listing([named(found(last, listing[path]), given)], [])

    def read(name: str) -> bytes:
        try:
            return bytes(system.cat_file(by_name[name]["name"]))
        except driver_errors() as error:
            raise InputError(
                f"cannot read {name} in {shown(given)}: {reason_of(error)}; check it and run again"
            ) from error

    chosen = chosen_files(sorted(by_name), None if magic else read)
    runs = [str(found(run, {"name": root + run}).url) if run else given for run in chosen.runs]
    return Listing([found(name, by_name[name]) for name in chosen.files], runs)


def _listing(system: Any, path: str, magic: int | None) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """The files that a path stands for, by their full paths, and what all of these begin with."""
    if magic is not None:
        root = path[:magic].rpartition("/")[0] + "/"
        listing = system.glob(path, detail=True)
    elif system.isdir(path):
        root = path.rstrip("/") + "/"
        listing = system.find(path, detail=True)
    else:
        return path, {path: system.info(path)}
    files = {str(info["name"]): info for info in listing.values() if info.get("type") != "directory"}
    if not files:
        raise FileNotFoundError(path)
    return root, files
