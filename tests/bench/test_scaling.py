"""The formulas of docs/scaling.md are what compiled programs say, on one, two, four and eight devices."""

import argparse
import dataclasses
import pathlib

import jax
import pytest

from jaxrec.bench.commands import scaling_command
from jaxrec.bench.scaling import costs
from jaxrec.bench.scaling.decoder_programs import RankingSizes, TuningSizes, compiled_ranking, compiled_tuning, placed
from jaxrec.bench.scaling.families import told as told_by_row
from jaxrec.bench.scaling.messages import payload_bytes
from jaxrec.bench.scaling.parameters import count, held
from jaxrec.bench.scaling.programs import Sizes, abstract_training, compiled_step, device_bytes
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import param_shapes
from jaxrec.llm.lora import LoRAConfig, init_adapters
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.comirec import ComiRecConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.models.mcln import MCLNConfig
from jaxrec.models.mcln_config import MCLNItemsConfig
from jaxrec.models.polycf import PolyCFConfig
from jaxrec.models.sasrec import SASRecConfig
from jaxrec.models.uim import UiMConfig
from jaxrec.models.vbpr import VBPRConfig
from jaxrec.models.weightedgcl import WeightedGCLConfig
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh

# The shape of a program is what is asked for, not its speed.
QUICKLY = {"xla_backend_optimization_level": 0}
DIM = 32
SIZES = Sizes(users=3000, items=1700, edges=9000, batch_size=200)
STREAM = Sizes(users=3000, items=1700, edges=9000, batch_size=16, targets=40)
PAIRS = {"bprmf": BPRMFConfig(dim=DIM), "lightgcn": LightGCNConfig(dim=DIM)}
LMMREC = LMMRecConfig(base=LightGCNConfig(dim=DIM), num_prototypes=12)
SASREC = SASRecConfig(dim=DIM, hidden_dim=56, max_length=10, num_layers=1)
# More items than a batch reads, a number that the devices do not divide.
MANY = dataclasses.replace(SIZES, items=5001)
BACKBONE = MCLNItemsConfig(dim=DIM, num_layers=2, num_blocks=1)
BY_ROW = {
    "mcln": MCLNConfig(dim=DIM, num_layers=2, num_blocks=1),
    "uim_fusion": UiMConfig(dim=DIM, max_length=10, backbone="fusion"),
    "uim": UiMConfig(dim=DIM, max_length=10, mcln=BACKBONE),
    "uim_two_blocks": UiMConfig(dim=DIM, max_length=10, mcln=dataclasses.replace(BACKBONE, num_blocks=2)),
    "m3bsr": M3BSRConfig(dim=DIM, id_dim=8, max_length=10, num_layers=1, num_heads=2),
    "comirec": ComiRecConfig(dim=DIM, max_length=10, loss=ItemLossConfig("sampled_softmax", num_negatives=64)),
    "comirec_softmax": ComiRecConfig(dim=DIM, max_length=10, loss=ItemLossConfig("softmax")),
    "vbpr": VBPRConfig(dim=DIM),
    "weightedgcl": WeightedGCLConfig(dim=DIM),
    "polycf": PolyCFConfig(dim=DIM),
}
QUICK = ("mcln", "uim_fusion")
DECODER = DecoderConfig(208, 48, 80, 3, 8, 8, 12, 512)
LORA = LoRAConfig(rank=4)
COUNTS = (1, 2, 4, 8)


def compiled(config, sizes, devices):
    return compiled_step(config, sizes, make_mesh(DevicesConfig(count=devices), config.mesh_axis), QUICKLY)


def mesh_of(data, model):
    return make_mesh(DevicesConfig(count=data * model, model=model))


@pytest.mark.parametrize("devices", [1, 8, *(pytest.param(number, marks=pytest.mark.slow) for number in (2, 4))])
@pytest.mark.parametrize("name", PAIRS)
def test_models_by_feature_say_a_number_a_pair_and_hold_their_share(name, devices):
    program = compiled(PAIRS[name], SIZES, devices)
    told = costs.pair_messages(SIZES.batch_size, devices)
    assert payload_bytes(program.as_text()) == sum(told.values())
    table = costs.table_bytes(SIZES.users + SIZES.items, DIM, devices)
    trained = costs.trained_bytes(table)
    # The batch of three ids and a mask, the step and the count of Adam.
    batch = SIZES.batch_size * (3 * costs.WORD + 1) + 2 * costs.WORD
    held = trained["parameters"] + trained["moments"] + batch
    if name == "lightgcn":
        held += costs.graph_bytes(SIZES.users, SIZES.items, SIZES.edges)
    assert program.memory_analysis().argument_size_in_bytes == held


@pytest.mark.parametrize("devices", [pytest.param(number, marks=pytest.mark.slow) for number in (1, 2, 4)] + [8])
def test_lmmrec_says_rows_of_its_batch(devices):
    program = compiled(LMMREC, SIZES, devices)
    state, _, _ = abstract_training(LMMREC, SIZES, None)
    told = costs.lmmrec_messages(
        SIZES.batch_size, DIM, LMMREC.base.num_layers, 12, count(state.params["text_tower"]), devices
    )
    assert payload_bytes(program.as_text()) == sum(told.values())


