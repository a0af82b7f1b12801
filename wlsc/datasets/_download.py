"""How the bytes of one file come in: rounds over its addresses, deadlines, and nothing half-written."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 16
_WORTH_RETRYING = (408, 425, 429)  # of the 4xx answers, those that may be another next time


@dataclass(frozen=True)
class Retry:
    """How patiently a download is tried.

    Every round asks each address once, so that a dead server costs one timeout before the next is asked. An
    address that refuses for good (such as HTTP 404) is not asked again.

    Parameters
    ----------
    rounds
        Rounds over all addresses.
    wait
        Pause before the second round in seconds; it doubles before every further one.
    connect_timeout, read_timeout
        Longest wait for a connection, and for the next bytes, in seconds.
    minimum_rate
        Bytes per second below which a server counts as hanging, even if it never stops sending: an attempt
        ends after ``read_timeout + size / minimum_rate`` seconds.
    """

    rounds: int = 4
    wait: float = 1.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    minimum_rate: float = 10_000.0


class DownloadError(Exception):
    """No address gave the file; ``reasons`` maps each address to what went wrong there last."""

    def __init__(self, reasons: dict[str, str]):
        super().__init__("; ".join(f"{url}: {reason}" for url, reason in reasons.items()))
        self.reasons = reasons


class _FailedAttempt(Exception):
    """One address failed once; ``final`` says that asking again is useless."""

    def __init__(self, reason: str, final: bool = False):
        super().__init__(reason)
        self.final = final


def download(urls: Sequence[str], path: Path, sha256: str, size: int, retry: Retry) -> None:
    """Put the file with this hash at ``path``, from the first address that gives it.

    The bytes go to a temporary file in the same folder, reach the disk, are compared with ``sha256`` and only
    then take the name ``path``: under that name there is never an unfinished or a wrong file.

    Raises
    ------
    DownloadError
        If no address gave the file.
    OSError
        If the folder cannot be written.
    """
    reasons: dict[str, str] = {}
    remaining = list(urls)
    for attempt in range(retry.rounds):
        if attempt > 0:
            time.sleep(retry.wait * 2 ** (attempt - 1))
        for url in tuple(remaining):
            try:
                _download_once(url, path, sha256, size, retry)
                return
            except _FailedAttempt as failure:
                reasons[url] = str(failure)
                if failure.final:
                    remaining.remove(url)
        if not remaining:
            break
    raise DownloadError(reasons)


def looks_like_html(start: bytes) -> bool:
    """Say whether a file that begins so is an error page; no data set of ours begins with ``<``."""
    return start.lstrip()[:1] == b"<"


def _download_once(url: str, path: Path, sha256: str, size: int, retry: Retry) -> None:
    import pooch
    import requests
    import urllib3

    def receive(url: str, target: str, _: object) -> None:
        _receive(url, Path(target), size, retry)

    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=receive)
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _FailedAttempt("no answer in time") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _FailedAttempt(f"no connection ({type(error).__name__})") from None
    except ValueError:  # from pooch: the hash of what came differs
        raise _FailedAttempt("the file that came has another sha256") from None


def _receive(url: str, target: Path, size: int, retry: Retry) -> None:
    """Write what ``url`` sends to ``target``, as long as it can still become a file of ``size`` bytes."""
    import requests

    deadline = time.monotonic() + retry.read_timeout + size / retry.minimum_rate
    timeouts = (retry.connect_timeout, retry.read_timeout)
    headers = {"Accept-Encoding": "identity"}  # a .gz must arrive as the .gz that was hashed
    with requests.get(url, stream=True, timeout=timeouts, headers=headers) as response:
        status = response.status_code
        if status != requests.codes.ok:
            final = 400 <= status < 500 and status not in _WORTH_RETRYING
            raise _FailedAttempt(f"HTTP {status}", final)
        with target.open("wb") as sink:
            received = 0
            while chunk := response.raw.read1(_CHUNK):  # whatever is there: a drip meets the deadline
                if received == 0 and looks_like_html(chunk):
                    raise _FailedAttempt("an HTML page came instead of the file")
                received += len(chunk)
                if received > size:
                    raise _FailedAttempt(f"more than the expected {size:,} bytes came")
                if time.monotonic() > deadline:
                    raise _FailedAttempt(f"too slow: {received:,} of {size:,} bytes came in time")
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
    if received < size:
        raise _FailedAttempt(f"only {received:,} of {size:,} bytes came")
