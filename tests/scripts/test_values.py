"""Training and distilling values, on tiny data where the right answer is known."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mavis_core.policy import Policy
from scripts.shipped.distil_lm import SIBLINGS, Batches, forward
from scripts.shipped.train_heads import evaluate, fit
from scripts.shipped.value_data import Examples, Normalisation, collect, held_out
from value_models.folders import build_lm
from value_models.head import HeadNetwork, unit_rms
from value_models.lm import LmValue
from value_models.training.lm_trainee import small

HIDDEN, VOCAB = 12, 53


def tiny_policy() -> Policy:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        intermediate_size=20,
        max_position_embeddings=64,
    )
    return Policy(LlamaForCausalLM(config).eval(), None, "tiny")


def examples(count: int, rollouts: int) -> Examples:
    generator = torch.Generator().manual_seed(3)
    return Examples(
        torch.randn(count, HIDDEN, generator=generator),
        torch.randint(VOCAB, (count,), generator=generator),
        torch.arange(count) % rollouts,
    )


def test_a_head_learns_what_is_there_and_nothing_from_noise() -> None:
    rollouts = 3000
    data = examples(rollouts, rollouts)
    signal = torch.stack((data.hidden[:, 0] + (data.tokens % 2), data.hidden[:, 1]), dim=1)
    noise = torch.randn(rollouts, 2, generator=torch.Generator().manual_seed(4))
    embedding = torch.randn(VOCAB, HIDDEN, generator=torch.Generator().manual_seed(5))
    test = held_out(rollouts)[data.rollout]
    train_part, test_part = data.take(~test), data.take(test)
    for targets, low, high in ((signal, 0.0, 0.25), (noise, 0.85, 1.5)):
        targets = Normalisation.measure(targets).apply(targets)
        network, history = fit(embedding, train_part, test_part, targets, 12, 0)
        mse = evaluate(network, embedding, test_part, targets)
        assert (low <= mse).all()
        assert (mse < high).all()
        assert torch.allclose(mse, torch.stack(history).amin(0))


def test_collect_gives_the_states_before_the_answer_tokens() -> None:
    policy = tiny_policy()
    sequences = [torch.arange(3, 3 + n) for n in (9, 5, 13)]
    prompts = torch.tensor([4, 2, 7])
    found = collect(policy, sequences, prompts)
    assert found.rollout.tolist() == [0] * 5 + [1] * 3 + [2] * 6
    at = 0
    for sequence, start in zip(sequences, prompts.tolist(), strict=True):
        states = policy.backbone.forward_plain(sequence)
        own = slice(at, at + len(sequence) - start)
        torch.testing.assert_close(found.hidden[own], states[start - 1 : -1], rtol=1e-4, atol=1e-5)
        assert found.tokens[own].tolist() == sequence[start:].tolist()
        at = own.stop


def test_siblings_are_trained_as_they_are_queried() -> None:
    policy = tiny_policy()
    sequences = [torch.arange(3, 3 + n) for n in (9, 5)]
    starts = torch.tensor([4, 2])
    teacher = HeadNetwork(2, HIDDEN, 8, 3)
    with torch.inference_mode():
        batches = Batches(policy, teacher, collect(policy, sequences, starts), sequences, starts)
        ids, positions, mask, targets, asked = batches.build(torch.tensor([0, 1]), torch.Generator().manual_seed(1))
        backbone, readout = build_lm(small(policy, 32, 2), 2)
        values = forward(backbone.eval(), readout, ids, positions, mask)
    value = LmValue("student", [], backbone, readout)
    embedding = unit_rms(policy.readout.weight)
    for row, sequence in enumerate(sequences):
        at = int(positions[row, -1])
        siblings = ids[row, -SIBLINGS:].tolist()
        hidden = policy.backbone.forward_plain(sequence)[at - 1]
        slow = value.reference(sequence[:at].tolist(), siblings, hidden)
        torch.testing.assert_close(values[row, -SIBLINGS:], slow, rtol=1e-4, atol=1e-5)
        taught = teacher(hidden[None], teacher.read_tokens(embedding[siblings])[None])[0]
        torch.testing.assert_close(targets[row, -SIBLINGS:], taught, rtol=1e-4, atol=1e-5)
        assert asked[row, -SIBLINGS:].all()
