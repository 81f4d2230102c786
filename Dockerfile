# The server with the model that ships. Notes: docker/README.md
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# pip reads both from the environment: --build-arg PIP_EXTRA_INDEX_URL=... for smaller, CPU-only wheels of torch.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Dependencies first, with those of PostgreSQL: this layer stays while only our source changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['postgres'], sep='\n')" \
        > requirements.txt \
    && pip install -r requirements.txt
COPY README.md LICENSE ./
COPY mavis_core mavis_core
COPY value_models value_models
COPY server server
RUN pip install --no-deps .

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home mavis \
    && install -d -o mavis -g mavis /home/mavis/.cache /home/mavis/.cache/huggingface \
        /home/mavis/.local /home/mavis/.local/state /home/mavis/.local/state/mavis
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/home/mavis/.cache/huggingface \
    MAVIS_HOST=0.0.0.0 \
    MAVIS_PORT=8000
USER mavis
WORKDIR /home/mavis
EXPOSE 8000
# Alive while the model loads, too; dead only where a restart helps.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['MAVIS_PORT']}/health\", timeout=4)"]
# There is no key in the image, and on 0.0.0.0 the server does not start without one: -e MAVIS_API_KEY=...
ENTRYPOINT ["mavis"]
CMD ["serve"]
