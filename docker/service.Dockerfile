# The triage service on a CPU. Build from the root of the repository:
#   docker build -f docker/service.Dockerfile -t prostate-alm-service .
FROM python:3.11-slim

# One thread a study: two on a shared host double the time to an answer. Zips are unpacked beside the storage, for a
# study is larger than what a tmpfs should hold.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 TMPDIR=/data/tmp \
    PROSTATE_ALM_ENSEMBLE=/ensemble PROSTATE_ALM_STORAGE=/data/service PROSTATE_ALM_HOST=0.0.0.0 PROSTATE_ALM_PORT=8000

WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY prostate_alm ./prostate_alm
COPY bundles ./bundles
# the extra index offers torch as 2.13.0+cpu, which ranks above PyPI's build with gigabytes of CUDA libraries
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu ".[serve,fast,postgresql]" \
 && useradd --system --uid 10001 --no-create-home triage \
 && install --directory --owner=triage --mode=0700 /data /data/tmp

USER 10001
VOLUME /data
EXPOSE 8000
# ready means: the parcel verified, golden logits equal, disk and database writable, the worker beating
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz/ready', timeout=4)"]

# The ensemble is mounted read-only at /ensemble; a token file, or one token, comes as a secret:
#   docker run --read-only -v ./ensemble:/ensemble:ro -v triage:/data -v ./tokens.yaml:/run/secrets/tokens.yaml:ro \
#     -e PROSTATE_ALM_TOKENS_FILE=/run/secrets/tokens.yaml -p 8000:8000 prostate-alm-service
ENTRYPOINT ["prostate-alm", "serve"]
