import os
import socket
import subprocess
import sys
import time

import pytest

from jaxrec.train.compilation_cache import _remove_unfinished

_DEAD = 2**22 + 1  # above the largest process id that Linux gives


def entry(folder, name, seconds_ago):
    path = folder / f"{name}-cache"
    path.write_bytes(b"half")
    when = time.time() - seconds_ago
    os.utime(path, (when, when))
    return path


def marker(folder, process, seconds_ago):
    path = folder / f"running-{socket.gethostname()}-{process}"
    path.write_text("")
    when = time.time() - seconds_ago
    os.utime(path, (when, when))
    return path


def test_entries_written_since_the_start_of_a_dead_process_are_removed(tmp_path):
    old, new = entry(tmp_path, "old", 100), entry(tmp_path, "new", 10)
    dead, alive = marker(tmp_path, _DEAD, 50), marker(tmp_path, os.getppid(), 50)
    _remove_unfinished(tmp_path)
    assert old.exists()
    assert not new.exists()
    assert not dead.exists()
    assert alive.exists()


@pytest.mark.parametrize("name", ["elsewhere", f"{socket.gethostname()}-2"])
def test_what_another_machine_writes_stays(tmp_path, name):
    elsewhere = tmp_path / f"running-{name}-{_DEAD}"
    elsewhere.write_text("")
    new = entry(tmp_path, "new", 10)
    _remove_unfinished(tmp_path)
    assert new.exists()
    assert elsewhere.exists()


def test_entries_stay_while_every_process_lives(tmp_path):
    marker(tmp_path, os.getppid(), 50)
    new = entry(tmp_path, "new", 10)
    _remove_unfinished(tmp_path)
    assert new.exists()


def test_a_run_leaves_no_marker_and_fills_the_cache(tmp_path):
    code = (
        "from jaxrec.train.compilation_cache import enable_compilation_cache\n"
        "import jax, pathlib\n"
        f"folder = enable_compilation_cache(pathlib.Path({str(tmp_path)!r}))\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "jax.jit(lambda x: x + 1)(1.0)\n"
        "assert list(folder.glob('running-*'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not list(tmp_path.glob("running-*"))
    assert list(tmp_path.glob("*-cache"))


def test_a_folder_that_cannot_be_made_turns_the_cache_off(tmp_path):
    from jaxrec.train.compilation_cache import enable_compilation_cache

    (tmp_path / "file").write_text("")
    assert enable_compilation_cache(tmp_path / "file" / "cache") is None
