"""A toy architecture for the studies, in the registry."""

import sys
from pathlib import Path

import pytest

from calolab.models import architectures


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The architecture `toy-showers`, in the folder of the registry."""
    folder = tmp_path / "architectures"
    folder.mkdir()
    source = Path(__file__).with_name("toy_showers.py")
    (folder / source.name).write_text(source.read_text())
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(folder)])
    monkeypatch.delenv("CALOLAB_SIZE", raising=False)
    yield
    sys.modules.pop(f"calolab.models.architectures.{source.stem}", None)
