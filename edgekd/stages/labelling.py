"""Labels for samples that nobody has labelled: what the given teacher says of them."""

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import ConfigError
from edgekd.core.progress import Progress
from edgekd.networks.session import answers, open_session
from edgekd.stages.fitness import check_given_folder, given_graph
from edgekd.stages.settings import Teach
from edgekd.tasks.making import with_labels
from edgekd.tasks.task import Split, Task
from edgekd.train.evaluate import logits_of


def labelled(task: Task, teach: Teach, progress: Progress) -> Task:
    """Return *task* with the class that the given teachers name, the mean of their logits, where it has no labels.

    What is called accuracy on such a split is agreement with the teacher; ``Task.labelled_by`` says so. Raises
    ConfigError where no teacher is given: nobody knows what the samples are.
    """
    if not teach.given:
        message = (
            f"data '{task.name}': has no labels and no teacher is given; "
            "give one with --teacher, or put the images into one folder for each class."
        )
        raise ConfigError(message)
    parts = [name for name, split in task.splits.items() if split.labels is None]
    progress.say(f"data: no labels in {', '.join(parts)}; the teacher's answers take their place")
    labels = {name: _named_by(teach, task, task.splits[name]) for name in parts}
    if "train" in labels and len(np.unique(labels["train"])) == 1:
        message = (
            f"data '{task.name}': the teacher calls every training sample '{task.labels[int(labels['train'][0])]}'."
        )
        raise ConfigError(message)
    return with_labels(task, labels, by=", ".join(teach.given))


def _named_by(teach: Teach, task: Task, split: Split) -> NDArray[np.int64]:
    """Return the class (n,) int64 with the largest mean logit over the given teachers."""
    total = np.zeros((len(split), len(task.labels)), dtype=np.float64)
    for given in teach.given:
        if teach.is_black_box:
            total += answers(open_session(given_graph(given, task)), task.batches(split))
        else:
            total += logits_of(check_given_folder(given, task)[1], task, split).numpy()
    return np.asarray(total.argmax(1), dtype=np.int64)
