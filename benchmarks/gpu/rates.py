"""Stage: what the machine can do. Bytes per second of a copy and of a read, and products of bfloat16 matrices."""

from __future__ import annotations

import torch

from benchmarks.gpu.clock import seconds
from benchmarks.gpu.record import Record
from benchmarks.machine import describe


def main() -> None:
    record = Record.of_arguments()
    device = record.device
    size, side = (1 << 22, 128) if record.rehearse else (4 << 30, 8192)
    record.add(machine=describe(), device=str(device))
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * size / seconds(lambda: target.copy_(source), device, 9)
    numbers = source.view(torch.float32)
    read = size / seconds(lambda: numbers.amax(), device, 9)
    record.add(copy_bytes_per_s=copied, read_bytes_per_s=read)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    record.add(matrix_flops=2 * side**3 / seconds(lambda: left @ right, device, 9))


if __name__ == "__main__":
    main()
