# Cohorts, training and evaluation on a CPU, or on a GPU with the build argument below. From the root of the repository:
#   docker build -f docker/training.Dockerfile -t prostate-alm-training .
#   docker run --rm --user "$(id -u):$(id -g)" -v ./cohort:/cohort:ro -v ./run:/run/training prostate-alm-training \
#     train --bundle prostate_dce --datalist /cohort/datalist.json --out /run/training --members 10
FROM python:3.11-slim

# for CUDA: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY prostate_alm ./prostate_alm
COPY bundles ./bundles
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" ".[train,ray]" \
 && useradd --system --uid 10001 --no-create-home training

USER 10001
ENTRYPOINT ["prostate-alm"]
