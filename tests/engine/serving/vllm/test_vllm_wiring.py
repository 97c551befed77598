"""The engine through everything around it: options, defaults, plan, capacity, notices, explanations, reports."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cli import main
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.known import Engine, EngineDefaults, parse_engine
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.stages import partition, stages
from kvtui.engine.saying.explain import explain
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import typed_fields
from kvtui.engine.scenario.values import command_line, engine_defaults, scenario_from, to_values
from kvtui.engine.serving.vllm.releases import SPAN
from kvtui.report import compare, render
from kvtui.report.document import document
from tests.engine.serving.vllm.vllm_scenarios import vllm_scenarios
from tests.paths import ROOT
from tests.present import present

L2: dict[str, str | bool] = {
    "engine": "vllm@0.22",
    "model": "Qwen3.6-27B",
    "tp": "2",
    "kv_dtype": "fp8",
    "speculative_tokens": "3",
    "prefix_caching": True,
    "kv_pool": "5.33GiB",
    "context": "262144",
}


def test_the_command_line_gives_the_logged_figures(capsys: pytest.CaptureFixture[str]) -> None:
    line = "--report json --engine vllm@0.22 --model Qwen3.6-27B --tp 2 --kv-dtype fp8 --kv-pool 5.33GiB --max-seqs 4"
    assert main([*line.split(), "--context", "262144", "--speculative-tokens", "3", "--prefix-caching"]) == 0
    engine = json.loads(capsys.readouterr().out)["engine"]
    expected = {
        "name": "vllm",
        "version": "0.22",
        "block_size_tokens": 1600,
        "groups": 4,
        "blocks": 205,
        "blocks_per_request": 179,
        "bytes_per_block": 27_852_800,
        "kv_cache_tokens": 300_220,
        "max_concurrency": round(205 / 179, 6),
        "needed_bytes": 179 * 27_852_800,
        "pool_is_estimate": False,
        "state_slots": 205,
        "padding_layers": 3,
    }
    assert {key: engine[key] for key in expected} == expected
    assert main([*line.split(), "--context", "262144", "--check"]) == 0
    assert main([*line.replace("5.33", "1").split(), "--context", "262144", "--check"]) == 4


@given(vllm_scenarios())
def test_the_command_line_reproduces_the_scenario(scenario: Scenario) -> None:
    same = scenario_from(to_values(scenario))._replace(model_ref="") == scenario
    assert same, command_line(scenario)
    assert "--engine vllm" in command_line(scenario)


@given(vllm_scenarios(), st.booleans())
def test_plan_and_capacity_follow_the_engine(scenario: Scenario, several: bool) -> None:
    """On a device with room for the pool; what one without it says is told in the tests of pools."""
    roomy = scenario.device._replace(usable_bytes=2**50, allocatable_bytes=2**50)
    scenario = scenario._replace(batch=3 if several else 1, device=roomy)
    found = plan(scenario)
    served = present(found.serving)
    assert found.fits == (served.starts and served.max_sequences >= scenario.batch)
    limits = capacity(found)
    assert (limits.context, limits.sequences) == (served.max_context, served.max_sequences)
    assert found.devices_needed == (scenario.layout.devices if found.fits else None)
    critical = [notice for notice in notices(found) if notice.id == "over_capacity"]
    assert bool(critical) == (not found.fits)


@pytest.mark.parametrize(
    ("gpu", "version", "batched", "share"),
    [
        ("RTX 4090", "0.19.1", 2048, 0.9),
        ("A100 80GB SXM", "0.19", 2048, 0.9),
        ("H100 SXM", "0.19.1", 8192, 0.9),
        ("H100 SXM", "0.20.0", 8192, 0.92),
        ("B200", "0.27", 8192, 0.92),
        ("B200", "", 16_384, 0.92),
    ],
)
def test_defaults_by_device_and_release(gpu: str, version: str, batched: int, share: float) -> None:
    scenario = scenario_from({"engine": f"vllm@{version}".rstrip("@"), "gpu": gpu})
    assert (scenario.max_batched_tokens, scenario.memory_utilization, scenario.block_size) == (batched, share, 16)
    assert scenario_from({"gpu": gpu}).memory_utilization == 1.0


@pytest.mark.parametrize(
    ("model", "gpu", "version", "kv", "block"),
    [
        ("DeepSeek-V3", "H200", "0.17.1", "bf16", 64),
        ("DeepSeek-V3", "H200", "0.18.0", "bf16", 16),
        ("DeepSeek-V3", "H200", "", "float16", 16),
        ("DeepSeek-V3", "H200", "", "fp8", 64),
        ("DeepSeek-V3", "B200", "0.14.1", "bf16", 128),
        ("DeepSeek-V3", "B200", "0.17.1", "fp8", 64),
        ("DeepSeek-V3", "B200", "", "bf16", 32),
        ("DeepSeek-V3", "A100 80GB SXM", "", "bf16", 16),
        ("DeepSeek-V3", "RTX 5090", "", "fp8", 16),
        ("DeepSeek-V3", "MI300X", "", "bf16", 16),
        ("DeepSeek-V3.2", "H200", "", "bf16", 64),
        ("DeepSeek-V3.2", "B200", "", "fp8", 64),
        ("DeepSeek-V4-Flash", "H200", "", "fp8", 256),
        ("Llama-3.1-8B", "CPU", "", "bf16", 128),
        ("Llama-3.1-8B", "Arc B580", "", "bf16", 64),
    ],
)
def test_the_block_is_the_one_that_the_attention_kernel_prefers(
    model: str, gpu: str, version: str, kv: str, block: int
) -> None:
    engine = f"vllm@{version}".rstrip("@")
    assert scenario_from({"engine": engine, "model": model, "gpu": gpu, "kv_dtype": kv}).block_size == block


def test_another_kv_format_has_the_block_of_its_own_kernel() -> None:
    """What was left to the engine stays its choice: 16-bit latents on Hopper have blocks of 16, fp8 ones of 64."""
    scenario = scenario_from({"engine": "vllm", "model": "DeepSeek-V3", "gpu": "H200"})
    changed, _ = adapted(scenario, {"kv_dtype": "fp8"})
    assert (scenario.block_size, changed.block_size) == (16, 64)


@pytest.mark.parametrize(
    ("options", "conv_bytes", "state_bytes"),
    [
        ({}, 2, 2),
        ({"mamba_ssm_cache_dtype": "float32"}, 2, 4),
        ({"mamba_cache_dtype": "float32"}, 4, 4),
        ({"mamba_cache_dtype": "float32", "mamba_ssm_cache_dtype": "bfloat16"}, 4, 2),
    ],
)
def test_states_are_kept_in_the_formats_that_were_asked_for(
    options: dict[str, str], conv_bytes: int, state_bytes: int
) -> None:
    """36 gated DeltaNets of Qwen3-Next on one rank, whose file declares no format: conv and recurrent elements."""
    values = {"engine": "vllm", "model": "Qwen3-Next-80B-A3B", "gpu": "B200", **options}
    conv, state = 3 * 8192, 32 * 128 * 128
    found = present(plan(scenario_from(values)).serving)
    assert found.state_bytes_per_slot == 36 * (conv * conv_bytes + state * state_bytes)


@pytest.mark.parametrize("text", ["vllm", "VLLM@v0.20", "vllm@0.20.1rc2", "none", "llama.cpp@b6200", "llamacpp"])
def test_engines_that_are_known(text: str) -> None:
    found = parse_engine(text)
    assert parse_engine(str(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vlm", "unknown engine 'vlm'.*vllm"),
        ("vllm@1.5", f"releases {SPAN.oldest} to {SPAN.newest} are known, not 1.5"),
        (f"vllm@0.{int(SPAN.newest[2:]) + 1}", f"{SPAN.oldest} to {SPAN.newest}"),
        ("vllm@", "unknown engine release ''"),
        ("vllm@new\x1b[31m", "unknown engine release 'new"),
        ("none@1", "none has no release"),
        ("", "unknown engine ''"),
    ],
)
def test_engines_that_are_not(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_engine(text)
    assert "\x1b" not in str(caught.value)


MODEL, DEVICE = find_model("Llama-3.1-8B"), find_device("H100 SXM")
RELEASES = st.from_regex(r"[vb]?[0-9]{1,3}(\.[0-9]{1,3}){0,3}([.+-]?[a-z][a-z0-9.+-]{0,9})?", fullmatch=True)


@given(st.text(max_size=30) | RELEASES)
def test_no_text_is_more_than_an_input_error(text: str) -> None:
    for given_text in (text, f"vllm@{text}", f"llama.cpp@{text}"):
        with suppress(InputError):
            found = parse_engine(given_text)
            assert parse_engine(str(found)) == found
            assert engine_defaults(found, MODEL, DEVICE, "bf16")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kv_dtype": "q8_0"}, "vllm has no q8_0 cache; it has bf16"),
        ({"pp_partition": "16,15"}, "pp-partition: 16,15 is not 2 stages of 32 layers"),
        ({"pp_partition": "16,x"}, "pp-partition: 'x' is not a whole number"),
        ({"max_seqs": "0"}, "max-seqs"),
        ({"draft_layers": "65"}, "draft-layers"),
        ({"speculative_tokens": "3"}, "no multi-token-prediction layers"),
    ],
)
def test_options_that_are_wrong(values: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        scenario_from({"engine": "vllm", **values})


def test_a_partition_is_the_pipeline() -> None:
    scenario = scenario_from({"pp_partition": "20,12", "context": "1K"})
    assert scenario.layout.pp == 2
    assert [stage.held for stage in stages(scenario)] == [20, 12]
    found, model = plan(scenario), scenario.model
    embedding = next(2 * tensor.parameters for tensor in model.outside if tensor.role == "embedding")
    assert found.per_device.weights == embedding + 20 * 2 * (model.layers[0].parameters or 0)
    engine = scenario_from({"engine": "vllm", "pp": "5", "model": "Llama-3.1-8B"})
    assert partition(engine) == (6, 6, 7, 7, 6)
    assert partition(engine._replace(engine="none")) == (7, 7, 6, 6, 6)
    assert partition(scenario_from({"engine": "vllm", "pp": "4", "model": "Llama-3.1-8B"})) == (8, 8, 8, 8)


def test_typing_an_engine_brings_its_defaults_but_keeps_choices() -> None:
    scenario = scenario_from({"max_batched_tokens": "4096"})
    after = adapted(scenario, typed_fields(scenario, "engine", "vllm@0.19"))[0]
    assert (after.engine, after.serving.version, after.memory_utilization) == ("vllm", "0.19", 0.9)
    assert after.max_batched_tokens == 4096
    back = adapted(after, typed_fields(after, "engine", "none"))[0]
    assert back == scenario


def test_typing_serving_options() -> None:
    scenario = scenario_from({"engine": "vllm", "pp": "2"})
    for name, text, value in (
        ("max-seqs", "64", 64),
        ("prefix-caching", "off", False),
        ("hybrid-manager", "", True),
        ("async-scheduling", "off", False),
        ("draft-layers", "1", 1),
        ("ubatch", "1K", 1024),
        ("swa-full", "on", True),
    ):
        scenario = scenario._replace(**typed_fields(scenario, name, text))
        assert getattr(scenario.serving, name.replace("-", "_")) == value
    scenario = scenario._replace(**typed_fields(scenario, "pp-partition", "12,20"))
    assert scenario.serving.partition == (12, 20)
    scenario = scenario._replace(**typed_fields(scenario, "prefix-caching", "default"))
    assert scenario.serving.prefix_caching is None
    scenario = scenario._replace(**typed_fields(scenario, "speculative-tokens", "3"))
    assert scenario.speculative_tokens == 3
    with pytest.raises(UnknownName, match="value of prefix-caching"):
        typed_fields(scenario, "prefix-caching", "perhaps")


def test_what_contradicts_the_engine_gives_way() -> None:
    scenario = scenario_from({"kv_dtype": "q8_0", "pp_partition": "20,12"})
    after, notes = adapted(scenario, {"engine": "vllm"})
    assert (after.kv_dtype, after.serving.partition) == ("bf16", (20, 12))
    assert notes == ("KV in bf16: vllm has no q8_0 cache",)
    after, notes = adapted(after, {"model": find_model("Qwen2.5-7B")})
    assert after.serving.partition is None
    assert notes == ("pipeline stages as even as they go",)


def test_a_machines_own_measurements_replace_the_priors() -> None:
    from kvtui.engine.engines.overheads import Overheads
    from kvtui.engine.serving.vllm.serve import serve

    scenario = scenario_from({"engine": "vllm@0.22", "context": "8K"})
    measured = Overheads("rig", weights=16 * 10**9, activation=10**9, graphs=5 * 10**8, non_torch=3 * 10**8)
    found = serve(scenario._replace(serving=scenario.serving._replace(measured=measured)))
    requested = int(find_device("H100 SXM").allocatable_bytes * 0.92)
    assert found.pool_bytes == requested - 178 * 10**8
    older = scenario_from({"engine": "vllm@0.19", "gpu_memory_utilization": "0.92", "context": "8K"})
    assert serve(older._replace(serving=older.serving._replace(measured=measured))).pool_bytes == (
        requested - 173 * 10**8
    )


def test_a_model_too_large_for_its_device_has_no_pool() -> None:
    found = plan(scenario_from({"engine": "vllm", "model": "Llama-3.1-70B", "gpu": "RTX 4090"}))
    assert not found.fits
    served = present(found.serving)
    assert served.pool_bytes == served.blocks == served.max_sequences == 0
    assert found.binding_limit == "weights"
    assert present(found.devices_needed) > 5
    assert any("no memory for the cache" in text for text in served.refusals)


def test_explanations_give_the_figures_again() -> None:
    found = plan(scenario_from(L2))
    entries = {entry.id: entry for entry in explain(found, capacity(found), estimate(found))}
    assert entries["engine.needed"].bytes == present(found.serving).needed_bytes
    values: dict[str, Any] = dict(entries["engine.blocks"].values)
    assert values["pool_bytes"] // values["bytes_per_block"] == values["found"] == 205
    values = dict(entries["engine.needed"].values)
    assert values["3 × gated_deltanet"] + values["1 × full"] == values["blocks_per_request"] == 179
    assert dict(entries["engine.kv_cache_tokens"].values)["found"] == 300_220
    old = plan(scenario_from({**L2, "engine": "vllm@0.20"}))
    formulas = {entry.id: entry.formula for entry in explain(old, capacity(old), estimate(old))}
    assert "smallest block" in formulas["engine.kv_cache_tokens"]


@pytest.mark.parametrize("form", ["text", "markdown", "html", "csv"])
def test_reports_show_the_engine(form: str) -> None:
    shown = (
        render(document(scenario_from(L2)), form, width=120)
        if form == "text"
        else render(document(scenario_from(L2)), form)
    )
    for figure in ("205", "179", "1,600", "300,220") if form != "csv" else ("205", "179", "1600", "300220"):
        assert figure in shown


def test_compare_shows_engines_only_where_there_are_some() -> None:
    plain, engine = document(scenario_from({"context": "8K"})), document(scenario_from({**L2}))
    assert "blocks/request" not in compare.render([plain, plain], "text")
    for form in ("text", "markdown"):
        assert "vllm 0.22" in compare.render([plain, engine], form)
    assert "engine.kv_cache_tokens,,300220" in compare.render([plain, engine], "csv")


def test_without_an_engine_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys\nfrom kvtui.cli import main\nmain(['--report', 'json'])\n"
        "print(*[name for name in sys.modules if 'serving' in name], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.split() == []


def test_defaults_of_no_engine_are_the_plain_ones() -> None:
    scenario = scenario_from({})
    found = engine_defaults(Engine("none"), scenario.model, scenario.device, "bf16")
    assert found == EngineDefaults(16, 8192, 1.0, "bf16")
    assert plan(scenario).serving is None
