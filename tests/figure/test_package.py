from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from vizkit._callable import make_callable


@pytest.mark.parametrize("package", ["vizkit.figure", "vizkit.figure.place", "vizkit.figure.spec", "vizkit.render", "vizkit.render.write"])
def test_import_loads_no_plotting_library_and_no_torch(package):
    heavy = "{'torch', 'streamlit', 'plotly', 'matplotlib', 'cv2', 'av', 'PIL'}"
    code = f"import sys, {package}; found = {heavy} & set(sys.modules); assert not found, found"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_packages_are_called_and_keep_their_names(monkeypatch):
    target, package = ModuleType("behind"), ModuleType("front")
    target.call = lambda *values, **settings: (values, settings)
    package.name = "kept"
    monkeypatch.setitem(sys.modules, "behind", target)
    monkeypatch.setitem(sys.modules, "front", package)
    make_callable("front", "behind:call")
    assert package(1, look="dark") == ((1,), {"look": "dark"})
    assert package.name == "kept"


def test_the_target_is_imported_on_the_first_call_only(monkeypatch):
    package = ModuleType("front")
    monkeypatch.setitem(sys.modules, "front", package)
    make_callable("front", "no_such_module:call")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        package()


def test_the_figure_package_offers_the_wheel_and_can_be_called():
    import vizkit.figure

    assert callable(vizkit.figure)
    assert vizkit.figure.wheel_colors([[0.0, 0.0]], 1.0).tolist() == [[255, 255, 255]]
