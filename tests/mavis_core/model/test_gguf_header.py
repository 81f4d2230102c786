from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from mavis_core.model.gguf_header import numbers


def test_numbers_between_values_of_every_type(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    expected: dict[str, int | float] = {}
    for kind in gguf.GGUFValueType:
        name = kind.name.lower()
        if kind in (gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.STRING):
            continue
        expected[name] = {"bool": True, "float32": 0.5, "float64": -0.25}.get(name, -7 if name.startswith("int") else 7)
        getattr(writer, f"add_{name}")(name, expected[name])
        writer.add_string(f"a string behind {name}", "é" * 3)
        writer.add_array(f"strings behind {name}", ["", "two", "three"])
        writer.add_array(f"numbers behind {name}", [1, 2, 3])
        writer.add_array(f"halves behind {name}", [0.5, 1.5])
        writer.add_array(f"truths behind {name}", [True, False, True])
    writer.add_tensor("t", np.zeros((1, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert numbers(path, expected) == expected
    assert numbers(path, ["uint32", "a string behind uint8", "absent"]) == {"uint32": 7}


@pytest.mark.parametrize("keys", [(), ("absent",)])
def test_nothing_is_found_where_nothing_is(tmp_path: Path, keys: tuple[str, ...]) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert numbers(tmp_path / "a.gguf", keys) == {}
