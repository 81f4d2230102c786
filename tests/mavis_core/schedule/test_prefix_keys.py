from __future__ import annotations

from mavis_core.schedule.prefix_keys import extend_keys, prefix_root


def keys(tokens: list[int], readers: tuple[str, ...] = (), salt: str | None = None, blocks: int = 2) -> list[bytes]:
    found = [prefix_root(readers, salt)]
    extend_keys(found, tokens, 3, blocks)
    return found


def test_a_key_stands_for_all_tokens_up_to_its_blocks_end() -> None:
    one, other = keys([1, 2, 3, 4, 5, 6, 7]), keys([1, 2, 3, 4, 5, 6, 8])
    assert one == other
    assert len(set(one)) == 3
    moved = keys([0, 2, 3, 4, 5, 6])
    assert moved[0] == one[0]
    assert moved[1] != one[1]
    assert moved[2] != one[2], "the second block's own tokens are the same, what is before them is not"


def test_keys_are_extended_and_not_made_again() -> None:
    found = keys([1, 2, 3, 4, 5, 6], blocks=1)
    extend_keys(found, [9, 9, 9, 4, 5, 6], 3, 2)
    assert found == keys([1, 2, 3, 4, 5, 6])


def test_readers_and_salt_are_part_of_the_root() -> None:
    roots = [prefix_root((), None), prefix_root((), ""), prefix_root(("a",), None), prefix_root(("a", "b"), None)]
    roots += [prefix_root((), "a"), prefix_root(("a, b",), None), prefix_root(("a",), "b")]
    assert len(set(roots)) == len(roots)
    assert prefix_root(("b", "a"), None) == prefix_root(("a", "b"), None)
