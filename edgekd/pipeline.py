"""Running a plan against the store: every stage is found there, or run, checked and committed."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from edgekd.core.progress import Progress
from edgekd.core.store import Damage, Entry, Store, result_key
from edgekd.plan import Plan
from edgekd.stages.settings import Kind, Settings
from edgekd.stages.stage import Env, Inputs
from edgekd.stages.table import STAGES
from edgekd.tasks.task import Task
from edgekd.train.distributed import World, from_writer


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


class Site(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where stages run: what all of one run share. In a distributed run this is process *world* of several."""

    task: Task
    seed: int
    store: Store
    progress: Progress
    device: torch.device = torch.device("cpu")
    world: World = World()


def run_plan(plan: Plan, site: Site) -> tuple[StageResult, ...]:
    """Return the result of every stage of *plan*, in order.

    A stage is found in the store by all that it depends on. Where it is not there, or damaged, it runs while its
    key is locked: of two runs that want the same result, one makes it and the other waits. In a distributed run all
    processes run the stage together, and the first one keeps the store.
    """
    results: list[StageResult] = []
    latest: dict[Kind, StageResult] = {}
    for position, settings in enumerate(plan.stages):
        inputs = {kind: latest[kind] for kind in settings.takes}
        site.progress.say(f"[{position + 1}/{len(plan.stages)}] {settings.stage.name}")
        result = _run_stage(settings, inputs, site)
        results.append(result)
        latest |= dict.fromkeys(settings.gives, result)
    return tuple(results)


def _run_stage(settings: Settings, inputs: Mapping[Kind, StageResult], site: Site) -> StageResult:
    """Return one stage's result from the store, or after running it."""
    keys: dict[str, str] = {kind: result.key for kind, result in inputs.items()}
    key = result_key(
        stage=settings.stage.name,
        version=settings.stage.version,
        config=settings,
        inputs=keys,
        task=site.task.digest,
        seed=site.seed,
    )
    folders = {kind: result.folder for kind, result in inputs.items()}
    if site.world.is_writer:
        found = from_writer(_found_or_made(settings, folders, key, site), site.world)
    else:
        found = _helped(settings, folders, key, site)
    folder, record, was_reused = found
    return StageResult(
        name=settings.stage.name,
        key=key,
        folder=folder,
        record=record["result"],
        inputs=keys,
        seconds=record["seconds"],
        was_reused=was_reused,
        was_resumed=record["was_resumed"],
    )


_Found = tuple[Path, Mapping[str, Any], bool]
"""A result's folder and record, and whether it was in the store."""


def _found_or_made(settings: Settings, folders: Inputs, key: str, site: Site) -> _Found:
    """Return the stored result, or make it while its key is locked."""
    name = settings.stage.name
    with site.store.lock(key, lambda: site.progress.say(f"{name}: another run is making this result; waiting")):
        found = site.store.find(key)
        if isinstance(found, Damage):
            site.progress.say(f"{name}: the stored result is damaged ({found.reason}) and is made again")
            site.store.discard(key)
        was_reused = isinstance(found, Entry)
        if was_reused:
            site.progress.say(f"{name}: found in the store")
        else:
            site.store.empty_out(key)  # before the others are told: they read what lies beside it
        from_writer(was_reused, site.world)
        entry = found if isinstance(found, Entry) else _make(settings, folders, key, site)
    return entry.folder, entry.record, was_reused


def _make(settings: Settings, folders: Inputs, key: str, site: Site) -> Entry:
    """Run a stage, check its promise and commit its result."""
    began = time.monotonic()
    out = site.store.scratch(key) / "out"
    env = _env(site, key)
    was_resumed = any(env.scratch.iterdir())
    stage = STAGES[settings.stage.name]
    record = stage.run(settings, folders, out, env)
    stage.ensures(settings, folders, out, env)
    return site.store.commit(key, {"result": record, "seconds": time.monotonic() - began, "was_resumed": was_resumed})


def _helped(settings: Settings, folders: Inputs, key: str, site: Site) -> _Found:
    """Take part in making a result that the first process keeps; what this one writes is thrown away."""
    if not from_writer(None, site.world):
        with tempfile.TemporaryDirectory(prefix="edgekd-worker-") as out:
            STAGES[settings.stage.name].run(settings, folders, Path(out), _env(site, key))
    found: _Found = from_writer(None, site.world)
    return found


def _env(site: Site, key: str) -> Env:
    """Return what a stage may read."""
    return Env(
        task=site.task,
        seed=site.seed,
        progress=site.progress,
        scratch=site.store.scratch(key) / "progress",
        cache=site.store.root / "cache",
        device=site.device,
        world=site.world,
    )
