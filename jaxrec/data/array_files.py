"""One array out of a .npy or .safetensors file; a damaged file is named, and nothing in it is ever run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxrec.errors import UserError


def read_array(path: Path, tensor: str) -> np.ndarray:
    """The array of a .npy file, or the named tensor of a .safetensors file."""
    if path.suffix == ".safetensors":
        held = read_safetensors(path)
        if tensor not in held:
            raise UserError(f"{path}: no tensor `{tensor}`; found {', '.join(sorted(held)) or 'none'}")
        return held[tensor]
    if path.suffix != ".npy":
        raise UserError(f"{path}: found {path.suffix or 'no ending'}; .npy or .safetensors is needed")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: not a whole .npy file of plain numbers ({_first_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: an archive of arrays; one .npy array is needed")
    return array


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a .safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a whole .safetensors file of float numbers ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
