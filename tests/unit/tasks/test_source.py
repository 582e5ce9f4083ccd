"""The ``[data]`` table: what it takes, and what it says about the rest."""

import subprocess
import sys

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.tasks.load import LOADERS
from edgekd.tasks.source import KINDS, Data


@pytest.mark.parametrize(
    ("source", "kind", "rest"),
    [
        ("digits", "digits", ""),
        ("folder:some/dir", "folder", "some/dir"),
        ("npz:a:b.npz", "npz", "a:b.npz"),
        ("hf:user/name", "hf", "user/name"),
        ("module:pkg.mod:task", "module", "pkg.mod:task"),
        ("module:dir/file.py:task", "module", "dir/file.py:task"),
    ],
)
def test_a_source_is_a_kind_and_the_rest_behind_the_first_colon(source: str, kind: str, rest: str) -> None:
    """A path may hold colons of its own."""
    data = Data(source=source)

    assert (data.kind, data.rest) == (kind, rest)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"source": "foldr:x"}, "'foldr' is no kind of data; did you mean 'folder:DIR'?"),
        ({"source": "tape:x"}, "expected one of digits, folder:DIR, npz:FILE, cifar10:DIR, hf:NAME_OR_DIR"),
        ({"source": "./pets"}, "did you mean 'folder:./pets'?"),
        ({"source": "folder"}, "'folder' given; expected 'folder:DIR'"),
        ({"source": "folder:"}, "'folder:' given; expected 'folder:DIR'"),
        ({"source": "digits:x"}, "'digits:x' given; expected 'digits'"),
        ({"source": "module:pkg.mod"}, "expected 'module:package.module:object' or 'module:path/to/file.py:object'"),
        ({"source": ""}, "source: '' given"),
        ({"sorce": "digits"}, "did you mean 'source'?"),
        ({"size": [4, 4]}, "size: means nothing for the source 'digits'"),
        ({"source": "npz:a", "size": [4, 4]}, "size: means nothing for the source 'npz'"),
        ({"source": "cifar10:a", "test": 0.2}, "test: means nothing for the source 'cifar10'"),
        ({"source": "folder:a", "size": [0, 4]}, "expected an integer at least 1"),
        ({"source": "folder:a", "size": [4]}, "expected a list of exactly 2"),
        ({"source": "folder:a", "channel_order": "rbg"}, "did you mean 'rgb'?"),
        ({"source": "folder:a", "validation": 0.0}, "validation: 0.0 given; expected a number more than 0"),
        ({"source": "folder:a", "validation": 0.5, "test": 0.5}, "their sum must be below 1"),
        ({"source": "folder:a", "mean": [0.5, 0.5], "std": [1.0]}, "mean has 2 channels, std has 1"),
        ({"source": "folder:a", "mean": []}, "mean and std: empty"),
        ({"source": "folder:a", "std": [0.0]}, "expected a number more than 0"),
        ({"source": "folder:a", "labels": ["a", "a"]}, "expected at least 2 different names"),
        ({"source": "folder:a", "labels": ["a"]}, "expected at least 2 different names"),
        ({"source": "folder:a", "classes": 1}, "classes = 1"),
        ({"source": "folder:a", "labels": ["a", "b"], "classes": 3}, "classes = 3 with 2 labels"),
        ({"source": "folder:a", "scale": -1.0}, "expected a number more than 0"),
    ],
)
def test_a_wrong_table_is_one_sentence(table: dict[str, object], message: str) -> None:
    """Every setting has its range, and a setting that would be ignored is refused."""
    with pytest.raises(ConfigError) as error:
        convert(table, Data, where="recipe: data")

    assert str(error.value).startswith("recipe: data: ")
    assert message in str(error.value)


def test_every_kind_of_source_has_its_loader() -> None:
    """The table that is checked and the table that works name the same kinds."""
    assert list(LOADERS) == list(KINDS)


def test_checking_a_table_loads_neither_numpy_nor_pillow() -> None:
    """A wrong spec is refused before anything heavy is imported."""
    program = (
        "import sys; from edgekd.tasks.source import Data; Data(source='folder:x'); "
        "print(sorted({'torch', 'numpy', 'PIL', 'datasets'} & set(sys.modules)))"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"
