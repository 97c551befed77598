"""Regular expressions of untrusted files: the same answers as Python's own engine, and no long work."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.hf.regex import MAX_LENGTH, MAX_TEXT, parse_regex

NAMES = (
    "model.layers.0.self_attn.q_proj",
    "model.layers.17.mlp.experts.0.gate_proj",
    "model.layers.17.mlp.gate",
    "model.language_model.layers.3.linear_attn.in_proj_ba",
    "lm_head",
    "model.visual.blocks.0.attn.qkv",
)
PATTERNS = (
    ".*",
    "lm_head$",
    "^lm_head",
    ".*self_attn.*",
    ".*self_attn\\.(q|k|v|o)_proj$",
    ".*mlp.gate$",
    ".*mlp.gate",
    r"model\.layers\.\d+\.mlp\.gate$",
    r"model.layers.(0|1[0-7])\..*",
    r".*\.in_proj_(a|b|ba)$",
    "^(?!.*experts).*proj",
    "(?=model).*visual",
    "(.*\\.)?lm_head",
    "[^.]+\\.layers",
    "model.layers.[0-9]{1,2}.mlp",
    "(?:model|backbone)\\.layers\\.1.*?gate",
    "",
)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", NAMES)
def test_patterns_of_released_files_mean_what_pythons_engine_says(pattern: str, name: str) -> None:
    assert parse_regex(pattern).match(name) == bool(re.match(pattern, name))


letters = st.sampled_from(["a", "b", ".", "\\.", "[ab]", "[^a]", "\\d", "\\w", "1"])
expressions = st.recursive(
    letters,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(letters, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,}"])).map("".join),
        inner.map(lambda part: f"({part})?"),
        inner.map(lambda part: f"(?!{part})"),
    ),
    max_leaves=6,
)


@given(expressions, st.sampled_from(["", "^"]), st.sampled_from(["", "$"]), st.text("ab.1\n", max_size=8))
def test_random_patterns_mean_what_pythons_engine_says(middle: str, before: str, after: str, text: str) -> None:
    pattern = before + middle + after
    # Python's $ also matches before a last line feed, which no module's name has.
    text = text.replace("\n", "") if after else text
    try:
        ours = parse_regex(pattern)
    except InputError:
        reject()  # places within places are nested too deeply
    assert ours.match(text) == bool(re.match(pattern, text))


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "a parenthesis that is not closed"),
        (")", "a closing parenthesis too many"),
        ("*a", "'*' where it has no meaning"),
        ("a**", "a repeated repeat"),
        ("a{,3}", "braces that are no repeat"),
        ("a{3,1}", "a repeat out of range"),
        ("a{999}", "a repeat out of range"),
        ("[a", "a bracket that is not closed"),
        ("[b-a]", "a range out of order"),
        (r"(a)\1", "an unknown escape"),
        ("(?i)a", "a group of an unknown kind"),
        ("(?<=a)b", "a group of an unknown kind"),
        ("(((a*)*)*)*", "too many repeats of repeats"),
        ("(" * 9 + "a" + ")" * 9, "nested too deeply"),
        ("a" * (MAX_LENGTH + 1), f"longer than {MAX_LENGTH} characters"),
    ],
)
def test_what_is_not_understood_is_an_error_that_says_so(pattern: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_regex(pattern)
    assert problem in str(caught.value)


@given(st.text(st.sampled_from("ab.\\*+?{},12[]()|^$-:=!d\n\x1b"), max_size=30))
def test_what_is_refused_is_refused_on_one_harmless_line(pattern: str) -> None:
    problem = ""
    try:
        parse_regex(pattern).match("model.layers.0.mlp.gate")
    except InputError as error:
        problem = str(error)
    assert problem.isprintable()


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)(.*)b", "((a?){30}){30}b", "(a+)+$"])
def test_patterns_that_make_others_run_for_hours_are_quick(pattern: str) -> None:
    started = time.process_time()
    assert not parse_regex(pattern).match("a" * (MAX_TEXT - 1) + "c")
    assert time.process_time() - started < 5
