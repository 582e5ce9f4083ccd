"""edgekd plan: what would run, as TOML; nothing is trained."""

import msgspec
import typer

from edgekd.cli.options import JsonOption, RecipeOption, SeedOption, SetOption, TargetOption
from edgekd.plan import make_plan, plan_to_toml, read_recipe


def command(
    target: TargetOption = None,
    recipe: RecipeOption = None,
    assignments: SetOption = None,
    seed: SeedOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the resolved plan; saved to a file it is a recipe that gives the same results."""
    where = "recipe" if recipe is None else str(recipe)
    plan = make_plan(target, read_recipe(recipe, assignments or ()), seed=seed, where=where)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(plan), indent=1).decode())
        return
    for note in plan.notes:
        typer.echo(f"# {note}")
    typer.echo(plan_to_toml(plan), nl=False)
