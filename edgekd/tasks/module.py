"""A task that the user's own code makes."""

from edgekd.core.errors import ConfigError
from edgekd.core.importing import import_object, user_code
from edgekd.tasks.source import Data
from edgekd.tasks.task import Task


def load_module(data: Data) -> Task:
    """Return the Task that ``data.rest`` names, or that the function it names returns when called with nothing.

    Raises ConfigError, with file and line, for whatever the user's code raises, and for an object of another type.
    """
    where = f"--data {data.source}"
    found = import_object(data.rest, where=where)
    if callable(found):
        with user_code(where):
            found = found()
    if not isinstance(found, Task):
        message = (
            f"{where}: is {type(found).__name__}; expected an edgekd Task, or a function without arguments that "
            "returns one (see edgekd.tasks.making.make_task)."
        )
        raise ConfigError(message)
    return found
