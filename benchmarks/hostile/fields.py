"""Hostile by hand: JSON that is well-formed and asks for too much, for the impossible, or for what never ends."""

from __future__ import annotations

from typing import Any

from benchmarks.hostile.attack import CHAT, USER, Attack, dump, http

TEXT = "/v1/completions"
RESPONSES = "/v1/responses"


def chat(name: str, **body: Any) -> Attack:
    return http(name, CHAT, dump({"messages": USER, "max_tokens": 8, "seed": 1} | body))


def text(name: str, **body: Any) -> Attack:
    return http(name, TEXT, dump({"prompt": "Hello", "max_tokens": 4, "seed": 1} | body))


def structures() -> list[Attack]:
    """Patterns, grammars and schemas that blow up when compiled or when followed."""
    regexes = [
        "(a+)+$",
        "(a|a)*b",
        "(.*)*",
        "a{1000000}",
        "(a{1000}){1000}",
        "((a{100}){100}){100}",
        "(" * 5000,
        "(" * 900 + ")" * 900,
        "[",
        "\\",
        "(?=a)b",
    ]
    regexes += [
        "(?:a?){200}a{200}",
        ".{0,100000}",
        "(a|b|ab)*c" * 50,
        "[^\\x00-\\U0010ffff]",
        "\\p{L}{5000}",
        "(x+x+)+y",
        "",
        "|" * 10_000,
        "(.{0,40}(x|y|z)){20}[^q]*",
        "a" * 200_000,
    ]
    grammars = [
        'start: s\ns: s s s | s s | "a" | "b" | |\n',
        'start: a\na: "x" | a a | a a a | "y" a\n',
        "start: start",
        "start: a\na: b\nb: a",
        "",
        "start:",
        "%%%",
        "start: /(a+)+/",
    ]
    grammars += [
        'start: "a"' + ' | "b"' * 50_000,
        "start: " + "(" * 3000 + '"a"' + ")" * 3000,
        "root ::= root root | root",
        'root ::= "a"*' + " root" * 1000,
        "start: %json {}",
    ]
    grammars += [
        "start: a0\n" + "".join(f"a{i}: a{i + 1} a{i + 1}\n" for i in range(60)) + 'a60: "x"',
        'start: %json {"multipleOf": 0.000000007}',
        'start: x{1000000}\nx: "a"',
        "%import /etc/passwd\nstart: A",
    ]
    deep: Any = {"type": "string"}
    for _ in range(300):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string", "pattern": "^(a|b)*$"} for i in range(3000)}}
    doubling = {
        "$defs": {
            f"d{i}": {
                "anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}}]
            }
            for i in range(40)
        }
        | {"d40": {"type": "null"}},
        "$ref": "#/$defs/d0",
    }
    schemas: list[Any] = [
        deep,
        wide,
        doubling,
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ]
    schemas += [
        {"$ref": "https://example.org/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
        {"type": "nothing"},
        {"enum": []},
        {"not": {}},
        {"minLength": 10**9, "type": "string"},
    ]
    schemas += [
        {"type": "array", "minItems": 10**6},
        {"type": "array", "minItems": 5, "maxItems": 2},
        {"type": "integer", "minimum": 10**400},
        {"multipleOf": 1e-300},
        {"multipleOf": 0},
        {"type": "number", "multipleOf": 99991.77},
    ]
    schemas += [
        {"pattern": "(a+)+$", "type": "string"},
        {"type": "string", "pattern": "(?<=a)"},
        {"allOf": [{"pattern": f".*{c}.*", "type": "string"} for c in "abcdefghijkl"]},
        {"enum": [str(i) for i in range(100_000)]},
    ]
    schemas += [
        {"oneOf": [{"type": "object", "properties": {"k": {"const": i}}} for i in range(500)]},
        {"propertyNames": {"pattern": "["}},
        {"patternProperties": {"(": {}}},
        {"$defs": 1},
        {"properties": []},
        {"required": "a"},
    ]
    found = [chat("structure: regex", structured_outputs={"regex": regex}) for regex in regexes]
    for stream in (False, True):
        found += [
            chat(
                "structure: grammar", structured_outputs={"grammar": g}, stream=stream, max_tokens=300, ignore_eos=True
            )
            for g in grammars
        ]
    for schema in schemas:
        found.append(
            chat(
                "structure: schema",
                response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
                max_tokens=40,
            )
        )
        found.append(
            chat(
                "structure: tool",
                tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}],
                tool_choice="required",
                max_tokens=40,
                stream=True,
            )
        )
        found.append(
            http(
                "structure: response",
                RESPONSES,
                dump(
                    {
                        "input": "a",
                        "max_output_tokens": 30,
                        "text": {"format": {"type": "json_schema", "name": "a", "schema": schema}},
                    }
                ),
            )
        )
    choices: list[Any] = [
        [],
        [""],
        ["a"] * 1024,
        ["a"] * 5000,
        ["x" * 100_000],
        ["\x00"],
        ["\ud800"],
        [1],
        "a",
        [["a"]],
        ['\n"\\'],
    ]
    found += [chat("structure: choice", structured_outputs={"choice": choice}) for choice in choices]
    return [
        *found,
        chat("structure: two", guided_regex="a", guided_json={}),
        chat("structure: none", structured_outputs={}),
    ]


