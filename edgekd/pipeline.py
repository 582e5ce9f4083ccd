"""Running a plan against the store: every stage is found there, or run, checked and committed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgekd.core.progress import Progress
from edgekd.core.store import Damage, Entry, Store, result_key
from edgekd.plan import Plan
from edgekd.stages.settings import Kind, Settings
from edgekd.stages.stage import Env
from edgekd.stages.table import STAGES
from edgekd.tasks.task import Task


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """One stage's result: where it is, what is known of it, and whether this run made it.

    *seconds* is the time of the run that made it (of its last part, where that run was cut and *was_resumed*).
    """

    name: str
    key: str
    folder: Path
    record: Mapping[str, Any]
    inputs: Mapping[str, str]
    seconds: float
    was_reused: bool
    was_resumed: bool


def run_plan(plan: Plan, task: Task, store: Store, progress: Progress) -> tuple[StageResult, ...]:
    """Return the result of every stage of *plan*, in order.

    A stage is found in the store by all that it depends on. Where it is not there, or damaged, it runs while its
    key is locked: of two runs that want the same result, one makes it and the other waits.
    """
    results: list[StageResult] = []
    latest: dict[Kind, StageResult] = {}
    for position, settings in enumerate(plan.stages):
        inputs = {kind: latest[kind] for kind in settings.takes}
        progress.say(f"[{position + 1}/{len(plan.stages)}] {settings.stage.name}")
        result = _run_stage(settings, inputs, Site(plan=plan, task=task, store=store, progress=progress))
        results.append(result)
        latest[settings.stage.gives] = result
    return tuple(results)


class Site(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where a stage runs: what all stages of one run share."""

    plan: Plan
    task: Task
    store: Store
    progress: Progress


def _run_stage(settings: Settings, inputs: Mapping[Kind, StageResult], site: Site) -> StageResult:
    """Return one stage's result from the store, or after running it."""
    name = settings.stage.name
    key = result_key(
        stage=name,
        version=settings.stage.version,
        config=settings,
        inputs={kind: result.key for kind, result in inputs.items()},
        task=site.task.digest,
        seed=site.plan.seed,
    )
    with site.store.lock(key, lambda: site.progress.say(f"{name}: another run is making this result; waiting")):
        found = site.store.find(key)
        if isinstance(found, Damage):
            site.progress.say(f"{name}: the stored result is damaged ({found.reason}) and is made again")
            site.store.discard(key)
        was_reused = isinstance(found, Entry)
        entry = found if isinstance(found, Entry) else _make(settings, inputs, key, site)
    if was_reused:
        site.progress.say(f"{name}: found in the store")
    return StageResult(
        name=name,
        key=key,
        folder=entry.folder,
        record=entry.record["result"],
        inputs={kind: result.key for kind, result in inputs.items()},
        seconds=entry.record["seconds"],
        was_reused=was_reused,
        was_resumed=entry.record["was_resumed"],
    )


def _make(settings: Settings, inputs: Mapping[Kind, StageResult], key: str, site: Site) -> Entry:
    """Run a stage, check its promise and commit its result."""
    began = time.monotonic()
    out = site.store.empty_out(key)
    scratch = site.store.scratch(key) / "progress"
    was_resumed = any(scratch.iterdir())
    env = Env(task=site.task, seed=site.plan.seed, progress=site.progress, scratch=scratch)
    folders = {kind: result.folder for kind, result in inputs.items()}
    stage = STAGES[settings.stage.name]
    record = stage.run(settings, folders, out, env)
    stage.ensures(settings, folders, out, env)
    return site.store.commit(key, {"result": record, "seconds": time.monotonic() - began, "was_resumed": was_resumed})
