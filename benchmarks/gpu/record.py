"""What a stage has found so far, in a file that is whole after every finding: one that is cut short keeps them."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass(slots=True)
class Record:
    """Findings, a list of plain mappings, and the stage's arguments."""

    path: Path
    rehearse: bool
    shape: str
    backend: str
    findings: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of_arguments(cls) -> Record:
        """As ``stages`` starts a stage."""
        parser = argparse.ArgumentParser()
        parser.add_argument("path", type=Path)
        parser.add_argument("--rehearse", action="store_true")
        parser.add_argument("--shape", default="")
        parser.add_argument("--backend", default="")
        found = parser.parse_args()
        return cls(found.path, found.rehearse, found.shape, found.backend)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.rehearse else "cuda")

    def add(self, **finding: Any) -> None:
        self.findings.append(finding)
        print(json.dumps(finding), flush=True)
        whole = self.path.with_suffix(".part")
        whole.write_text(json.dumps(self.findings))
        os.replace(whole, self.path)
