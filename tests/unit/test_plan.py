"""The plan: what the target and the recipe decide, and what is refused before any work."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import ConfigError
from edgekd.core.strict import read_toml
from edgekd.plan import Plan, assign, make_plan, plan_to_toml, read_recipe
from edgekd.stages.pricing import layer_prices
from edgekd.stages.settings import Distill, Export, FactorizeLayers, LayerPrices, Prune, Quantize, Teach
from edgekd.targets import PrecisionName, load_target, target_file, target_names

ALL_STAGES = ["teach", "distill", "prune", "factorize", "quantize", "export"]

CHANGES: list[tuple[str, ...]] = [
    (),
    ("prune.ratio=0.4", "teach.epochs=3", "teach.nesterov=false"),
    ("prune.ratio=0",),
    ("export.precision=fp32",),
    ('export.variants=["fp32", "fp16"]', "export.precision=fp16"),
    ("teach.arguments.width=16", "budgets.size_kb=48.5"),
    ("measure.runs=20", "measure.threads=2", "distill.schedule=cosine"),
    ("data.source=folder:photos", "data.size=[32, 32]", "data.mean=[0.5]", "data.std=[0.25]"),
    ("prune.source=teacher", 'quantize.student_features=["a"]', 'quantize.teacher_features=["b"]'),
    ("distill.factory=",),
    ("factorize.prices_ns.numbers=0.25",),
]


def plan_of(target: str, *assignments: str) -> Plan:
    """Return the plan for a target with ``--set`` *assignments*."""
    return make_plan(target, read_recipe(None, assignments))


def refused(target: str, *assignments: str) -> str:
    """Return the one sentence that such a plan ends in."""
    with pytest.raises(ConfigError) as error:
        plan_of(target, *assignments)
    message = str(error.value)
    assert "\n" not in message
    return message


def names_of(plan: Plan) -> list[str]:
    """Return the stages of a plan in order."""
    return [settings.stage.name for settings in plan.stages]


@pytest.mark.parametrize("changes", CHANGES, ids=" ".join)
@pytest.mark.parametrize("target", target_names())
def test_a_printed_plan_fed_back_is_the_same_plan(target: str, changes: tuple[str, ...]) -> None:
    """What ``edgekd plan`` prints is a whole recipe: target, seed and every number, so keys in the store agree."""
    plan = make_plan(target, read_recipe(None, changes), seed=7)
    assert make_plan(None, tomllib.loads(plan_to_toml(plan))) == plan


@given(
    ratio=st.floats(0, 1, exclude_max=True),
    lr=st.floats(0, 1e3, exclude_min=True),
    epochs=st.integers(1, 1000),
    seed=st.integers(0, 1_000_000_000),
)
def test_every_number_survives_being_printed(ratio: float, lr: float, epochs: int, seed: int) -> None:
    """TOML keeps each float to its last bit."""
    recipe = {"prune": {"ratio": ratio, "epochs": epochs}, "distill": {"lr": lr}}
    plan = make_plan("raspberry-pi-4", recipe, seed=seed)
    assert make_plan(None, tomllib.loads(plan_to_toml(plan))) == plan


@pytest.mark.parametrize("name", target_names())
def test_the_targets_numbers_are_the_plans(name: str) -> None:
    """Channel multiple, placement, versions and budgets are those of the target's file."""
    facts, plan = read_toml(target_file(name)), plan_of(name)
    prune, factorize, export = (plan.settings_of(kind) for kind in (Prune, FactorizeLayers, Export))
    assert isinstance(prune, Prune)
    assert isinstance(factorize, FactorizeLayers)
    assert isinstance(export, Export)
    assert prune.multiple == factorize.rank_multiple == facts["channels"]["multiple"]
    assert (export.runtime, export.opset, export.ir_version) == tuple(
        facts["runtime"][fact] for fact in ("name", "opset", "ir_version")
    )
    assert export.precision == facts["precision"]["default"]
    assert plan.budgets == load_target(name).budgets


def test_each_runtime_gets_its_placement() -> None:
    """ONNX Runtime on the Raspberry Pi, TensorRT on the Orin."""
    placements = {}
    for name in ("raspberry-pi-4", "jetson-orin-nano"):
        quantize = plan_of(name).settings_of(Quantize)
        assert isinstance(quantize, Quantize)
        placements[name] = quantize.placement
    assert placements == {"raspberry-pi-4": "onnxruntime-armv8.0", "jetson-orin-nano": "tensorrt"}