@pytest.mark.parametrize("devices", [pytest.param(number, marks=pytest.mark.slow) for number in (1, 2, 4)] + [8])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BY_ROW]
)
def test_models_that_share_a_batch_by_row_say_what_their_formulas_say(name, devices):
    program = compiled(BY_ROW[name], MANY, devices)
    told = told_by_row(BY_ROW[name], MANY, devices)
    assert payload_bytes(program.as_text()) == sum(told.values())


def test_parameters_on_a_device_are_those_of_the_rules():
    for name, config in (PAIRS | BY_ROW).items():
        mesh = make_mesh(DevicesConfig(count=8), config.mesh_axis)
        assert device_bytes(abstract_training(config, MANY, mesh)[0].params) == 4 * held(config, MANY, 8).total, name


@pytest.mark.slow
@pytest.mark.parametrize("devices", COUNTS)
def test_sasrec_says_rows_of_its_batch_and_its_encoder(devices):
    program = compiled(SASREC, STREAM, devices)
    state, batch, _ = abstract_training(SASREC, STREAM, None)
    inputs = batch["tokens"].shape[1]
    told = costs.sasrec_messages(16, inputs, 40, DIM, count(state.params["encoder"]), devices)
    assert payload_bytes(program.as_text()) == sum(told.values())


@pytest.mark.parametrize(
    ("data", "model", "remat"),
    [
        (4, 2, False),
        *(
            pytest.param(*shape, marks=pytest.mark.slow)
            for shape in ((1, 1, False), (1, 8, False), (8, 1, False), (2, 4, False), (1, 2, False), (4, 2, True))
        ),
    ],
)
def test_tuning_says_two_sums_a_layer_forward_and_five_backward(data, model, remat):
    program = compiled_tuning(DECODER, LORA, TuningSizes(2, 8, 20, 6), mesh_of(data, model), remat, QUICKLY)
    told = costs.tuning_messages(DECODER, LORA, 2, 8, 20, 6, data, model, remat)
    assert payload_bytes(program.as_text()) == sum(told.values())


@pytest.mark.parametrize(
    ("data", "model"),
    [(4, 2), *(pytest.param(*shape, marks=pytest.mark.slow) for shape in ((1, 1), (1, 8), (8, 1), (2, 4), (1, 2)))],
)
def test_ranking_says_two_sums_a_layer(data, model):
    program = compiled_ranking(DECODER, RankingSizes(8, 84, 16, 16), mesh_of(data, model), QUICKLY)
    told = sum(costs.ranking_messages(DECODER, 8, 84, 16, data, model).values())
    # What is picked at the end is left to the compiler: numbers of the candidates, not states.
    assert told <= payload_bytes(program.as_text()) <= 1.05 * told + 4 * 8 * 16 * 8


def test_a_device_holds_less_of_a_table_by_how_many_there_are():
    for config in (*PAIRS.values(), SASREC):
        found = []
        for devices in COUNTS:
            mesh = make_mesh(DevicesConfig(count=devices), config.mesh_axis)
            found.append(device_bytes(abstract_training(config, STREAM, mesh)[0].params))
        tables = (1700 if config is SASREC else 4700) * DIM * costs.WORD
        rest = found[0] - tables
        for devices, share in zip(COUNTS, found, strict=True):
            rows = costs.table_bytes(-(-1700 // devices) * devices, DIM, devices)
            assert share == (rows if config is SASREC else tables // devices) + rest


def test_the_page_holds_the_tables_of_the_command(capsys):
    assert scaling_command.execute(argparse.Namespace()) == 0
    said = capsys.readouterr().out
    assert said in (pathlib.Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text()
    assert "| 10^10 | 8 | 201 GB |" in said


@pytest.mark.parametrize(
    ("users", "items", "edges"), [(10**6, 10**5, 10**7), pytest.param(10**6, 10**5, 4 * 10**7, marks=pytest.mark.slow)]
)
def test_temporary_memory_of_lightgcn_is_below_its_formula(users, items, edges):
    sizes = Sizes(users, items, edges, batch_size=2048)
    program = compiled(LightGCNConfig(dim=64), sizes, 8)
    bound = costs.lightgcn_temporary(users, items, 64, edges, 8)
    assert 0.7 * bound <= program.memory_analysis().temp_size_in_bytes <= bound


def test_shares_of_the_decoder_and_its_adapters():
    adapters = jax.eval_shape(lambda: init_adapters(LORA, DECODER, jax.random.key(0)))
    for data, model in ((4, 2), (1, 8)):
        mesh = mesh_of(data, model)
        assert mesh is not None
        assert device_bytes(placed(param_shapes(DECODER), DECODER, mesh)) == costs.decoder_bytes(DECODER, model)
        assert device_bytes(placed(adapters, DECODER, mesh)) == costs.adapter_bytes(DECODER, LORA, model)


def test_what_rings_send():
    assert costs.wire_bytes("all-reduce", 80, 8) == 140
    assert costs.wire_bytes("all-gather", 80, 8) == 70
    assert costs.wire_bytes("reduce-scatter", 10, 8) == 70
