"""The other direction: the smallest pool and the best split, each checked against one step less."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from vllm_scenarios import vllm_scenarios

from kvtui.engine.options import scenario_from
from kvtui.engine.scenario import NODE_DEVICES, valid_tps
from kvtui.engine.serving.serve import serve
from kvtui.engine.serving.solve import best_tp, context_limit, holds, least_pool, longest


@given(vllm_scenarios())
@settings(max_examples=20)
def test_the_least_pool_is_enough_and_one_byte_less_is_not(scenario):
    pool = least_pool(scenario)
    if pool is None:
        assert (scenario.serving.max_seqs or 256) < scenario.batch
        return
    enough, short = (replace(scenario, kv_pool=max(1, size)) for size in (pool, pool - 1))
    assert holds(enough, serve(enough))
    assert pool == 1 or not holds(short, serve(short))


def test_the_least_pool_of_a_batch():
    scenario = scenario_from({"engine": "vllm@0.20", "context": "8192", "batch": "5", "kv_pool": "1GiB"})
    assert least_pool(scenario) == 5 * 8192 * 131_072
    assert least_pool(replace(scenario, batch=300, serving=scenario.serving._replace(max_seqs=256))) is None


@given(st.integers(0, 2**40 - 1))
def test_the_longest_is_where_the_predicate_turns(limit):
    assert longest(lambda tokens: tokens <= limit, 8192) == limit


def test_limits_in_words():
    scenario = scenario_from({"engine": "vllm"})
    assert longest(lambda tokens: True, 1) is None
    assert context_limit(scenario, None, "kv pool") == "model's maximum context"
    assert context_limit(scenario, 1000, "kv pool") == "kv pool"


def test_the_best_split_of_a_large_model():
    """70B in bf16 does not fit fewer than four H100 with 128K tokens; eight serve more sequences per device."""
    scenario = scenario_from({"engine": "vllm", "model": "Llama-3.1-70B", "context": "128K"})
    assert best_tp(scenario) == 8
    fitting = []
    for tp in valid_tps(scenario.model):
        trial = replace(scenario, layout=scenario.layout._replace(tp=tp))
        if tp <= NODE_DEVICES and holds(trial, serve(trial)):
            fitting.append(tp)
    assert fitting == [4, 8]
    assert best_tp(replace(scenario, context=2**30)) is None
