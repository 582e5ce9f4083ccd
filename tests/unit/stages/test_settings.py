"""What stages can be told, and how they are wired."""

from collections.abc import Mapping

import msgspec
import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.stages.settings import STAGE_SETTINGS, Export, FactorizeLayers, Measure, Quantize, Settings, Teach
from edgekd.targets import load_target, target_names

RESOLVED: Mapping[type[Settings], dict[str, object]] = {
    Export: {"precision": "fp32", "variants": ["fp32"]},
    FactorizeLayers: {
        "prices_ns": dict.fromkeys(
            ("pointwise_products", "ragged_products", "vector_products", "numbers", "layers"), 1.0
        )
    },
}
"""Fields that the plan resolves, which knows the precision that ships."""


def test_the_stages_are_in_the_order_of_the_flow() -> None:
    """Teach first, measure last; each takes what those before it give."""
    assert list(STAGE_SETTINGS) == ["teach", "distill", "prune", "factorize", "quantize", "export", "measure"]
    given: set[str] = set()
    for settings in STAGE_SETTINGS.values():
        assert set(settings.stage.takes) <= given
        given.update(settings.stage.gives)


@pytest.mark.parametrize("name", target_names())
@pytest.mark.parametrize("kind", STAGE_SETTINGS.values(), ids=STAGE_SETTINGS)
def test_a_target_decides_known_fields_with_valid_values(kind: type[Settings], name: str) -> None:
    """What ``for_target`` gives is accepted by the settings themselves, for every target."""
    given = kind.for_target(load_target(name))
    settings = convert(given | RESOLVED.get(kind, {}), kind, where=name)
    assert {field: getattr(settings, field) for field in given} == given


def test_a_target_without_int8_decides_no_placement() -> None:
    """There is nothing to place."""
    assert Quantize.for_target(load_target("jetson-nano")) == {}


def test_export_takes_the_quantized_network_only_for_an_int8_file() -> None:
    """A float bundle does not wait for quantization."""

    def export(*variants: str) -> Export:
        given = {
            "precision": "fp32",
            "variants": variants,
            "runtime": "tensorrt",
            "operator_list": "8.2",
            "opset": 13,
            "ir_version": 7,
        }
        return convert(given, Export, where="test")

    assert export("fp32", "fp16").takes == ("student",)
    assert export("fp32", "int8").takes == ("student", "quantized")


def test_settings_cannot_be_changed() -> None:
    """They are part of a result's name."""
    with pytest.raises(AttributeError):
        Measure().runs = 5  # type: ignore[misc]


def test_defaults_are_not_shared() -> None:
    """Two settings have equal arguments, each its own."""
    assert Teach().arguments == Teach().arguments
    assert Teach().arguments is not Teach().arguments


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("prune", "ratio", 1.0),
        ("prune", "multiple", 0),
        ("prune", "criterion", "l3"),
        ("factorize", "energy", 1.01),
        ("factorize", "prices_ns", 0.5),
        ("distill", "alpha", -0.1),
        ("distill", "temperature", 0),
        ("quantize", "calibration_samples", 0),
        ("quantize", "placement", "qnm"),
        ("measure", "threads", 0),
    ],
)
def test_values_out_of_range_are_refused_by_name(kind: str, field: str, value: object) -> None:
    """The field and what came are in the message."""
    settings = STAGE_SETTINGS[kind]
    given = settings.for_target(load_target("raspberry-pi-4")) | RESOLVED.get(settings, {}) | {field: value}
    with pytest.raises(ConfigError) as error:
        convert(given, settings, where="recipe")
    assert f"{field}: {msgspec.json.encode(value).decode()}".replace('"', "'") in str(error.value)
