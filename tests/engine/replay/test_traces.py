"""Published forms of traces: how they are read, what is refused, and what a cache could save of them."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.caches import BlockUses
from kvtui.engine.replay.content import KeyBook, PrefixIds, Told, Unknown
from kvtui.engine.replay.groups import Full
from kvtui.engine.replay.pool import Pool
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.reuse import reuse
from kvtui.engine.replay.rows import TraceRequests
from kvtui.engine.replay.tables import BlockTables, Held
from kvtui.engine.replay.traces import Trace, read_bench, read_trace, trace_lines
from tests.paths import ROOT

MOONCAKE = ROOT.parent / "shared/facts/data/traces"
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
"""
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
118,GPT-4,417,0,417,API log
"""
BAILIAN = """{"chat_id": 7, "timestamp": 61.1, "input_length": 40, "output_length": 9, "turn": 1, "hash_ids": [1, 2, 3]}
{"chat_id": 8, "timestamp": 62.6, "input_length": 60, "output_length": 5, "turn": 2, "hash_ids": [1, 2, 4, 5]}
"""


def read(text: str) -> Trace:
    return read_trace(text.splitlines(keepends=True), "t")


def shapes(trace: Trace) -> list[tuple[float, int, int]]:
    return [(round(one.arrival, 6), one.prompt, one.answer) for one in trace.requests]


def test_azure() -> None:
    trace = read(AZURE)
    assert (trace.form, trace.unit, trace.span) == ("azure", "date", 0)
    assert shapes(trace) == [(0, 374, 44), (4.314579, 396, 109)]
    assert reuse(trace.requests) is None


def test_burstgpt_leaves_failures_out() -> None:
    trace = read(BURSTGPT)
    assert (trace.form, trace.unit, trace.unanswered) == ("burstgpt", "s", 1)
    assert shapes(trace) == [(0, 472, 18), (40, 1087, 230)]


def test_bailian() -> None:
    trace = read(BAILIAN)
    assert (trace.form, trace.unit, trace.span) == ("bailian", "s", 16)
    assert shapes(trace) == [(0, 40, 9), (1.5, 60, 5)]
    found = reuse(trace.requests)
    assert found is not None
    assert (found.ceiling, found.tokens()) == (32, 100)


def test_times_in_milliseconds_by_other_names_and_by_delays() -> None:
    first = '{"created_time": 1000, "input_tokens": 5, "output_tokens": 2}'
    trace = read(first + '\n{"delay": 250, "input_length": 6, "output_length": 3}')
    assert (trace.form, trace.unit) == ("aiperf", "ms")
    assert shapes(trace) == [(0, 5, 2), (0.25, 6, 3)]


def test_ids_of_any_size_are_ids() -> None:
    big = 2**64 + 1
    trace = read(f'{{"timestamp": 0, "input_length": 20, "output_length": 1, "hash_ids": [{big}, "x"]}}\n' * 2)
    found = reuse(trace.requests)
    assert found is not None
    assert found.ceiling == found.block


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t: is empty"),
        ("\n\n", "t: is empty"),
        ("a,b\n1,2", "t: row 1: a trace has the columns TIMESTAMP"),
        (AZURE + "yesterday,1,1", "t: row 4: TIMESTAMP is 'yesterday', not a date and a time"),
        (AZURE + "2023-11-16 18:15:50,-1,1", "t: row 4: ContextTokens is '-1'"),
        (AZURE + "2023-11-16 18:15:50,1", "t: row 4: GeneratedTokens is ''"),
        (BURSTGPT + "nan,ChatGPT,1,1,2,API log", "t: row 5: Timestamp is 'nan', not a time"),
        (BAILIAN + "{", "t: row 3: is not JSON"),
        (BAILIAN + "[]", "t: row 3: is not an object"),
        (BAILIAN + '{"timestamp": 63.0, "output_length": 5}', "t: row 3: input_length is missing"),
        (BAILIAN + '{"timestamp": 63.0, "input_length": 33, "output_length": 5}', "t: row 3: has no hash_ids"),
        (
            BAILIAN + '{"timestamp": 63.0, "input_length": 64, "output_length": 5, "hash_ids": [1]}',
            "t: row 3: 1 ids for 64 tokens contradict the rows before, which have 15 to 19 tokens for each id",
        ),
        (
            BAILIAN + '{"timestamp": 63.0, "input_length": 5, "output_length": 5, "hash_ids": []}',
            "t: row 3: hash_ids is not a list",
        ),
        (
            BAILIAN + '{"timestamp": 63.0, "input_length": 40, "output_length": 5, "hash_ids": [7, 8, 7]}',
            "t: row 3: hash_ids has an id twice",
        ),
        ('{"timestamp": true, "input_length": 5, "output_length": 5}', "t: row 1: timestamp is 'True', not a time"),
        ('{"timestamp": 0, "input_length": 5.5, "output_length": 5}', "t: row 1: input_length is '5.5'"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 0}', "none of its 1 rows has an answer"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read(text)
    assert said in str(error.value)


def test_tokens_of_an_id_may_be_told() -> None:
    assert read_trace(BAILIAN.splitlines(), "t", 19).span == 19
    with pytest.raises(InputError, match="3 ids for 40 tokens are not 64 each"):
        read_trace(BAILIAN.splitlines(), "t", 64)


@pytest.mark.parametrize(
    ("name", "requests", "whole", "partial"),
    [("conversation", 12_031, 0.3734, 0.3736), ("synthetic", 3_993, 0.6504, 0.6512)],
)
def test_mooncakes_own_hit_rates(name: str, requests: int, whole: float, partial: float) -> None:
    path = MOONCAKE / f"mooncake_{name}_trace.jsonl"
    if not path.is_file():
        pytest.skip("the traces of Mooncake are not part of the repository")
    with path.open() as lines:
        trace = read_trace(lines, path.name)
    assert (trace.form, trace.unit, trace.span, len(trace.requests)) == ("mooncake", "ms", 512, requests)
    found = reuse(trace.requests)
    assert found is not None
    assert round(found.ceiling / found.tokens(), 4) == whole
    assert round((found.ceiling + found.tail) / found.tokens(), 4) == partial


chains = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=30)


def asked(paths: list[list[int]]) -> list[Request]:
    """Requests whose ids stand for whole prefixes, as in published traces."""
    known: dict[tuple[int, ...], int] = {}
    contents = [
        PrefixIds([known.setdefault(tuple(path[: end + 1]), len(known)) for end in range(len(path))], 8, 8 * len(path))
        for path in paths
    ]
    return [Request(str(at), at, content.length, 1, content) for at, content in enumerate(contents)]


def least_recently_used(requests: list[Request], size: int) -> int:
    """Tokens saved by a cache of ``size`` blocks, by holding one."""
    cache: OrderedDict[int, None] = OrderedDict()
    saved = 0
    for request in requests:
        assert isinstance(request.content, PrefixIds)
        ids = request.content.ids
        for id_ in ids[: (request.prompt - 1) // 8]:
            if id_ not in cache:
                break
            saved += 8
        for id_ in reversed(ids):
            cache[id_] = None
            cache.move_to_end(id_)
        while len(cache) > size:
            cache.popitem(last=False)
    return saved


@given(chains)
def test_every_size_at_once_is_each_size_by_itself(paths: list[list[int]]) -> None:
    requests = asked(paths)
    found = reuse(requests)
    assert found is not None
    sizes = list(range(1, 40))
    saved = found.saved(sizes)
    assert saved == [least_recently_used(requests, size) for size in sizes]
    assert saved == sorted(saved)
    assert saved[-1] <= found.ceiling


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), min_size=1, max_size=6), st.integers(1, 12))
def test_keys_are_equal_exactly_where_prefixes_are(spans: list[tuple[int, int]], block: int) -> None:
    book = KeyBook()
    told = Told(tuple(spans))
    tokens = [first + at for first, length in spans for at in range(length)]
    one_by_one = Told(tuple((token, 1) for token in tokens))
    keys = told.keys(block, book).tolist()
    assert len(keys) == len(tokens) // block
    assert one_by_one.keys(block, book).tolist() == keys
    changed = Told((*((token, 1) for token in tokens[:-1]), (tokens[-1] + 1, 1)))
    assert changed.keys(block, book).tolist()[: (len(tokens) - 1) // block] == keys[: (len(tokens) - 1) // block]
    if len(tokens) % block == 0:
        assert changed.keys(block, book).tolist()[-1] != keys[-1]


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=8, unique=True),
    st.integers(0, 15),
    st.sampled_from([4, 8, 16, 5, 32]),
)
def test_ids_of_prefixes_key_blocks_of_any_size(ids: list[int], short: int, block: int) -> None:
    book = KeyBook()
    length = 16 * len(ids) - short
    keys = PrefixIds(ids, 16, length).keys(block, book).tolist()
    assert len(keys) == length // block
    again = PrefixIds([*ids, 9], 16, length + 16).keys(block, book).tolist()
    assert again[: len(keys)] == keys
    assert Unknown(length).keys(block, book).tolist() == []


def simulated(requests: list[Request], size: int, order: str) -> int:
    """Tokens saved by a cache that is held block by block: "fifo", or "best", which looks ahead."""
    cache: list[int] = []
    saved = 0
    for number, request in enumerate(requests):
        assert isinstance(request.content, PrefixIds)
        ids = list(request.content.ids)
        for id_ in ids[: (request.prompt - 1) // 8]:
            if id_ not in cache:
                break
            saved += 8
        cache += [id_ for id_ in ids if id_ not in cache]
        later = [list(one.content.ids) for one in requests[number + 1 :] if isinstance(one.content, PrefixIds)]
        if order == "best":
            uses = {id_: next((at for at, found in enumerate(later) if id_ in found), 999) for id_ in cache}
            depth = {id_: found.index(id_) for found in [*later[::-1], ids] for id_ in found}
            cache.sort(key=lambda id_: (-uses[id_], -depth.get(id_, 0)))
        del cache[: max(0, len(cache) - size)]
    return saved


@given(chains, st.integers(1, 20))
def test_other_orders_and_their_bounds(paths: list[list[int]], size: int) -> None:
    requests = asked(paths)
    found, uses = reuse(requests), BlockUses(requests)
    assert found is not None
    assert uses.first_in_first_out(size)[0] == simulated(requests, size, "fifo")
    best, late = uses.best(size, since=len(requests) // 2)
    assert best == simulated(requests, size, "best")
    assert max(found.saved([size])[0], uses.first_in_first_out(size)[0]) <= best <= found.ceiling
    assert uses.best(1000)[0] == uses.first_in_first_out(1000)[0] == found.ceiling
    assert late <= best
    assert uses.best(1000, since=len(requests) // 2)[1] == found.saved([1000], len(requests) // 2)[0]
    assert found.ceiling + sum(found.missed) == found.tokens()
    assert uses.best(size, since=len(requests))[1] == 0
    if found.ceiling:
        assert found.knee is not None
        assert 0 < found.saved([found.knee])[0] <= found.ceiling


@given(chains, st.integers(1, 30))
def test_answers_take_room_as_in_an_engine(paths: list[list[int]], blocks: int) -> None:
    requests = [one._replace(answer=20) for one in asked(paths)]
    found = reuse(requests, answers=True)
    assert found is not None
    pool = Pool(blocks + 12, caching=True)
    tables = BlockTables(pool, (Full(8),), longest=4096, in_flight=4096, interval=None)
    saved = 0
    for number, one in enumerate(requests, start=1):
        held = Held(number, one, one.prompt, one.prompt, one.prompt + one.answer)
        held.keys = one.content.keys(8, KeyBook())
        prefix = tables.look_up(held)
        saved += prefix.tokens
        held.tokens += one.answer - 1
        assert tables.allocate(held, held.tokens - prefix.tokens, prefix)
        tables.free(held)
    # Blocks that are never full are blank and taken first; each request has at most one of them.
    assert found.saved([blocks + 9])[0] <= saved <= found.saved([blocks + 11])[0]


def test_what_vllm_bench_saved() -> None:
    saved = {
        "start_times": [7.5, 7.0, 9.0],
        "input_lens": [10, 20, 30],
        "output_lens": [3, 4, 0],
        "errors": ["", "", "x"],
    }
    trace = read_bench(saved, "b.json")
    assert (trace.form, trace.unit, trace.unanswered) == ("vllm-bench", "s", 1)
    assert shapes(trace) == [(0, 20, 4), (0.5, 10, 3)]
    with pytest.raises(InputError, match=r"b\.json: has no start_times, input_lens, output_lens"):
        read_bench({"input_lens": [1]}, "b.json")
    with pytest.raises(InputError, match="have different lengths"):
        read_bench({**saved, "input_lens": []}, "b.json")
    with pytest.raises(InputError, match=r"b.json: row 2: input_lens is '-1'"):
        read_bench({**saved, "input_lens": [1, -1, 1]}, "b.json")


@given(chains, st.booleans())
def test_kvtuis_own_form_reads_back_what_it_wrote(paths: list[list[int]], known: bool) -> None:
    requests = [one if known else one._replace(content=Unknown(one.prompt)) for one in asked(paths)]
    trace = Trace("mooncake", "ms", 8, TraceRequests.of_requests(requests, 8 if known else 0))
    back = read("".join(trace_lines(trace)))
    assert (back.form, back.unit, back.span) == ("kvtui", "s", 8 if known else 0)
    assert shapes(back) == shapes(trace)
    first, again = reuse(trace.requests), reuse(back.requests)
    assert (first is None) == (again is None) == (not known)
    if first is not None and again is not None:
        assert first.distances.tolist() == again.distances.tolist()


def test_parts_and_changes_of_a_trace() -> None:
    trace = read(BAILIAN)
    assert shapes(trace._replace(requests=trace.requests.faster(2))) == [(0, 40, 9), (0.75, 60, 5)]
    later = trace.requests[1:].from_start()
    assert [(one.arrival, one.prompt) for one in later] == [(0, 60)]
    longer = trace.requests.resized(4)
    assert [(one.prompt, one.answer) for one in longer] == [(160, 36), (240, 20)]
    assert longer.span == 64
    found, whole = reuse(longer), reuse(trace.requests)
    assert found is not None
    assert whole is not None
    assert found.ceiling == 4 * whole.ceiling
    shorter = trace.requests.resized(0.25)
    assert [(one.prompt, one.answer) for one in shorter] == [(10, 3), (15, 2)]
    assert [len(one.content.ids) for one in shorter if isinstance(one.content, PrefixIds)] == [3, 4]


def test_the_unit_may_be_told() -> None:
    rows = [
        '{"timestamp": 0, "input_length": 5, "output_length": 2}',
        '{"timestamp": 3, "input_length": 5, "output_length": 2}',
    ]
    assert [one.arrival for one in read_trace(rows, "t").requests] == [0, 0.003]
    assert [one.arrival for one in read_trace(rows, "t", unit="s").requests] == [0, 3]


def test_rows_take_little_room() -> None:
    rows = (f"{at},ChatGPT,{at % 900 + 1},{at % 90 + 1},1,API log" for at in range(20_000))
    heads = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"]
    tracemalloc.start()
    trace = read_trace(chain(heads, rows), "t")
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(trace.requests) == 20_000
    assert kept < 60 * 20_000
    assert most < 200 * 20_000
