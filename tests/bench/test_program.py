"""What is read from a compiled program, against programs whose kernels and bytes are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.program import compile_timed, kernel_count

TEXT = """HloModule jit_step, is_scheduled=true

%inside_fusion (p.1: f32[8], p.2: f32[8]) -> f32[8] {
  %p.1 = f32[8]{0} parameter(0)
  %p.2 = f32[8]{0} parameter(1)
  %multiply = f32[8]{0} multiply(%p.1, %p.2)
  ROOT %add = f32[8]{0} add(%multiply, %p.2)
}

%largest (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %maximum = f32[] maximum(%a, %b)
}

%body (carry: (s32[], f32[8])) -> (s32[], f32[8]) {
  %carry = (s32[], f32[8]{0}) parameter(0)
  %turn = s32[] get-tuple-element(%carry), index=0
  %x = f32[8]{0} get-tuple-element(%carry), index=1
  %fusion.1 = f32[8]{0} fusion(%x, %x), kind=kLoop, calls=%inside_fusion
  %sparse = (f32[8]{0}, s8[0]{0}) custom-call(%fusion.1), custom_call_target="csr"
  ROOT %tuple.1 = (s32[], f32[8]{0}) tuple(%turn, %fusion.1)
}

%condition (carry.1: (s32[], f32[8])) -> pred[] {
  %carry.1 = (s32[], f32[8]{0}) parameter(0)
  %turn.1 = s32[] get-tuple-element(%carry.1), index=0
  %limit = s32[] constant(4)
  ROOT %less = pred[] compare(%turn.1, %limit), direction=LT
}

%parallel (q: f32[8]) -> f32[] {
  %q = f32[8]{0} parameter(0)
  %low = f32[] constant(-inf)
  ROOT %reduce = f32[] reduce(%q, %low), dimensions={0}, to_apply=%largest
}

ENTRY %main (start: f32[8]) -> f32[] {
  %start = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %tuple.2 = (s32[], f32[8]{0}) tuple(%zero, %start)
  %while.1 = (s32[], f32[8]{0}) while(%tuple.2), condition=%condition, body=%body
  %last = f32[8]{0} get-tuple-element(%while.1), index=1
  ROOT %call.1 = f32[] call(%last), to_apply=%parallel
}
"""


def test_kernels_of_loops_and_calls_count_and_those_inside_fusions_do_not():
    assert kernel_count(TEXT) == 4  # fusion, custom-call, compare and reduce


def test_a_program_tells_its_bytes_and_operations():
    x, y = np.ones((32, 16), np.float32), np.ones((16, 8), np.float32)
    compiled, found = compile_timed(jax.jit(jnp.matmul), x, y)
    np.testing.assert_allclose(compiled(x, y), 16.0)
    assert found["argument_bytes"] == 4 * (32 * 16 + 16 * 8)
    assert found["counted_operations"] == 2 * 32 * 16 * 8
    assert found["collective_bytes"] == 0
    assert 1 <= found["kernels"] <= 4
    assert found["compile_seconds"] > 0
