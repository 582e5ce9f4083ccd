"""The plan: which stages run with which numbers, wired and checked before anything else is loaded."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import tomli_w
from msgspec import Meta

from edgekd.core.digest import file_digest, json_digest
from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert, read_toml, suggestion
from edgekd.networks.layout import STRUCTURE, WEIGHTS
from edgekd.stages.settings import BUILT_IN_ARGUMENTS, STAGE_SETTINGS, Export, Kind, Measure, Prune, Settings, Teach
from edgekd.targets import (
    AskedPrecision,
    Budgets,
    Target,
    exported_precisions,
    load_target,
    refusal,
    shipped_precision,
    why_refused,
)

TASKS: Final = ("digits",)
_HEADER: Final = ("target", "task", "seed")

Tables = dict[str, Any]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a run. *stages* are in order, each fed by those before; *measure* ends it.

    *target* is the name or path that was asked for. *notes* say what was left out, and why.
    """

    target: str
    task: str
    seed: int
    stages: tuple[Settings, ...]
    measure: Measure
    budgets: Budgets
    notes: tuple[str, ...] = ()

    def settings_of(self, kind: type[Settings]) -> Settings | None:
        """Return the plan's settings of one stage, or None where it is not in the plan."""
        return next((settings for settings in self.stages if isinstance(settings, kind)), None)


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a recipe that stands before its tables."""

    target: str | None = None
    task: str | None = None
    seed: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan resolves for the target before it becomes a setting."""

    precision: AskedPrecision


def read_recipe(path: Path | None, assignments: Sequence[str]) -> Tables:
    """Return the recipe file's tables with ``stage.field=value`` *assignments* over them; unchecked but for names."""
    tables: Tables = {} if path is None else read_toml(path)
    where = "recipe" if path is None else str(path)
    _check_tables(tables, where)
    for assignment in assignments:
        _assign(tables, assignment)
    return tables


def make_plan(target: str | None, recipe: Mapping[str, Any], *, seed: int | None = None, where: str = "recipe") -> Plan:
    """Return the plan for *target* with *recipe* over its numbers; explicit arguments win over the recipe's.

    Raises ConfigError for whatever cannot run: a wrong value, a precision the device refuses, stages that do
    not fit together.
    """
    header = convert({name: recipe[name] for name in _HEADER if name in recipe}, Header, where=where)
    explicit = convert({"target": target, "seed": seed}, Header, where="command line")
    name = explicit.target or header.target
    if name is None:
        message = "no target given; use --target NAME, see `edgekd targets list`."
        raise ConfigError(message)
    task = header.task or TASKS[0]
    if task not in TASKS:
        message = f"{where}: task: '{task}' given; {suggestion(task, TASKS)}"
        raise ConfigError(message)
    facts = load_target(name)
    resolved = {stage: _settings(stage, facts, dict(recipe.get(stage, {})), where) for stage in STAGE_SETTINGS}
    export, measure = resolved["export"], resolved["measure"]
    assert isinstance(export, Export)  # noqa: S101 - the table says so
    assert isinstance(measure, Measure)  # noqa: S101 - the table says so
    _check_export(export, facts)
    _check_facts(resolved, facts)
    stages, notes = _active(resolved, export, facts)
    _check_wiring(stages)
    budgets = convert(
        msgspec.to_builtins(facts.budgets) | dict(recipe.get("budgets", {})), Budgets, where=f"{where}: budgets"
    )
    chosen = explicit.seed if explicit.seed is not None else header.seed or 0
    return Plan(target=name, task=task, seed=chosen, stages=stages, measure=measure, budgets=budgets, notes=notes)


def plan_to_toml(plan: Plan) -> str:
    """Return *plan* as a recipe: read again, it gives the same plan and the same store keys."""
    tables: Tables = {"target": plan.target, "task": plan.task, "seed": plan.seed}
    for settings in (*plan.stages, plan.measure):
        tables[settings.stage.name] = msgspec.to_builtins(settings)
    left_out = {name: {"ratio": 0.0} for name in ("prune",) if name not in tables}
    return tomli_w.dumps(tables | left_out | {"budgets": msgspec.to_builtins(plan.budgets)})


def _check_tables(tables: Tables, where: str) -> None:
    """Raise ConfigError for a top-level name that is neither a stage nor part of the header."""
    known = (*_HEADER, *STAGE_SETTINGS, "budgets")
    for name, value in tables.items():
        if name not in known:
            message = f"{where}: {name}: unknown; {suggestion(name, known)}"
            raise ConfigError(message)
        if name not in _HEADER and not isinstance(value, dict):
            message = f"{where}: {name}: {value!r} given; expected a table, as in [{name}]."
            raise ConfigError(message)


