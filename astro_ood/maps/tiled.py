"""Tile-compressed FITS images, decoded in a process of their own.

The decoders are C code that trusts its input: a damaged or hostile tile ends the process with a segmentation fault instead of an error. In
a child process this becomes an ordinary message, and its memory can be limited. Run as a script, this file is that child: it reads the
bytes of a FITS file from standard input and writes the image of its first extension as ``.npy``.
"""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 2**33
TIMEOUT_S = 600


def decode(content: bytes, n_bytes: int) -> NDArray[Any]:
    """Image of the first extension of a FITS file.

    Parameters
    ----------
    content : bytes
        The file.
    n_bytes : int
        Size of the image; the memory of the child is limited to several times this.

    Raises
    ------
    ValueError
        Where the data cannot be decoded.
    """
    command = [sys.executable, "-P", __file__, str(4 * (n_bytes + len(content)) + MARGIN)]
    try:
        child = subprocess.run(command, input=content, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"no end within {TIMEOUT_S} s") from None
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines and child.returncode > 0 else "its decoder crashed")
    values: NDArray[Any] = np.load(io.BytesIO(child.stdout), allow_pickle=False)
    return values


def _main(limit: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass
    from astropy.io import fits

    warnings.simplefilter("ignore")
    with fits.HDUList.fromstring(sys.stdin.buffer.read()) as hdus:
        np.save(sys.stdout.buffer, np.asarray(hdus[1].data))


if __name__ == "__main__":
    _main(int(sys.argv[1]))
