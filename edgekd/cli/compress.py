"""edgekd compress: the main job."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgekd.cli.options import (
    DataOption,
    DeviceOption,
    JsonOption,
    ModelArgOption,
    ModelOption,
    RecipeOption,
    SeedOption,
    SetOption,
    SkipOption,
    TargetOption,
    TeacherArgOption,
    TeacherOption,
    TeacherWeightsOption,
    WeightsOption,
)
from edgekd.cli.process import this_process
from edgekd.cli.shorthand import Shorthand, with_shorthand
from edgekd.core.progress import BarProgress, PlainProgress, Progress, SilentProgress
from edgekd.core.store import Store
from edgekd.plan import make_plan, read_recipe
from edgekd.report.destination import check_destination
from edgekd.targets import load_target

if TYPE_CHECKING:
    from edgekd.report.compress import Outcome

OUT = Path("edgekd-out")


def command(  # noqa: PLR0913, PLR0917 - one for each option
    target: TargetOption = None,
    recipe: RecipeOption = None,
    assignments: SetOption = None,
    seed: SeedOption = None,
    data: DataOption = None,
    model: ModelOption = None,
    model_args: ModelArgOption = None,
    weights: WeightsOption = None,
    teachers: TeacherOption = None,
    teacher_args: TeacherArgOption = None,
    teacher_weights: TeacherWeightsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the bundle [default: edgekd-out/<target>].")
    ] = None,
    store: Annotated[Path, typer.Option("--store", help="Folder of reusable results.")] = OUT / ".store",
    device: DeviceOption = "cpu",
    *,
    skip_unreadable: SkipOption = False,
    as_json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail on a budget that is UNPROVEN.")] = False,
) -> None:
    """Teach, distill, prune, factorize, quantize, export and measure for a device; leave a bundle."""
    where = "recipe" if recipe is None else str(recipe)
    shorthand = Shorthand(
        model=model,
        model_args=model_args or (),
        weights=weights,
        teachers=teachers or (),
        teacher_args=teacher_args or (),
        teacher_weights=teacher_weights,
        data=data,
        skip_unreadable=skip_unreadable,
    )
    tables = with_shorthand(read_recipe(recipe), shorthand, assignments or ())
    plan = make_plan(target, tables, seed=seed, where=where)
    destination = out or OUT / load_target(plan.target).name
    process = this_process()
    progress = _progress() if process.is_first else SilentProgress()
    if process.is_first:
        check_destination(destination, store)
    progress.say(f"edgekd: {plan.target}, results in {destination}")
    for note in plan.notes:
        progress.say(note)
    heavy = import_module("edgekd.report.compress")
    engine = heavy.Engine(
        device=device,
        local_rank=process.local_rank,
        is_distributed=process.is_one_of_several,
        attempt=process.attempt,
        emulator=import_module("edgekd.bench.emulator").emulator_folder(os.environ),
    )
    outcome: Outcome | None = heavy.compress(
        plan, out=destination, store=Store(store), progress=progress, engine=engine
    )
    if outcome is None:
        return
    _show(outcome, as_json=as_json)
    raise typer.Exit(import_module("edgekd.verdict").exit_code(outcome.report.budgets, strict=strict))


def _progress() -> Progress:
    """Return bars on a terminal, plain lines elsewhere; both on the error stream."""
    return BarProgress(sys.stderr) if sys.stderr.isatty() else PlainProgress(sys.stderr)


def _show(outcome: "Outcome", *, as_json: bool) -> None:
    """Print the report."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(outcome.report), indent=1).decode())
        return
    markdown = import_module("edgekd.report.markdown")
    typer.echo(markdown.render(outcome.report, details=False))
    typer.echo(f"Bundle: {outcome.bundle} (read {outcome.bundle / 'report.md'}, check with `edgekd verify`)")
