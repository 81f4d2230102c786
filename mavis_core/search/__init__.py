"""Search over the engine: chunks, best-of-n and beams, driven from above. Torch-free.

A search is many plain requests. A hypothesis goes on as a request that brings its tokens along
(``Request.output_token_ids``), so the engine knows nothing of beams, keeps no state between rounds, and batches a
search's rows with everybody else's; its prefix cache makes the tokens that are there already cheap.
"""
