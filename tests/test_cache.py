from pathlib import Path

from calolab.cache import cache_dir


def test_the_cache_follows_calolabs_variable_then_xdg_then_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path / "own"))
    assert cache_dir("things") == tmp_path / "own" / "things"
    monkeypatch.delenv("CALOLAB_CACHE")
    assert cache_dir("things") == tmp_path / "xdg" / "calolab" / "things"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir("things") == Path.home() / ".cache" / "calolab" / "things"
    assert (tmp_path / "home" / ".cache" / "calolab" / "things").is_dir()
