"""Factories from packages and from files of the user's: what they may do, and what they cannot break."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from edgekd.core.errors import ConfigError
from edgekd.networks.importing import import_factory
from edgekd.networks.network import Network, build, load_network, save_network

LINEAR = """
from torch import nn
def make(*, classes=2):
    return nn.Linear(3, classes)
"""

WHERE = """
import their_blocks
def make():
    import their_blocks as late
    return their_blocks.WHERE, late.WHERE
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a file below the test's folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_file_builds_saves_and_loads_like_a_package(write: Write, tmp_path: Path) -> None:
    """Its name in network.json is the one that was given."""
    network = Network(factory=f"{write('net.py', LINEAR)}:make", arguments={"classes": 4})
    module = build(network)
    save_network(tmp_path, network, module)

    found, loaded = load_network(tmp_path)

    assert found == network
    assert isinstance(loaded, nn.Linear)
    assert loaded.weight.equal(module.get_parameter("weight"))


def test_a_relative_file_is_looked_for_in_the_current_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every path on a command line is."""
    monkeypatch.chdir(write("net.py", LINEAR).parent)

    assert isinstance(import_factory("net.py:make")(), nn.Linear)


def test_a_file_may_import_its_neighbours_now_and_later(write: Write) -> None:
    """While it runs and while its function does; Python's path is as before in between and after."""
    write("theirs/their_layers.py", LINEAR)
    write("theirs/their_late_layers.py", LINEAR)
    text = "import their_layers\ndef make():\n    import their_late_layers as late\n    return their_layers, late\n"
    path_before = list(sys.path)

    make = import_factory(f"{write('theirs/net.py', text)}:make")
    path_between = list(sys.path)

    assert [module.make(classes=3).out_features for module in make()] == [3, 3]
    assert path_before == path_between == sys.path


def test_two_folders_with_neighbours_of_one_name_do_not_mix(write: Write) -> None:
    """Each file gets the neighbour from its own folder, in either order, and again."""
    factories = []
    for folder in ("first", "second"):
        write(f"{folder}/their_blocks.py", f"WHERE = '{folder}'\n")
        factories.append(f"{write(f'{folder}/net.py', WHERE)}:make")

    found = [import_factory(factory)() for factory in (*factories, *factories)]

    assert found == [("first", "first"), ("second", "second")] * 2


def test_a_file_runs_once_for_each_content(write: Write) -> None:
    """Two builds share their classes; an edited file is another module."""
    text = "class Net: pass\ndef make():\n    return Net\n"
    factory = f"{write('net.py', text)}:make"

    first, again = import_factory(factory)(), import_factory(factory)()
    write("net.py", text + "EDITED = True\n")
    edited = import_factory(factory)()

    assert first is again
    assert edited is not first


def test_a_class_of_a_file_knows_its_module(write: Write) -> None:
    """The module stands in ``sys.modules``, where torch and dataclasses look for it."""
    make = import_factory(
        f"{write('net.py', 'class Net: pass' + chr(10) + 'def make():' + chr(10) + '    return Net')}:make"
    )

    assert sys.modules[make().__module__].Net is make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef make(:\n", r"net\.py, line 2: SyntaxError: invalid syntax"),
        ("\n\nimport no_such_package\n", r"net\.py, line 3: ModuleNotFoundError: No module named 'no_such_package'"),
        ("from torch import no_such_name\n", r"net\.py, line 1: ImportError: cannot import name"),
        ("def f():\n    1 / 0\nf()\n", r"net\.py, line 2: ZeroDivisionError: division by zero"),
        ("raise RuntimeError('a\\nb')\n", r"net\.py, line 1: RuntimeError: a"),
        ("import sys\nsys.exit(3)\n", r"net\.py, line 2: SystemExit: 3"),
        ("import their_bad_neighbour\n", r"their_bad_neighbour\.py, line 2: SyntaxError"),
        ("assert False\n", r"net\.py, line 1: AssertionError: no message"),
    ],
)
def test_what_goes_wrong_in_a_file_is_one_sentence_with_file_and_line(write: Write, text: str, message: str) -> None:
    """Whatever it is; and nothing half made stays behind."""
    write("their_bad_neighbour.py", "\nx = = 1\n")
    modules, path = set(sys.modules), list(sys.path)

    with pytest.raises(ConfigError, match=message) as caught:
        import_factory(f"{write('net.py', text)}:make")

    assert "\n" not in str(caught.value)
    assert not any(name.startswith("edgekd_user_") for name in set(sys.modules) - modules)
    assert sys.path == path


def test_an_interrupt_goes_through(write: Write) -> None:
    """Control-C is no error of the file's."""
    with pytest.raises(KeyboardInterrupt):
        import_factory(f"{write('net.py', 'raise KeyboardInterrupt')}:make")


def test_what_goes_wrong_in_a_package_is_one_sentence_with_file_and_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a file."""
    write("their_bad_package/net.py", "x = 1\nx.no_such_attribute\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match=r"net\.py, line 2: AttributeError: 'int' object has no attribute"):
        import_factory("their_bad_package.net:make")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("mak", "has no 'mak'; did you mean 'make'"),
        ("LIMIT", "is not callable"),
        ("make", "gave int; expected a torch.nn.Module"),
    ],
)
def test_what_is_no_factory_is_refused(write: Write, function: str, message: str) -> None:
    """A name that is not there, a value, a function of something else."""
    file = write("net.py", "LIMIT = 3\ndef make():\n    return 3\n")

    with pytest.raises(ConfigError, match=message):
        build(Network(factory=f"{file}:{function}"))


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    """As when a saved network is loaded in another folder than it was made in."""
    with pytest.raises(ConfigError, match=r"net\.py: no such file; expected a Python file, relative to"):
        build(Network(factory=f"{tmp_path}/net.py:make"))


def test_what_goes_wrong_in_a_factory_is_one_sentence_with_file_and_line(write: Write) -> None:
    """The line is the user's, however deep in torch it fails; for arguments that it does not take there is none."""
    factory = f"{write('net.py', 'from torch import nn' + chr(10) + 'def make(size):' + chr(10) + DEEP)}:make"

    with pytest.raises(
        ConfigError, match=r"make: called with {'size': -1}: .*net\.py, line 3: RuntimeError: "
    ) as caught:
        build(Network(factory=factory, arguments={"size": -1}))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"make: called with {}: TypeError: make\(\) missing 1 required"):
        build(Network(factory=factory))


DEEP = "    return nn.Linear(3, size)\n"
