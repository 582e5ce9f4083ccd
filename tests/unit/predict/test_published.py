"""The published tables: whole, sourced, and read into layers."""

from importlib import util
from pathlib import Path

import msgspec
import pytest

from edgekd.predict.fitted import FILE, fitted
from edgekd.predict.ground import families
from edgekd.predict.kinds import common_kinds, covered_kind
from edgekd.predict.layers import Layer
from edgekd.predict.published import FOLDER, family, groups, networks


def test_every_point_has_a_network_with_layers_a_source_and_a_date() -> None:
    """Nothing is there that could not be looked up."""
    for group in groups():
        assert group.source
        assert len(group.date) == len("2023-01-01")
        assert group.points
        for point in group.points:
            assert point.network in networks()
            assert point.published_ms > 0
            assert point.line > 0


def test_arithmetic_is_that_of_the_published_networks() -> None:
    """MobileNet at 224 has 569 million multiply-accumulates, VGG-16 15.5 billion: what their papers say."""
    assert sum(layer.macs for layer in networks()["mobilenet"]) == pytest.approx(569e6, rel=0.01)
    assert sum(layer.macs for layer in networks()["vgg16"]) == pytest.approx(15.5e9, rel=0.01)


def test_attention_is_four_projections_and_two_products() -> None:
    """145 tokens of 768: 4 * 145 * 768^2 and 2 * 145^2 * 768 products in each of twelve layers."""
    attention = [layer for layer in networks()["vision_transformer"] if layer.operator == "attention"]
    products = [layer.macs for layer in attention if layer.kind == "product"]
    projections = [layer.macs for layer in attention if layer.kind == "linear"]
    assert products == [145**2 * 768] * 24
    assert projections == [145 * 768**2] * 48


def test_an_integer_form_belongs_to_its_network() -> None:
    """Both are left out together."""
    assert family("resnet18_int8") == family("resnet18") == "resnet18"


def test_a_matrix_times_many_rows_is_another_kind() -> None:
    """Only what at least three networks have is common."""
    row = Layer(name="l", operator="Gemm", kind="linear", in_channels=4, out_channels=4, read=4, written=4)
    rows = Layer(
        name="l", operator="Gemm", kind="linear", in_channels=4, out_channels=4, out_size=(5, 1), read=20, written=20
    )
    assert covered_kind(row) != covered_kind(rows)
    assert common_kinds([[row, rows], [row], [row, row]]) == (covered_kind(row),)


def test_every_family_of_cores_has_points() -> None:
    """A family that nobody measured would promise ground that is not there."""
    measured = {families().get(group.core.lower()) for group in groups()}
    assert set(families().values()) <= measured


def test_tables_stay_small() -> None:
    """They are in every wheel: less than a megabyte in all."""
    assert sum(path.stat().st_size for path in Path(FOLDER).iterdir()) < 1_000_000


def test_the_fit_prices_every_group() -> None:
    """No group of the table is left out of both fits, and widths grow with distance."""
    prices = [number for part in fitted().parts.values() for number in part.prices]
    assert sorted(prices) == list(range(len(groups())))
    for part in fitted().parts.values():
        assert part.widths["board"] < part.widths["core"] < part.widths["family"]


@pytest.mark.slow
def test_the_shipped_fit_is_that_of_the_shipped_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting again gives the same numbers, but for rounding."""
    spec = util.spec_from_file_location("fit_latency", Path(__file__).parents[3] / "tools" / "fit_latency.py")
    assert spec is not None
    assert spec.loader is not None
    script = util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "FILE", tmp_path / FILE.name)
    script.main()
    again = msgspec.json.decode((tmp_path / FILE.name).read_bytes(), type=type(fitted()))
    for name, part in fitted().parts.items():
        assert again.parts[name].widths == pytest.approx(part.widths, rel=1e-3)
        for number, row in part.prices.items():
            assert again.parts[name].prices[number] == pytest.approx(row, abs=1e-2)
