"""Flags of XLA that a version needs, set before it reads them: when the first device is touched."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import MutableMapping

_OPTION = "-nvptx-allow-ftz-atomics"
_EXTRA_OPTIONS = "--xla_backend_extra_options="
_FIRST_SLOW, _LAST_SLOW = (0, 10, 2), (0, 11, 0)
_CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")


def set_compiler_flags(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep float32 scatter-adds fast on NVIDIA GPUs, where jaxlib 0.10.2 to 0.11.0 would make them slow.

    These versions add by a compare-and-swap loop in place of the atomic addition of the hardware, because the latter
    rounds subnormal numbers to zero; where many rows fall on few, as in the gradient of a small embedding table, that
    is hundreds of times slower (jax issue 38806, xla issue 46225). The option allows the hardware's addition again.
    Nothing is set for other versions, without JAX's CUDA plugin, or where XLA_FLAGS decides it already.
    """
    flags = environment.get("XLA_FLAGS", "")
    if _decided(flags) or not _slow(_jaxlib_version()) or not _has_cuda():
        return
    environment["XLA_FLAGS"] = _with_option(flags)


def _decided(flags: str) -> bool:
    return _OPTION in flags or "--xla_gpu_ftz=true" in flags.lower()


def _with_option(flags: str) -> str:
    words = flags.split()
    for place, word in enumerate(words):
        if word.startswith(_EXTRA_OPTIONS):
            separator = "" if word == _EXTRA_OPTIONS else ","
            words[place] = f"{word}{separator}{_OPTION}"
            return " ".join(words)
    return " ".join([*words, _EXTRA_OPTIONS + _OPTION])


def _slow(version: str) -> bool:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return match is not None and _FIRST_SLOW <= tuple(map(int, match.groups())) <= _LAST_SLOW


def _jaxlib_version() -> str:
    try:
        return importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has_cuda() -> bool:
    return any(importlib.util.find_spec(plugin) is not None for plugin in _CUDA_PLUGINS)
