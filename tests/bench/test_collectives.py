"""Messages of devices, read from the text of compiled programs."""

import pytest

from jaxrec.bench.collectives import collective_bytes, read_collective
from jaxrec.bench.scaling.messages import messages, payload_bytes

PROGRAM = """\
%layer (p: (f32[4], s32[])) -> (f32[4], s32[]) {
  %all-reduce.1 = f32[2,3]{1,0} all-reduce(%x), replica_groups=[4,2]<=[8], to_apply=%add
}
%steps (p: (f32[4], s32[])) -> (f32[4], s32[]) {
  %while.1 = (f32[4]{0}, s32[]) while(%t), condition=%c, body=%layer, backend_config={"known_trip_count":{"n":"5"}}
  %all-gather.1 = bf16[8,16]{1,0} all-gather(%x), replica_groups={{0,1,2,3}}, dimensions={0}
  %alone = f32[1000]{0} all-reduce(%x), replica_groups={{0},{1},{2},{3}}, to_apply=%add
}
ENTRY %main (p: f32[4]) -> f32[4] {
  %while.2 = (f32[4]{0}, s32[]) while(%t), condition=%c, body=%steps
  %many = (f32[2]{0}, f32[2]{0}, f32[2]{0}, f32[2]{0}, f32[2]{0}, /*index=5*/pred[3]{0}) all-reduce(%a, %b, %c, %d, \
%e, /*index=5*/%f), replica_groups=mesh['x'=4,'y'=2] {'x'}, to_apply=%add
}
"""


def test_loops_count_their_turns_and_long_tuples_are_read():
    found = {
        (one.collective.kind, one.collective.payload, one.collective.group, one.times) for one in messages(PROGRAM)
    }
    assert found == {("all-reduce", 24, 2, 5), ("all-gather", 256, 4, 1), ("all-reduce", 43, 4, 1)}
    assert payload_bytes(PROGRAM) == 5 * 24 + 256 + 43
    assert collective_bytes(PROGRAM) == {"all-reduce": 24 + 43, "all-gather": 256}


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("{{0,4},{1,5}}", 2),
        ("[2,4]<=[8]", 4),
        ("[4,2]<=[2,4]T(1,0)", 2),
        ("mesh['x'=4,'y'=2] {'x','y'}", 8),
        ("mesh['x'=2,'y'=1,'z'=4], device_ids=([4,2]T(1,0)) {'x','y'}", 2),
        ("mesh['x'=8] {'x':(2)4}", 4),
        ("{}", None),
    ],
)
def test_how_many_devices_talk(groups, size):
    found = read_collective(f"  %a = f32[2]{{0}} all-reduce(%x), replica_groups={groups}, use_global_device_ids=true")
    assert found is not None
    assert (found.payload, found.group) == (8, size)
