"""Each form of calls: what its grammar lets through is read back, in any pieces, and what is no call stays text."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from server.tools.formats.format import ToolFormat
from server.tools.formats.granite import GRANITE, GRANITE_WITHOUT_BARS
from server.tools.formats.hermes import HERMES
from server.tools.formats.known import chosen
from server.tools.formats.llama3_json import LLAMA3_JSON
from server.tools.formats.mistral import MISTRAL, MISTRAL_NAMED
from server.tools.formats.pythonic import PYTHONIC
from server.tools.use import ToolUse
from tests.server.dialects.forms import FORMS, FUNCTIONS, SCHEMAS, accepts, cut, drawn, joined, read

pytest.importorskip("llguidance")
ALL_FORMS = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
REQUIRED, AUTO = (ToolUse(mode, FUNCTIONS, FUNCTIONS) for mode in ("required", "auto"))  # type: ignore[arg-type]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("weather.now", {"city": 'a"]\\)', "days": -3, "rain": True, "near": [{"km": 4, "ok": None}, {}], "unit": None}),
    ("od-d", {"a-b": "'}"}),
    ("now", {}),
    ("weather.now", {"days": 7, "unit": "C"}),
]


@ALL_FORMS
@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "letters"])
def test_what_is_written_fits_and_is_read_back(form: ToolFormat, tokens: bool) -> None:
    for calls in (CALLS, CALLS[:1], CALLS[1:2], CALLS[2:3]):
        text = form.written(calls)
        assert accepts(form, REQUIRED, text, tokens) and accepts(form, AUTO, text, tokens)
        assert accepts(form, ToolUse("auto", FUNCTIONS, FUNCTIONS), text, tokens, '{"type":"object"}')
        alone = accepts(form, ToolUse("required", FUNCTIONS, FUNCTIONS, parallel=False), text, tokens)
        assert alone == (len(calls) == 1)
        found = joined(read(form.reader(), [text]))
        assert [(name, json.loads(given)) for name, given in found] == calls


@ALL_FORMS
@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "letters"])
def test_what_the_grammar_lets_through_is_read_back(form: ToolFormat, tokens: bool) -> None:
    """Nothing but calls, with arguments by their schemas, which written anew fit and say the same."""
    schemas = dict(zip((function.name for function in FUNCTIONS), SCHEMAS, strict=True))
    names = set()
    for seed in range(3):
        text = drawn(form, REQUIRED, tokens, seed)
        found = joined(read(form.reader(), [text]))
        assert all(isinstance(one, tuple) for one in found), text
        calls = [(name, json.loads(given)) for name, given in found]
        for name, given in calls:
            jsonschema.validate(given, schemas[name])
        names |= {name for name, _ in calls}
        again = form.written(calls)
        assert accepts(form, REQUIRED, again, tokens)
        assert [(name, json.loads(given)) for name, given in joined(read(form.reader(), [again]))] == calls
    assert len(names) > 1


@ALL_FORMS
def test_streams_equal_whole_answers(form: ToolFormat) -> None:
    chance = random.Random(7)
    call = form.written(CALLS)
    texts = [call, f"so: {call}", f" \n{call}\n", f"{call} \n and then", call.replace("now", "no w")]
    texts.append(form.opening + "x")
    texts += [call[:length] for length in range(1, len(call), 3)]
    texts += ["[a](b) {c} <tool_cal", '{"name": "weather", "days": 3}', '{"name": "now", "arguments": 3}', "[now(", ""]
    for text in texts:
        whole = form.reader()
        expected = joined(read(whole, [text]))
        for _ in range(3):
            streamed = form.reader()
            assert joined(read(streamed, cut(text, chance))) == expected, text
            assert streamed.cut == whole.cut


@ALL_FORMS
@pytest.mark.parametrize("text", ["hi", " hi\n", "[now] (1)", '{"a": 1}', "a <tool_cal", "x [TOOL_CALL", ""])
def test_text_stays_text(form: ToolFormat, text: str) -> None:
    assert accepts(form, AUTO, text, True)
    assert not accepts(form, REQUIRED, text, True)
    assert "".join(joined(read(form.reader(), [text]))) == text


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (HERMES, '<tool_call>\n{"name": 3}\n</tool_call> x', ['<tool_call>\n{"name": 3}\n</tool_call> x']),
        (HERMES, "<tool_call>no <tool_call>" + '{"name":"now","arguments":{}}</tool_call>',
         ["<tool_call>no ", ("now", "{}")]),
        (MISTRAL, '[TOOL_CALLS] [{"name":"now","arguments":{}}, {"nam', [("now", "{}"), ', {"nam']),
        (MISTRAL, "[TOOL_CALLS]now{}", ["[TOOL_CALLS]now{}"]),
        (MISTRAL_NAMED, '[TOOL_CALLS] now [ARGS] {"a": [1]} bye', [("now", '{"a": [1]}'), " bye"]),
        (MISTRAL_NAMED, "[TOOL_CALLS]now[ARGS]3", ["[TOOL_CALLS]now[ARGS]3"]),
        (LLAMA3_JSON, '{"name": "now", "parameters": 3}', ['{"name": "now", "parameters": 3}']),
        (LLAMA3_JSON, '<|python_tag|> {"name":"now","parameters":{}} ;{"name":"a","parameters":{"x', [("now", "{}"),
                                                                                                   ("a", '{"x')]),
        (LLAMA3_JSON, 'So {"name": "now", "parameters": {}}', ['So {"name": "now", "parameters": {}}']),
        (GRANITE, '<|tool_call|>\n[ {"name": "now", "arguments": {}} ]\n', [("now", "{}")]),
        (GRANITE, '<|tool_call|>{"name": "now", "arguments": {}}', ['<|tool_call|>{"name": "now", "arguments": {}}']),
        (GRANITE_WITHOUT_BARS, 'ok <tool_call>[{"name":"now","arguments":{}}]', ["ok ", ("now", "{}")]),
        (PYTHONIC, "[now(1)]", ["[now(1)]"]),
        (PYTHONIC, "[now(a=b)]", ["[now(a=b)]"]),
        (PYTHONIC, "[now(a=__import__('os').system('x'))]", ["[now(a=__import__('os').system('x'))]"]),
        (PYTHONIC, "[now(a=1, a=2)]", ["[now(a=1, a=2)]"]),
        (PYTHONIC, "[now(a=1), b(c=", [("now", '{"a": 1}'), ", b(c="]),
        (PYTHONIC, "[now(a=1)], yes", [("now", '{"a": 1}'), ", yes"]),
        (PYTHONIC, " [ now ( ) , a/b:c-d ( x = -1.5 , **{'y z': (true, null, False)} ) ] ",
         [("now", "{}"), ("a/b:c-d", '{"x": -1.5, "y z": [true, null, false]}')]),
        (PYTHONIC, '[now(s="a)\\"](", t=\'b\\n\')]', [("now", '{"s": "a)\\"](", "t": "b\\n"}')]),
        (PYTHONIC, "[see](http://x)", ["[see](http://x)"]),
    ],
)  # fmt: skip
def test_malformed_and_loosely_written(form: ToolFormat, text: str, expected: list[Any]) -> None:
    assert joined(read(form.reader(), [text])) == expected
    assert joined(read(form.reader(), list(text))) == expected


TEMPLATES = {
    "{{ '<tool_call>' }}": HERMES,
    "{% if tools %}Call as <|tool_call|> and a list.{% endif %}": GRANITE,
    "Write <tool_call> followed by a JSON list of what to call.": GRANITE_WITHOUT_BARS,
    "[TOOL_CALLS]{{ calls | tojson }}": MISTRAL,
    "[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}": MISTRAL_NAMED,
    'Answer {"name": function name, "parameters": what it is given}.': LLAMA3_JSON,
    "<|python_tag|>{{ call }}": LLAMA3_JSON,
    "Write [first(key=value, other=value), second()] and no more.": PYTHONIC,
    "{% for m in messages %}{{ m.content }}{% endfor %}": HERMES,
    "": HERMES,
}


@pytest.mark.parametrize(("template", "form"), TEMPLATES.items())
def test_a_template_tells_the_form(template: str, form: ToolFormat) -> None:
    found, why = chosen("auto", template)
    assert found is form
    assert why.startswith("the chat template has ")


def test_a_form_can_be_named() -> None:
    assert chosen("mistral", "") == (MISTRAL, "--tool-call-parser")
    assert chosen("mistral", "[ARGS] <tool_call>")[0] is MISTRAL_NAMED
    assert chosen("granite", "<tool_call>")[0] is GRANITE
    assert chosen("hermes", "[TOOL_CALLS]")[0] is HERMES


def test_ids() -> None:
    """Templates of Mistral's models take nine letters and digits."""
    made = MISTRAL.call_id()
    assert len(made) == 9 and made.isalnum() and MISTRAL.shown_id(made) == made
    other = MISTRAL.shown_id("call_0123456789")
    assert len(other) == 9 and other.isalnum() and MISTRAL.shown_id("call_0123456789") == other
    assert HERMES.shown_id("call_0123456789") == "call_0123456789"
