"""What a student is taught with: wrong settings are refused by name, and the taps follow the weights."""

import pytest

from edgekd.core.errors import ConfigError
from edgekd.core.strict import convert
from edgekd.distill.guidance import Guidance
from edgekd.stages.settings import Distill, Recovery, Settings

FEATURES = {"student_features": ["a"], "teacher_features": ["b"]}
MAPS = {"student_maps": ["m"], "teacher_maps": ["n"]}


def guidance(**fields: object) -> Guidance:
    """Return the guidance of a recipe's *fields*."""
    return convert({"epochs": 1, "lr": 0.1} | fields, Guidance, where="recipe")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"alpha": 1.01}, "alpha"),
        ({"alpha": -0.01}, "alpha"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"maps_weigth": 1.0}, "maps_weight"),
        ({"student_features": ["a"]}, "student_features names 1 and teacher_features 0 modules"),
        ({"teacher_maps": ["a", "b"]}, "student_maps names 0 and teacher_maps 2 modules"),
        ({"feature_weight": 1.0}, "name them in student_features and teacher_features"),
        ({"attention_weight": 1.0} | MAPS, "name them in student_features and teacher_features"),
        ({"maps_weight": 1.0} | FEATURES, "name them in student_maps and teacher_maps"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields: dict[str, object], words: str) -> None:
    """One sentence with the field: out of range, misspelt, without a partner, or a weight on nothing."""
    with pytest.raises(ConfigError, match=words) as error:
        guidance(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fields", [{"alpha": 0.0}, {"alpha": 1.0}, {"temperature": 0.01}, FEATURES, MAPS])
def test_the_bounds_themselves_are_allowed(fields: dict[str, object]) -> None:
    """Labels alone, the teacher alone, and paths that wait for their weight."""
    assert isinstance(guidance(**fields), Guidance)


def test_paths_without_a_weight_are_not_tapped() -> None:
    """The term is left out whole."""
    asked = guidance(**FEATURES, **MAPS)

    assert (asked.uses_taps, asked.student_taps, asked.teacher_taps) == (False, (), ())


@pytest.mark.parametrize(
    ("weights", "student", "teacher"),
    [
        ({"feature_weight": 1.0}, ("a",), ("b",)),
        ({"attention_weight": 1.0}, ("a",), ("b",)),
        ({"feature_weight": 1.0, "attention_weight": 1.0}, ("a",), ("b",)),
        ({"maps_weight": 1.0}, ("m",), ("n",)),
        ({"feature_weight": 1.0, "maps_weight": 1.0}, ("a", "m"), ("b", "n")),
    ],
)
def test_what_has_a_weight_is_tapped_features_first(
    weights: dict[str, float], student: tuple[str, ...], teacher: tuple[str, ...]
) -> None:
    """Hints and attention transfer share their modules; maps come after them."""
    asked = guidance(**weights, **FEATURES, **MAPS)

    assert (asked.uses_taps, asked.student_taps, asked.teacher_taps) == (True, student, teacher)


@pytest.mark.parametrize("mixing", [{"mixup": 0.2}, {"cutmix": 1.0}])
@pytest.mark.parametrize("kind", [Distill, Recovery])
def test_dkd_wants_one_label_for_each_sample(mixing: dict[str, float], kind: type[Settings]) -> None:
    """With mixed samples the label that it takes apart is not there: refused when the recipe is read."""
    with pytest.raises(ConfigError, match="dkd_weight above 0 needs one label"):
        convert({"dkd_weight": 1.0, "epochs": 1, "lr": 0.1} | mixing, kind, where="recipe")


def test_the_defaults_are_hintons() -> None:
    """Distillation at T = 4 with nine parts teacher and one part labels; recovery at T = 2; nothing is tapped."""
    distill = Distill()
    recovery = Recovery(epochs=1, lr=0.1)

    assert (distill.temperature, distill.alpha, distill.kl_weight, distill.standardize) == (4.0, 0.9, 1.0, False)
    assert (recovery.temperature, recovery.source) == (2.0, "uncompressed")
    assert not any(taught.uses_taps or taught.dkd_weight or taught.dist_weight for taught in (distill, recovery))