def _assign(tables: Tables, assignment: str) -> None:
    """Put one ``stage.field=value`` into *tables*; the value is TOML, or text where it is not."""
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or len(steps) < 2 or not all(steps):  # noqa: PLR2004 - a stage and a field
        message = f"--set {assignment}: expected stage.field=value, for instance prune.ratio=0.4."
        raise ConfigError(message)
    known = (*STAGE_SETTINGS, "budgets")
    if steps[0] not in known:
        message = f"--set {assignment}: {steps[0]}: unknown stage; {suggestion(steps[0], known)}"
        raise ConfigError(message)
    table = tables
    for step in steps[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            message = f"--set {assignment}: {step} is a value, not a table."
            raise ConfigError(message)
    table[steps[-1]] = _value(text.strip())


def _value(text: str) -> Any:  # noqa: ANN401 - whatever TOML can say
    """Return *text* read as a TOML value, or as plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _settings(stage: str, target: Target, given: Tables, where: str) -> Settings:
    """Return a stage's settings: its defaults, the target's numbers over them, then the recipe's."""
    kind = STAGE_SETTINGS[stage]
    fields = kind.for_target(target)
    if kind is Export:
        precision = {"precision": given.pop("precision", "auto")}
        asked = convert(precision, Asked, where=f"{where}: {stage}").precision
        fields["precision"] = shipped_precision(target, asked)
        fields["variants"] = _variants(target, asked)
    if kind is Teach and given.get("given"):
        found = fields["given_sha256"] = _digest_of_network(Path(str(given["given"])))
        if given.get("given_sha256", found) != found:
            message = f"{where}: teach.given: {given['given']}: not the network that this recipe was made with."
            raise ConfigError(message)
    if "factory" in given and "factory_sha256" in kind.__struct_fields__:
        found = fields["factory_sha256"] = _digest_of_factory(str(given["factory"]), f"{where}: {stage}.factory")
        if given.get("factory_sha256", found) != found:
            message = f"{where}: {stage}.factory: {given['factory']}: not the code that this recipe was made with."
            raise ConfigError(message)
    for name, value in given.items():
        if name == "arguments" and isinstance(value, dict) and "factory" not in given:
            fields[name] = dict(BUILT_IN_ARGUMENTS) | value
        else:
            fields[name] = value
    return convert(fields, kind, where=f"{where}: {stage}")


def _digest_of_network(folder: Path) -> str:
    """Return the digest of a saved network; ConfigError where a file of it is missing."""
    digests = {}
    for name in (STRUCTURE, WEIGHTS):
        if not (folder / name).is_file():
            message = f"teach.given: {folder / name}: no such file; expected a folder with {STRUCTURE} and {WEIGHTS}."
            raise ConfigError(message)
        digests[name] = file_digest(folder / name)
    return json_digest(digests)


def _digest_of_factory(factory: str, where: str) -> str:
    """Return the digest of the file that defines *factory*, nothing for edgekd's own; ConfigError for none."""
    module = factory.partition(":")[0]
    try:
        found = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        message = f"{where}: '{factory}': no module '{module}' can be found; expected 'package.module:function'."
        raise ConfigError(message)
    return "" if module.split(".")[0] == "edgekd" else file_digest(Path(found.origin))


def _variants(target: Target, asked: AskedPrecision) -> tuple[str, ...]:
    """Return the precisions to write: all the device takes, or FP32 and the one that was asked for."""
    return exported_precisions(target) if asked == "auto" else tuple(dict.fromkeys(("fp32", asked)))


def _check_export(export: Export, target: Target) -> None:
    """Raise ConfigError where the device cannot take what would be written."""
    for precision in (export.precision, *export.variants):
        reason = refusal(target, precision)
        if reason is not None:
            raise ConfigError(reason)
    if len(set(export.variants)) != len(export.variants):
        message = f"export.variants: {list(export.variants)}; expected each precision once."
        raise ConfigError(message)
    if export.precision not in export.variants:
        message = (
            f'export.variants: {list(export.variants)}; expected to hold the shipped precision "{export.precision}".'
        )
        raise ConfigError(message)
    limits = (
        ("opset", export.opset, target.runtime.max_opset),
        ("ir_version", export.ir_version, target.runtime.max_ir_version),
    )
    for field, value, most in limits:
        if value > most:
            message = (
                f"export.{field}: {value} given, but {target.name}'s {target.runtime.name} {target.runtime.version} "
                f"takes at most {most}."
            )
            raise ConfigError(message)


def _check_facts(resolved: Mapping[str, Settings], target: Target) -> None:
    """Raise ConfigError where a recipe would change what is a fact of the device, not a choice."""
    for stage, field in (("export", "runtime"), ("quantize", "placement")):
        fact = STAGE_SETTINGS[stage].for_target(target).get(field)
        value = getattr(resolved[stage], field)
        if fact is not None and value != fact:
            message = f'{stage}.{field}: "{value}" given; {target.name} has "{fact}", which no recipe can change.'
            raise ConfigError(message)


def _active(
    resolved: Mapping[str, Settings], export: Export, target: Target
) -> tuple[tuple[Settings, ...], tuple[str, ...]]:
    """Return the stages that have something to do, and a note for each that has not."""
    reasons: dict[str, str] = {}
    prune = resolved["prune"]
    if isinstance(prune, Prune) and prune.ratio == 0:
        reasons["prune"] = "prune: left out, its ratio is 0"
    if "int8" not in export.variants:
        refused = why_refused(target, "int8")
        why = f"INT8 is refused: {refused}" if refused else f"export.variants = {list(export.variants)} holds no INT8"
        reasons["quantize"] = f"quantize: left out, {why}"
    stages = tuple(s for name, s in resolved.items() if name not in reasons and not isinstance(s, Measure))
    return stages, tuple(reasons.values())


def _check_wiring(stages: Sequence[Settings]) -> None:
    """Raise ConfigError where a stage takes what no stage before it gives."""
    given: set[Kind] = set()
    for settings in stages:
        missing = set(settings.takes) - given
        if missing:
            message = f"{settings.stage.name}: takes {sorted(missing)}, which no stage before it gives."
            raise ConfigError(message)
        given.add(settings.stage.gives)
