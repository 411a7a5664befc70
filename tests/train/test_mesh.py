import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from jaxrec.errors import UserError
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh, shardings


def test_all_visible_devices_are_used_unless_told_otherwise():
    assert len(jax.devices()) == 8
    mesh = make_mesh(DevicesConfig(), "model")
    assert mesh is not None
    assert dict(mesh.shape) == {"data": 1, "model": 8}
    assert dict(make_mesh(DevicesConfig(), "data").shape) == {"data": 8, "model": 1}
    assert dict(make_mesh(DevicesConfig(count=4, model=2), "data").shape) == {"data": 2, "model": 2}
    assert make_mesh(DevicesConfig(count=1), "model") is None


@pytest.mark.parametrize("count", [0, 9, -1])
def test_a_device_count_that_is_not_there_is_refused(count):
    with pytest.raises(UserError, match=rf"devices.count: found {count}, allowed are 1 to 8"):
        make_mesh(DevicesConfig(count=count))


def test_a_model_axis_that_does_not_divide_the_devices_is_refused():
    with pytest.raises(UserError, match=r"devices\.model: found 3"):
        make_mesh(DevicesConfig(count=8, model=3))


def test_rules_place_tables_and_what_follows_them_and_replicate_the_rest():
    mesh = make_mesh(DevicesConfig(), "model")
    tree = {
        "params": {"node_embedding": jnp.zeros((10, 8)), "text": {"kernel": jnp.zeros((4, 8))}},
        "optimizer": ({"node_embedding": jnp.zeros((10, 8))}, jnp.zeros(())),
        "node_embedding_count": jnp.zeros(()),
    }
    placed = shardings(tree, [("node_embedding", PartitionSpec(None, "model"))], mesh)
    assert placed["params"]["node_embedding"].spec == PartitionSpec(None, "model")
    assert placed["optimizer"][0]["node_embedding"].spec == PartitionSpec(None, "model")
    assert placed["params"]["text"]["kernel"].spec == PartitionSpec()
    assert placed["node_embedding_count"].spec == PartitionSpec()
