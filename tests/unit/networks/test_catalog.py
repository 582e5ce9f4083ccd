"""What a network can be called, and which function and which file that means."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.catalog import BUILT_IN, ZOOS, Resolved, resolve_factory, source_of
from edgekd.networks.network import Network, build


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_short_name_builds_a_network_with_the_classes_and_channels_asked_for(name: str) -> None:
    """Each built-in factory takes both, and nothing else is needed."""
    resolved = resolve_factory(name)

    module = build(Network(factory=resolved.factory, arguments={"classes": 3, "channels": 2}))

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert isinstance(layers[0], nn.Conv2d)
    assert isinstance(layers[-1], nn.Linear)
    assert (layers[0].in_channels, layers[-1].out_features) == (2, 3)
    assert resolved.source is None


def test_a_short_name_and_its_import_string_are_the_same() -> None:
    """So a recipe that was printed and read again means the same network."""
    for name, factory in BUILT_IN.items():
        assert resolve_factory(factory) == resolve_factory(name) == Resolved(factory=factory)


def test_a_file_keeps_its_name_and_is_its_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the current folder or absolute; the string stays as it was given. Nothing in the file runs."""
    file = tmp_path / "net.py"
    file.write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)

    assert resolve_factory("net.py:make") == Resolved(factory="net.py:make", source=Path("net.py"))
    assert resolve_factory(f"{file}:make") == Resolved(factory=f"{file}:make", source=file)


def test_a_module_of_the_users_counts_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found and not run; its package is run, as Python must to look inside."""
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert source_of("their_package.net:make") == package / "net.py"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet21", "network 'resnet21': did you mean 'resnet20'"),
        ("zzz", "network 'zzz': expected one of dscnn, .*, or 'package.module:function' or 'path/to/file.py:function'"),
        ("", "network '': expected one of"),
        (":make", "factory ':make': expected 'package.module:function'"),
        ("timm:", "factory 'timm:': expected"),
        ("pathlib:", "factory 'pathlib:': expected"),
        ("pathlib:a b", "factory 'pathlib:a b': 'a b' is no name of a function"),
        ("no_such_package.net:make", "no module 'no_such_package.net' can be found; expected"),
        ("sys:exit", "no module 'sys' can be found"),
        ("no/such/file.py:make", "no/such/file.py: no such file; expected a Python file, relative to "),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, message: str) -> None:
    """With the nearest name, or with what can be written."""
    with pytest.raises(ConfigError, match=message):
        resolve_factory(name)


def test_a_folder_with_a_python_files_name_is_refused(tmp_path: Path) -> None:
    """It is there, but it is no file."""
    (tmp_path / "net.py").mkdir()

    with pytest.raises(ConfigError, match=r"net\.py: a folder; expected a Python file"):
        resolve_factory(f"{tmp_path}/net.py:make")


def test_a_package_that_fails_when_it_is_looked_into_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its __init__.py raises."""
    package = tmp_path / "their_broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match=r"can be found \(ZeroDivisionError: division by zero\)"):
        resolve_factory("their_broken_package.net:make")


@pytest.mark.parametrize("package", sorted(ZOOS))
def test_a_zoo_gives_its_name_to_a_wrapper_or_says_how_to_install_it(package: str) -> None:
    """The name behind the colon is an argument of the wrapper."""
    if find_spec(package) is None:
        with pytest.raises(ConfigError, match=rf"{package} is not installed; run: pip install 'edgekd\[{package}\]'"):
            resolve_factory(f"{package}:resnet18")
    else:
        assert resolve_factory(f"{package}:resnet18") == Resolved(factory=ZOOS[package], arguments={"name": "resnet18"})


def test_looking_up_a_name_does_not_load_torch() -> None:
    """A wrong name is refused in milliseconds."""
    program = (
        "import sys; from edgekd.networks.catalog import *; resolve_factory('vit'); "
        "resolve_factory(BUILT_IN['vit']); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
