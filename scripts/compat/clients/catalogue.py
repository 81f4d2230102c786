"""Which clients there are: what each needs installed, the program that is its loop, and the model that it can do with.

Versions are not pinned: what is asked is whether today's client works, and the result says which that was.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """
    Attributes:
        program: in ``loops/``; ``.mjs`` runs on Node and ``packages`` are npm's, ``.py`` on Python and they are pip's.
            The first package is the client, whose version is told first.
        larger: its prompts do not fit the 1,024 tokens of the model that ships, so it needs ``--model``.
    """

    program: str
    packages: tuple[str, ...]
    larger: bool = False

    @property
    def node(self) -> bool:
        return self.program.endswith(".mjs")


CLIENTS = {
    "openai": Client("openai_python.py", ("openai",)),
    "openai-node": Client("openai_node.mjs", ("openai", "zod")),
    "anthropic": Client("anthropic_python.py", ("anthropic",)),
    "langchain": Client("langchain_agent.py", ("langchain", "langchain-openai")),
    "litellm": Client("litellm_proxy.py", ("litellm[proxy]", "openai")),
    "claude-code": Client("claude_code.py", ("litellm[proxy]", "anthropic"), larger=True),
    "vercel-ai": Client("vercel_ai.mjs", ("ai", "@ai-sdk/openai-compatible", "@ai-sdk/openai", "zod")),
    "pydantic-ai": Client("pydantic_ai_agent.py", ("pydantic-ai-slim[openai]",)),
    "instructor": Client("instructor_models.py", ("instructor",)),
    "openai-agents": Client("openai_agents.py", ("openai-agents",)),
    "llama-index": Client("llama_index_agent.py", ("llama-index-core", "llama-index-llms-openai-like")),
    "llm": Client("llm_command.py", ("llm",)),
    "inspect-ai": Client("inspect_task.py", ("inspect-ai", "openai")),
    "lm-eval": Client("lm_eval_task.py", ("lm-eval[api]", "transformers")),
    "guidellm": Client("guidellm_load.py", ("guidellm",)),
}