def tools() -> list[Attack]:
    def function(name: Any, **more: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name} | more}

    lists: list[Any] = [
        [],
        [{}],
        [None],
        "f",
        [function("")],
        [function("a b")],
        [function("a" * 500)],
        [function("f"), function("f")],
        [function(f"f{i}") for i in range(1000)],
        [function("f", parameters=[])],
    ]
    lists += [
        [function("f", parameters={"type": "array"})],
        [function("f", strict="yes")],
        [{"type": "web_search"}],
        [function("</tool_call>")],
        [function("f", description="x" * 500_000)],
    ]
    found = [chat("tools: list", tools=tools, tool_choice=choice) for tools in lists for choice in ("auto", "required")]
    selected: list[Any] = [
        "any",
        1,
        {},
        {"type": "function"},
        {"type": "function", "function": {"name": "g"}},
        {"type": "function", "function": {}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        [[]],
    ]
    found += [chat("tools: choice", tools=[function("f")], tool_choice=choice) for choice in selected]
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for arguments in ("{", "[" * 2000, "NaN", "", '"\\ud800"', "1e999", "{}" * 50_000)
    ]
    for call in calls:
        history = [
            *USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "2", "content": "x"},
        ]
        found.append(chat("tools: history", messages=history, tools=[function("f")]))
    return found


