import pytest
from networks import architecture
from pydantic import ValidationError


def test_frozen_and_hashable_as_json():
    shape = architecture()
    with pytest.raises(ValidationError, match="frozen"):
        shape.r_max = 5.0
    assert type(shape).model_validate_json(shape.model_dump_json()) == shape


def test_last_layer_keeps_scalars():
    shape = architecture(num_layers=3)
    assert [shape.orders_after(n) for n in range(3)] == [(0, 1), (0, 1), (0,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": (8, 1)}, "rising order"),
        ({"elements": ()}, "at least 1"),
        ({"elements": (1, 119)}, "118"),
        ({"hidden_irreps": "4x0e+4x1e"}, "1e cannot be made"),
        ({"hidden_irreps": "4x0e+4x3o"}, "orders up to 2"),
        ({"max_ell": 0}, "reach order 0 only"),
        ({"max_ell": 1, "hidden_irreps": "4x0e+4x2e", "correlation": 1}, "reach order 1 only"),
        ({"max_ell": 4}, "less than or equal to 3"),
        ({"correlation": 4}, "less than or equal to 3"),
        ({"correlation": (3, 2, 1)}, "one for each of the 2 layers"),
        ({"r_max": -1.0}, "greater than 0"),
        ({"avg_num_neighbors": 0}, "greater than 0"),
        ({"interaction": "attention"}, "density_residual"),
        ({"cutof": 5.0}, "cutof"),
    ],
)
def test_shapes_that_cannot_be_had(changes, message):
    with pytest.raises(ValidationError, match=message):
        architecture(**changes)
