"""edgekd plan: what would run, as TOML; nothing is trained."""

import msgspec
import typer

from edgekd.cli.options import (
    DataOption,
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
from edgekd.cli.shorthand import Shorthand, with_shorthand
from edgekd.plan import make_plan, plan_to_toml, read_recipe


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
    *,
    skip_unreadable: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the resolved plan; saved to a file it is a recipe that gives the same results."""
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
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(plan), indent=1).decode())
        return
    for note in plan.notes:
        typer.echo(f"# {note}")
    typer.echo(plan_to_toml(plan), nl=False)
