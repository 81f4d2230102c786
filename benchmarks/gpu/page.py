"""The results as a page of tables, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GOALS = """Aims: 75 % of the copy's bandwidth at one row of 7b, heads at least 0.97 of unguided, 10,000 guided tokens/s
at 256 rows, and the same speed for 1 and 256 distinct settings."""


def page(report: Mapping[str, Any]) -> str:
    stages = {stage["stage"]: stage for stage in report["stages"]}
    rates = (
        {key: found for each in stages["rates"]["findings"] for key, found in each.items()} if "rates" in stages else {}
    )
    parts = ["# One GPU\n", *_machine(rates, report)]
    parts += ["\n## Stages\n", *_table(("stage", "ended", "seconds"), report["stages"])]
    parts += ["\n## Tokens equal to the CPU's\n", *_tokens(report["stages"])]
    steps = [found for stage in report["stages"] for found in stage["findings"] if "arm" in found]
    parts += ["\n## Steps\n", GOALS + "\n", *_steps(steps, rates)]
    kernels = stages.get("kernels", {"findings": []})["findings"]
    parts += ["\n## Attention alone\n", *_kernels(kernels, rates)]
    parts += ["\n## Tests\n", *_tests(stages.get("tests", {"findings": []})["findings"])]
    return "\n".join(parts) + "\n"


def _machine(rates: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    if report["rehearse"]:
        yield "A rehearsal on a CPU: that every stage runs, and no figure that means anything.\n"
    for name, found in rates.get("machine", {}).items():
        yield f"- {name}: {found}"
    for name, unit, key in (("copy", "GB/s", "copy_bytes_per_s"), ("read", "GB/s", "read_bytes_per_s")):
        if key in rates:
            yield f"- {name}: {rates[key] / 1e9:,.0f} {unit}"
    if "matrix_flops" in rates:
        yield f"- bf16 matrix product: {rates['matrix_flops'] / 1e12:,.1f} TFLOP/s"


def _tokens(stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        {
            "backend": stage["stage"].partition(", ")[2],
            "kind": found["kind"],
            "equal": f"{found['rows_equal']} of {found['rows']} rows",
        }
        for stage in stages
        for found in stage["findings"]
        if "rows_equal" in found
    ]
    yield from _table(("backend", "kind", "equal"), rows)


def _steps(found: Sequence[Mapping[str, Any]], rates: Mapping[str, Any]) -> Iterator[str]:
    unguided = {(f["shape"], f["backend"], f["rows"]): f["tokens_per_s"] for f in found if f["arm"] == "unguided"}
    one = {(f["shape"], f["backend"], f["rows"]): f["tokens_per_s"] for f in found if f.get("distinct") == 1}
    rows = []
    for f in found:
        base = (one if f["arm"] == "distinct" else unguided).get((f["shape"], f["backend"], f["rows"]))
        rows.append(
            {
                "shape": f["shape"],
                "backend": f["backend"],
                "arm": f"{f['distinct']} distinct settings" if "distinct" in f else f["arm"],
                "rows": f["rows"],
                "ms/step": f"{f['step_seconds'] * 1e3:.2f}",
                "tokens/s": f"{f['tokens_per_s']:,.0f}",
                "of unguided (distinct: of 1)": _share(f["tokens_per_s"], base),
                "of bandwidth": _share(f["bytes_per_s"], rates.get("copy_bytes_per_s")),
                "of matrix rate": _share(f["flops"], rates.get("matrix_flops")),
            }
        )
    yield from _table(tuple(rows[0]) if rows else (), rows)


def _kernels(found: Sequence[Mapping[str, Any]], rates: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        {
            **f,
            "µs": f"{f['seconds'] * 1e6:.1f}",
            "of bandwidth": _share(f["bytes_per_s"], rates.get("copy_bytes_per_s")),
        }
        for f in found
    ]
    yield from _table(("shape", "kind", "rows", "length", "backend", "µs", "of bandwidth"), rows)


def _tests(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in found:
        yield f"- {each.get('path', 'pytest')}: {each.get('counts', each.get('pytest'))}"
        yield from (f"  - {line}" for line in each.get("failed", ()))


def _share(part: float, whole: float | None) -> str:
    return f"{part / whole:.3f}" if whole else ""


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "Nothing was found."
        return
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(str(row[column]) for column in columns) + " |"
