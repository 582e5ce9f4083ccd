"""The plan: which stages run with which numbers, wired and checked before anything else is loaded."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
import tomli_w
from msgspec import Meta

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert, read_toml, suggestion
from edgekd.stages.pinning import complete_origin
from edgekd.stages.pricing import Priced, layer_prices
from edgekd.stages.settings import (
    STAGE_SETTINGS,
    Distill,
    Export,
    FactorizeLayers,
    Kind,
    Measure,
    Prune,
    Settings,
    Teach,
)
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
from edgekd.tasks.source import Data

Tables = dict[str, Any]

_OFF: Final[Mapping[str, Tables]] = MappingProxyType({"distill": {"factory": ""}, "prune": {"ratio": 0.0}})
"""What leaves a stage out."""

_HEADER: Final = ("target", "seed")
_TABLES: Final = ("data", *STAGE_SETTINGS, "budgets")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a run. *stages* are in order, each fed by those before; *measure* ends it.

    *target* is the name or path that was asked for. *notes* say what was left out and
    why, and what the prices of layers rest on.
    """

    target: str
    data: Data
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
    seed: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan resolves for the target before it becomes a setting."""

    precision: AskedPrecision


def read_recipe(path: Path | None, assignments: Sequence[str] = ()) -> Tables:
    """Return the recipe file's tables with ``stage.field=value`` *assignments* over them; unchecked but for names."""
    tables: Tables = {} if path is None else read_toml(path)
    where = "recipe" if path is None else str(path)
    _check_tables(tables, where)
    for assignment in assignments:
        assign(tables, assignment)
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
    data = convert(dict(recipe.get("data", {})), Data, where=f"{where}: data")
    facts = load_target(name)
    asked = _asked_precision(recipe, where)
    shipped = shipped_precision(facts, asked)
    priced = layer_prices(facts, shipped)
    decided: dict[str, Tables] = {
        "factorize": {"prices_ns": msgspec.to_builtins(priced.prices_ns)},
        "export": {"precision": shipped, "variants": _variants(facts, asked)},
    }
    resolved = {
        stage: _settings(stage, kind.for_target(facts) | decided.get(stage, {}), dict(recipe.get(stage, {})), where)
        for stage, kind in STAGE_SETTINGS.items()
    }
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
    return Plan(
        target=name,
        data=data,
        seed=chosen,
        stages=stages,
        measure=measure,
        budgets=budgets,
        notes=(*notes, _told_prices(resolved["factorize"], priced)),
    )


def plan_to_toml(plan: Plan) -> str:
    """Return *plan* as a recipe: read again, it gives the same plan and the same store keys."""
    data = {name: value for name, value in msgspec.to_builtins(plan.data).items() if value is not None}
    tables: Tables = {"target": plan.target, "seed": plan.seed, "data": data}
    for settings in (*plan.stages, plan.measure):
        tables[settings.stage.name] = msgspec.to_builtins(settings)
    left_out = {name: off for name, off in _OFF.items() if name not in tables}
    return tomli_w.dumps(tables | left_out | {"budgets": msgspec.to_builtins(plan.budgets)})


def _check_tables(tables: Tables, where: str) -> None:
    """Raise ConfigError for a top-level name that is neither a stage nor part of the header."""
    known = (*_HEADER, *_TABLES)
    for name, value in tables.items():
        if name not in known:
            message = f"{where}: {name}: unknown; {suggestion(name, known)}"
            raise ConfigError(message)
        if name not in _HEADER and not isinstance(value, dict):
            message = f"{where}: {name}: {value!r} given; expected a table, as in [{name}]."
            raise ConfigError(message)


def assign(tables: Tables, assignment: str) -> None:
    """Put one ``stage.field=value`` into *tables*; the value is TOML, or text where it is not."""
    path, equals, text = assignment.partition("=")
    steps = path.strip().split(".")
    if not equals or len(steps) < 2 or not all(steps):  # noqa: PLR2004 - a stage and a field
        message = f"--set {assignment}: expected stage.field=value, for instance prune.ratio=0.4."
        raise ConfigError(message)
    if steps[0] not in _TABLES:
        message = f"--set {assignment}: {steps[0]}: unknown stage; {suggestion(steps[0], _TABLES)}"
        raise ConfigError(message)
    table = tables
    for step in steps[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            message = f"--set {assignment}: {step} is a value, not a table."
            raise ConfigError(message)
    table[steps[-1]] = parse_value(text.strip())


def parse_value(text: str) -> Any:  # noqa: ANN401 - whatever TOML can say
    """Return *text* read as a TOML value, or as plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _asked_precision(recipe: Mapping[str, Any], where: str) -> AskedPrecision:
    """Return the precision that *recipe* asks to ship."""
    given = {"precision": recipe.get("export", {}).get("precision", "auto")}
    return convert(given, Asked, where=f"{where}: export").precision


def _settings(stage: str, decided: Tables, given: Tables, where: str) -> Settings:
    """Return a stage's settings: its defaults, what is *decided* for the target over them, then the recipe's."""
    kind = STAGE_SETTINGS[stage]
    if kind is Export:
        given.pop("precision", None)  # what was asked is decided
    if "factory" in kind.__struct_fields__:
        complete_origin(kind, given, where=f"{where}: {stage}")
    return convert(_over(decided, given), kind, where=f"{where}: {stage}")


def _over(decided: Tables, given: Tables) -> Tables:
    """Return *given* over *decided*; a table in both keeps what *given* does not name."""
    inner = {
        name: value | given[name]
        for name, value in decided.items()
        if isinstance(value, dict) and isinstance(given.get(name), dict)
    }
    return decided | given | inner


def _told_prices(factorize: Settings, priced: Priced) -> str:
    """Return the note on what layers are priced by, and which prices the recipe changes."""
    assert isinstance(factorize, FactorizeLayers)  # noqa: S101 - the table says so
    used, known = (msgspec.structs.asdict(prices) for prices in (factorize.prices_ns, priced.prices_ns))
    changed = [name for name in used if used[name] != known[name]]
    but = f"; the recipe changes {', '.join(changed)}" if changed else ""
    return f"factorize: decides by {priced.basis}{but}"


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
    teach, distill, prune = resolved["teach"], resolved["distill"], resolved["prune"]
    if isinstance(distill, Distill) and not distill.factory:
        reasons["distill"] = "distill: left out, the network is compressed itself and learns from its uncompressed form"
    if isinstance(teach, Teach) and not (teach.given or teach.weights or teach.epochs):
        message = "teach.epochs: 0 given, with neither weights nor a given teacher: there is nothing to learn from."
        raise ConfigError(message)
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
            message = (
                f"{settings.stage.name}: takes {sorted(missing)}, which no stage before it gives; "
                "an ONNX teacher, or several, cannot be compressed: name the network to ship with --model."
            )
            raise ConfigError(message)
        given.update(settings.gives)