def test_a_device_without_int8_gets_no_quantize_stage_and_the_reason() -> None:
    """jetson-nano: FP32 and FP16 files, INT8 left out because of its compute capability."""
    plan = plan_of("jetson-nano")
    export = plan.settings_of(Export)
    assert isinstance(export, Export)
    assert names_of(plan) == [name for name in ALL_STAGES if name != "quantize"]
    assert (export.precision, export.variants, export.opset) == ("fp16", ("fp32", "fp16"), 13)
    assert plan.settings_of(Quantize) is None
    note, _ = plan.notes
    assert "quantize" in note
    assert "5.3" in note


def test_int8_is_refused_where_the_device_has_none() -> None:
    """The reason and the way out are in the sentence."""
    for asked in ("export.precision=int8", 'export.variants=["fp16", "int8"]'):
        message = refused("jetson-nano", asked)
        assert "jetson-nano: INT8 asked, but" in message
        assert 'use precision = "fp16"' in message


def test_stages_that_agree_on_a_number_do_not_depend_on_the_target() -> None:
    """Teaching and distilling are the same for every device, so their results are shared."""
    for kind in (Teach, Distill):
        assert len({str(plan_of(name).settings_of(kind)) for name in target_names()}) == 1


def test_a_stage_with_nothing_to_do_is_left_out_and_said_so() -> None:
    """prune.ratio = 0 removes nothing; without an INT8 file there is nothing to quantize."""
    plan = plan_of("raspberry-pi-4", "prune.ratio=0", "export.precision=fp32")
    assert names_of(plan) == ["teach", "distill", "factorize", "export"]
    assert [note.partition(":")[0] for note in plan.notes] == ["prune", "quantize", "factorize"]


def prices_of(plan: Plan) -> LayerPrices:
    """Return what a layer costs by *plan*."""
    factorize = plan.settings_of(FactorizeLayers)
    assert isinstance(factorize, FactorizeLayers)
    return factorize.prices_ns


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_layers_have_the_prices_of_the_precision_that_ships(precision: PrecisionName) -> None:
    """The recipe may ship another precision than the target's default; the prices follow, and the note names it."""
    plan = plan_of("raspberry-pi-4", f"export.precision={precision}")
    assert prices_of(plan) == layer_prices(load_target("raspberry-pi-4"), precision).prices_ns
    assert f"the prices of `edgekd predict` in {precision} with 4 thread(s)" in plan.notes[-1]


def test_a_device_without_ground_plans_with_the_costs_of_its_file_and_says_so() -> None:
    """The Jetson Nano's GPU: 138 GMAC/s, 0.156 ns for a number written once and read once, 20 us for a layer."""
    plan = plan_of("jetson-nano")
    assert prices_of(plan) == LayerPrices(
        pointwise_products=0.007246, ragged_products=0, vector_products=0.007246, numbers=0.078, layers=20_000
    )
    assert plan.notes[-1].startswith("factorize: decides by the rough prices of the target's [cost], since tensorrt")


def test_a_price_that_the_recipe_gives_changes_that_price_alone_and_is_noted() -> None:
    """The others stay those of the target; the note names the one that is the recipe's."""
    prices, usual = prices_of(plan_of("raspberry-pi-4", "factorize.prices_ns.layers=7")), plan_of("raspberry-pi-4")
    assert prices == msgspec.structs.replace(prices_of(usual), layers=7)
    note = plan_of("raspberry-pi-4", "factorize.prices_ns.layers=7").notes[-1]
    assert note == usual.notes[-1] + "; the recipe changes layers"


def test_a_table_in_a_recipe_changes_what_it_names_alone() -> None:
    """teach.arguments keeps its other arguments when one is set."""
    recipe: dict[str, Any] = {"teach": {"arguments": {"depth": 2}}}
    assign(recipe, "teach.arguments.width=16")
    teach = make_plan("jetson-nano", recipe).settings_of(Teach)
    assert isinstance(teach, Teach)
    assert teach.arguments == {"depth": 2, "width": 16}