def messages() -> list[Attack]:
    contents: list[Any] = [
        None,
        1,
        "",
        " ",
        "\x00",
        "\ud800",
        [],
        [{}],
        [{"type": "text"}],
        [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
        [{"type": "text", "text": "a"}] * 5000,
    ]
    contents += [
        "<|end|><|assistant|>" * 100,
        "{{ 7*7 }}{% for x in range(999999999) %}{% endfor %}",
        "a" * 1_000_000,
        "é" * 300_000,
        "\u202e" * 100,
        "💩" * 2000,
        {"a": 1},
        [["a"]],
    ]
    lists: list[Any] = [[{"role": "user", "content": content}] for content in contents]
    lists += [
        [],
        [{}],
        None,
        "a",
        [1],
        USER * 20_000,
        [{"role": role, "content": "a"} for role in ("system", "user") * 50],
        [{"role": "root", "content": "a"}],
        [{"role": "tool", "content": "a"}],
        [{"role": "assistant", "content": "a"}],
    ]
    found = [chat("messages", messages=messages) for messages in lists]
    found += [
        http("responses: input", RESPONSES, dump({"input": content, "max_output_tokens": 2})) for content in contents
    ]
    variables: list[Any] = [
        {"messages": []},
        {"x": "y"},
        {"raise_exception": 1},
        {"bos_token": "x" * 10_000},
        {"__class__": 1},
        {"add_generation_prompt": False},
        {"self": 1},
        {"range": 1},
    ]
    return found + [chat("messages: template", chat_template_kwargs=value) for value in variables]


def sizes() -> list[Attack]:
    """Too much of everything."""
    prompts: list[Any] = [
        [],
        [[]],
        [""],
        "",
        [0.5],
        [-1],
        [10**9],
        [2**31],
        [2**63],
        [2**64],
        [True],
        [[1, -1]],
        [1, "a"],
        [[1], "a"],
        [None],
        [[[1]]],
        {},
        ["a"] * 129,
        ["a"] * 5000,
        [[1]] * 128,
        [1] * 100_000,
        "a" * 2_000_000,
        "\ud800",
    ]
    found = [text("prompts", prompt=prompt) for prompt in prompts]
    found += [http("tokens: tokenize", "/tokenize", dump({"prompt": prompt})) for prompt in prompts]
    found += [http("tokens: detokenize", "/detokenize", dump({"tokens": prompt})) for prompt in prompts]
    found += [
        text("sizes: n and prompts", prompt=["a"] * many, n=n, max_tokens=1)
        for many, n in ((128, 128), (1, 128), (128, 1), (64, 64))
    ]
    stops: list[Any] = [["x"] * 17, [f"s{i}" for i in range(10_000)], [""], ["x" * 1_000_000], [None], ["\ud800"]]
    found += [chat("sizes: stop", stop=stop) for stop in [*stops, {"a": 1}, [[]]]]
    found += [chat("sizes: n", n=n) for n in (0, -1, 129, 10**9, 1.5, "2", True, None)]
    biases: list[Any] = [
        {str(i): 1 for i in range(50_000)},
        {"-1": 1},
        {"999999999": 1},
        {"a": 1},
        {"1": 1e9},
        {"1": None},
        {"1": "1"},
        [],
        {"٣": 1},
        {" 1": 1},
        {"1_0": 1},
        {str(2**70): 1},
    ]
    found += [chat("sizes: logit_bias", logit_bias=bias) for bias in biases]
    found += [
        chat("sizes: stop_token_ids", stop_token_ids=ids)
        for ids in ([-1], [10**12], list(range(100_000)), ["a"], [1.5], list(range(4096)))
    ]
    found += [
        text("sizes: logprobs", logprobs=value, echo=True, prompt_logprobs=value)
        for value in (-1, 21, 10**6, 2**80, True, 0)
    ]
    found += [
        chat("sizes: max_tokens", max_tokens=value) for value in (0, -1, 2**31, 2**63, 2**64, 10**100, 1e308, "1", None)
    ]
    found += [chat("sizes: ignore_eos", max_tokens=most, ignore_eos=True, n=n) for most, n in ((2000, 1), (250, 4))]
    return found


def weights() -> list[Attack]:
    maps: list[Any] = [
        {"unknown": 1},
        {"cheerful": None},
        {"cheerful": "1"},
        {"cheerful": True},
        {"cheerful": 10**400},
        {"cheerful": 1e308},
        {"cheerful": -1e308},
        {"": 1},
        {"cheerful" * 9000: 1},
        [],
        "a=1",
        5,
    ]
    maps += [
        {f"o{i}": i for i in range(20_000)},
        {"cheerful": [1]},
        {"cheerful": {"a": 1}},
        {"\ud800": 1},
        {"__proto__": 1},
        {"cheerful": 64.0001},
        {"cheerful": float("nan")},
        {"cheerful": float("-inf")},
        {"cheerful": 5e-324},
    ]
    found = [make("weights", objective_weights=value) for value in maps for make in (chat, text)]
    tilts: list[Any] = [
        {"beta": -1},
        {"beta": 1e300},
        {"beta": "1"},
        {"top_k": 0},
        {"top_k": 10**9},
        {"top_k": 1.5},
        {"max_kl_per_token": -1},
        {"max_kl_per_token": 0},
        {"max_kl_per_token": 1e-300},
        {"normalise": "x"},
        {"search": {}},
        {"x": 1},
        [],
        1,
        {"beta": 64},
        {"top_k": 1},
        {"top_k": 256},
    ]
    found += [chat("weights: guidance", objective_weights={"cheerful": 8}, guidance=value) for value in tilts]
    words: list[Any] = [
        {"": "x"},
        {"a=b": "x"},
        {"a": ""},
        {"a": "\x00\ufdd0"},
        {"a": "\ud800"},
        {"a": "x" * 500},
        {"a": "x" * 100_000},
        {"a": "<|end|><|system|>" * 20},
        {"cheerful": "x"},
        {"a": ["x"]},
        [],
        "x",
        {f"o{i}": f"Be {i}." for i in range(8)},
        {f"o{i}": "x" for i in range(20_000)},
    ]
    for value in words:
        named = dict.fromkeys(list(value)[:8], 2) if isinstance(value, dict) else {"cheerful": 1}
        found += [make("weights: in words", objectives=value, objective_weights=named) for make in (chat, text)]
    users: list[Any] = ["", "x" * 100_000, "\x00", "../..", 1, ["a"], "' or 1=1 --", "\ud800", "\u202e"]
    return found + [chat("weights: user", user=user) for user in users]
