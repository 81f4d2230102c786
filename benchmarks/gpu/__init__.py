"""Everything worth knowing of one GPU in one run of at most ten minutes: is it right, how fast, how near to its limits.

    python -m benchmarks.gpu --out benchmarks/results/gpu      on a machine with CUDA
    python -m benchmarks.gpu --out /tmp/rehearsal --rehearse   the same stages on a CPU, with a tiny model

It needs torch, transformers and safetensors, and triton for the backend of that name; nothing of the server.
"""