def test_assignments_win_over_the_recipe_and_arguments_over_both(tmp_path: Path) -> None:
    """--set over the file, --target and --seed over its header."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text('target = "jetson-nano"\nseed = 3\n[prune]\nratio = 0.1\nepochs = 2\n')
    tables = read_recipe(recipe, ["prune.ratio=0.4"])
    plan = make_plan("raspberry-pi-4", tables, seed=5)
    prune = plan.settings_of(Prune)
    assert isinstance(prune, Prune)
    assert (plan.target, plan.seed, prune.ratio, prune.epochs) == ("raspberry-pi-4", 5, 0.4, 2)
    assert (make_plan(None, tables).target, make_plan(None, tables).seed) == ("jetson-nano", 3)


def test_a_target_may_be_a_path(tmp_path: Path) -> None:
    """A file of one's own is planned for as the bundled ones are."""
    board = tmp_path / "board.toml"
    tables = read_toml(target_file("raspberry-pi-5"))
    tables["channels"]["multiple"] = 4
    board.write_text(tomli_w.dumps(tables))
    plan = plan_of(str(board))
    prune = plan.settings_of(Prune)
    assert isinstance(prune, Prune)
    assert (plan.target, prune.multiple) == (str(board), 4)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("prun.ratio=0.4", ["prun", "did you mean 'prune'?"]),
        ("prune.ration=0.4", ["prune", "ration: unknown field", "did you mean 'ratio'?"]),
        ("prune.ratio=1.5", ["prune", "ratio: 1.5 given", "less than 1"]),
        ("prune.ratio=-0.1", ["ratio: -0.1 given", "at least 0"]),
        ("prune.ratio=nan", ["ratio", "nan given", "finite"]),
        ("prune.ratio=half", ["ratio: 'half' given", "a number"]),
        ("prune.ratio=", ["ratio: '' given"]),
        ("factorize.energy=0", ["energy: 0 given", "more than 0"]),
        ("factorize.prices_ns=3", ["factorize: prices_ns: 3 given", "a table"]),
        ("factorize.prices_ns.layers=-1", ["prices_ns.layers: -1 given", "at least 0"]),
        ("factorize.prices_ns.layer=1", ["prices_ns.layer: unknown field", "did you mean 'layers'?"]),
        ("factorize.gmacs_per_s=9", ["factorize", "gmacs_per_s: unknown field"]),
        ("teach.epochs=0", ["teach.epochs: 0 given", "nothing to learn from"]),
        ("distill.epochs=0", ["epochs: 0 given", "at least 1"]),
        ("distill.alpha=1.5", ["distill: alpha: 1.5 given", "at most 1"]),
        ("distill.alpha=-0.1", ["alpha: -0.1 given", "at least 0"]),
        ("distill.temperature=0", ["temperature: 0 given", "more than 0"]),
        ("prune.temperature=-1", ["prune: temperature: -1 given", "more than 0"]),
        ("distill.feature_weight=1", ["distill", "student_features", "teacher_features"]),
        ('quantize.student_maps=["a"]', ["student_maps names 1 and teacher_maps 0", "in pairs"]),
        ("prune.source=techer", ["prune: source: 'techer' given", "did you mean 'teacher'?"]),
        ("teach.accumulate=3", ["teach", "batch_size = 128", "accumulate = 3"]),
        ("data.source=digit", ["data", "did you mean 'digits'?"]),
        ("data.source=folders:here", ["data", "did you mean 'folder:DIR'?"]),
        ("data.sise=[8, 8]", ["data: sise: unknown field", "did you mean 'size'?"]),
        ("data.classes=3", ["data", "classes", "means nothing for the source 'digits'"]),
        ("distill.factory=resnet9", ["resnet9", "did you mean 'resnet"]),
        ("distill.factory=absent.py:network", ["absent.py", "no such file"]),
        ("teach.weights=absent.pt", ["teach.weights", "absent.pt", "no such file"]),
        ("teach.given=absent.onnx", ["teach.given", "absent.onnx", "no such file"]),
        ("teach.given=5", ["teach.given", "5 given", "ONNX"]),
        ("teach.momentum=0", ["nesterov"]),
        ("teach.schedule=cosin", ["schedule", "did you mean 'cosine'?"]),
        ("measure.runs=5", ["runs: 5 given", "at least 20"]),
        ("budgets.size_kb=-1", ["budgets: size_kb: -1 given"]),
        ("budgets.sise_kb=1", ["sise_kb: unknown field", "did you mean 'size_kb'?"]),
        ("export.precision=fp31", ["export: precision: 'fp31' given", "did you mean 'fp32'?"]),
        ("export.precision=5", ["export: precision: 5 given", "one of 'auto'"]),
        ("export.variants=[]", ["export.variants", 'the shipped precision "fp16"']),
        ("export.opset=14", ["export.opset: 14 given", "jetson-nano", "8.2", "at most 13"]),
        ("export.opset=12", ["opset: 12 given", "at least 13"]),
        ("export.opset=19", ["opset: 19 given", "at most 18"]),
        ("teach.given=nowhere", ["teach.given", "nowhere", "no such file"]),
        ("prune.ratio", ["--set prune.ratio", "stage.field=value"]),
        ("prune=0.4", ["--set prune=0.4", "stage.field=value"]),
        ("prune.=1", ["stage.field=value"]),
        ("=1", ["stage.field=value"]),
        ("teach.epochs.more=1", ["epochs"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(assignment: str, words: list[str]) -> None:
    """Stage, field, what came, and the nearest name or the range: in one sentence."""
    message = refused("jetson-nano", assignment)
    assert all(word in message for word in words), message


def test_a_value_is_no_table() -> None:
    """A field that was set to a number has no fields of its own."""
    assert "epochs is a value, not a table" in refused("jetson-nano", "teach.epochs=1", "teach.epochs.more=1")


def test_the_ir_version_of_the_runtime_is_a_limit(tmp_path: Path) -> None:
    """A runtime that reads IR 8 at most is not given IR 9."""
    tables = read_toml(target_file("raspberry-pi-5"))
    tables["runtime"] |= {"version": "1.10.0", "operator_list": "1.10.0", "max_opset": 15, "max_ir_version": 8}
    board = tmp_path / "board.toml"
    board.write_text(tomli_w.dumps(tables))
    message = refused(str(board), "export.ir_version=9")
    assert "export.ir_version: 9 given" in message
    assert "at most 8" in message


@pytest.mark.parametrize(
    ("target", "recipe", "words"),
    [
        (None, {}, ["no target given", "--target"]),
        ("jetson-nao", {}, ["jetson-nao", "did you mean 'jetson-nano'"]),
        ("missing.toml", {}, ["missing.toml"]),
        (None, {"target": 5}, ["recipe: target: 5 given", "a string"]),
        ("jetson-nano", {"data": {"source": "digit"}}, ["recipe: data", "'digit'", "did you mean 'digits'?"]),
        ("jetson-nano", {"seed": "one"}, ["seed: 'one' given", "an integer"]),
        ("jetson-nano", {"seed": -1}, ["seed: -1 given", "at least 0"]),
    ],
)
def test_a_wrong_header_is_named(target: str | None, recipe: dict[str, Any], words: list[str]) -> None:
    """Target, data and seed are checked as the rest is."""
    with pytest.raises(ConfigError) as error:
        make_plan(target, recipe)
    message = str(error.value)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    """The command line's seed has the recipe's limits."""
    with pytest.raises(ConfigError, match=f"seed: {seed} given"):
        make_plan("jetson-nano", {}, seed=seed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[prun]\nratio = 0.4\n", ["mine.toml: prun: unknown", "did you mean 'prune'?"]),
        ("prune = 0.4\n", ["mine.toml: prune: 0.4 given", "[prune]"]),
        ("[prune\n", ["mine.toml: not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_recipe_file_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    """The file's own name starts the sentence."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_recipe(recipe, [])
    assert all(word in str(error.value) for word in words), error.value


def test_a_missing_recipe_file_is_named(tmp_path: Path) -> None:
    """No file, no plan."""
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_recipe(tmp_path / "absent.toml", [])


def test_a_given_teacher_is_part_of_the_plan_by_its_content(tmp_path: Path) -> None:
    """The digests of both files and of the code behind them are in the plan; other ones are another, and said so."""
    (tmp_path / "net.py").write_text("first = 1")
    (tmp_path / "network.json").write_text(f'{{"factory": "{tmp_path}/net.py:make"}}')
    (tmp_path / "weights.safetensors").write_bytes(b"old")
    assignment = f"teach.given={tmp_path}"
    before = plan_of("jetson-nano", assignment)
    printed = tomllib.loads(plan_to_toml(before))
    assert make_plan(None, printed) == before
    (tmp_path / "weights.safetensors").write_bytes(b"new")
    assert plan_of("jetson-nano", assignment) != before
    with pytest.raises(ConfigError, match="not the teachers"):
        make_plan(None, printed)
    (tmp_path / "weights.safetensors").write_bytes(b"old")
    assert make_plan(None, printed) == before
    (tmp_path / "net.py").write_text("first = 2")
    with pytest.raises(ConfigError, match="not the teachers"):
        make_plan(None, printed)


def test_a_factory_of_one_s_own_counts_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code under the same name is another plan; edgekd's own factories count by edgekd's version."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_of_plan.py").write_text("first = 1")
    assignment = "distill.factory=mine_of_plan:network"
    before = plan_of("jetson-nano", assignment)
    (tmp_path / "mine_of_plan.py").write_text("first = 2")
    assert plan_of("jetson-nano", assignment) != before
    with pytest.raises(ConfigError, match="not the code"):
        make_plan(None, tomllib.loads(plan_to_toml(before)))
    with pytest.raises(ConfigError, match="no module 'absent_of_plan'"):
        plan_of("jetson-nano", "teach.factory=absent_of_plan:network")


@pytest.mark.parametrize("assignment", ["export.runtime=tensorrt", "quantize.placement=tensorrt"])
def test_a_fact_of_the_device_is_no_setting(assignment: str) -> None:
    """A recipe cannot give a device another runtime, and so slip past what that runtime is checked for."""
    with pytest.raises(ConfigError, match="which no recipe can change"):
        plan_of("raspberry-pi-4", assignment)


def test_a_teacher_to_compress_is_student_and_uncompressed_network_as_well(tmp_path: Path) -> None:
    """A network can be cut and learned from; an ONNX file, or the mean of several, can only be learned from."""
    (tmp_path / "teacher.onnx").write_bytes(b"onnx")
    network = plan_of("raspberry-pi-4").settings_of(Teach)
    black_box = plan_of("raspberry-pi-4", f"teach.given={tmp_path / 'teacher.onnx'}").settings_of(Teach)
    assert isinstance(network, Teach)
    assert isinstance(black_box, Teach)
    assert set(network.gives) == {"teacher", "student", "uncompressed"}
    assert black_box.gives == ("teacher",)


@pytest.mark.parametrize(("source", "takes"), [("uncompressed", "uncompressed"), ("teacher", "teacher")])
def test_recovery_learns_from_whom_the_recipe_says(source: str, takes: str) -> None:
    """After a cut the network learns from itself before the cut, or from the teacher."""
    assert Prune(multiple=8).takes == ("student", "uncompressed")
    prune = plan_of("raspberry-pi-4", f"prune.source={source}").settings_of(Prune)
    assert isinstance(prune, Prune)
    assert prune.takes == ("student", takes)


def test_an_onnx_teacher_cannot_ship(tmp_path: Path) -> None:
    """Without a student there is nothing to cut: the sentence says which option names one."""
    (tmp_path / "teacher.onnx").write_bytes(b"onnx")
    assert "--model" in refused("raspberry-pi-4", f"teach.given={tmp_path / 'teacher.onnx'}", "distill.factory=")


def test_a_given_teacher_is_not_trained_and_nothing_is_built_in_its_place(tmp_path: Path) -> None:
    """The plan says 0 epochs and no factory, so that what is printed is what happens; to ask for both is refused."""
    (tmp_path / "teacher.onnx").write_bytes(b"onnx")
    given = f"teach.given={tmp_path / 'teacher.onnx'}"
    teach = plan_of("jetson-nano", given).settings_of(Teach)
    assert isinstance(teach, Teach)
    assert (teach.epochs, teach.factory, len(teach.given_sha256)) == (0, "", 1)
    assert "not both" in refused("jetson-nano", given, "teach.factory=resnet8")


def test_weights_are_taken_as_they_are_and_count_by_their_content(tmp_path: Path) -> None:
    """A network that comes with weights is not trained unless epochs are asked; other weights are another plan."""
    (tmp_path / "weights.pt").write_bytes(b"old")
    assignment = f"teach.weights={tmp_path / 'weights.pt'}"
    before, trained = plan_of("jetson-nano", assignment), plan_of("jetson-nano", assignment, "teach.epochs=2")
    settings = [plan.settings_of(Teach) for plan in (before, trained)]
    assert [teach.epochs for teach in settings if isinstance(teach, Teach)] == [0, 2]
    (tmp_path / "weights.pt").write_bytes(b"new")
    assert plan_of("jetson-nano", assignment) != before
    with pytest.raises(ConfigError, match="not the weights"):
        make_plan(None, tomllib.loads(plan_to_toml(before)))
