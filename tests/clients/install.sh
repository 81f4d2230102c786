#!/bin/sh
# What tests/clients needs beside the project's own environment, into .cache/clients: LangChain and LiteLLM pin an older
# openai than ours, and the newest npm openai wants a newer Node than Debian has.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .cache/clients
python3 -m venv .cache/clients/venv
.cache/clients/venv/bin/pip install --quiet --disable-pip-version-check --upgrade -r tests/clients/requirements.txt
cp tests/clients/package.json .cache/clients/package.json
npm install --prefix .cache/clients --no-audit --no-fund --loglevel error openai@latest
