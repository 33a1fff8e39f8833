# The triage service on a CPU. Build from the root of the repository:
#   docker build -f docker/service.Dockerfile -t prostate-alm-service .
FROM python:3.11-slim

# One thread a study: two on a shared host double the time to an answer.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1

WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY prostate_alm ./prostate_alm
COPY bundles ./bundles
# the extra index offers torch as 2.13.0+cpu, which ranks above PyPI's build with gigabytes of CUDA libraries
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu ".[serve]" \
 && useradd --system --uid 10001 --no-create-home triage

USER triage
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz/ready', timeout=4)"]

# The ensemble is mounted read-only at /ensemble, PROSTATE_ALM_TOKEN comes from the environment:
#   docker run --read-only --tmpfs /tmp -v ./ensemble:/ensemble:ro --env-file token.env -p 8000:8000 prostate-alm-service
ENTRYPOINT ["prostate-alm", "serve", "--ensemble", "/ensemble", "--host", "0.0.0.0", "--port", "8000"]
