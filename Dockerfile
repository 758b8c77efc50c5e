# docker build --target light -t exporter:light .    what looks at documents, without PyTorch
# docker build -t exporter .                         builds, with PyTorch for the processor
#
# docker run --rm -v "$PWD:/data" exporter:light lint specs
# docker run --rm -v "$PWD:/data" -v exporter-cache:/cache exporter build --model /data/my-checkpoint -o /data/out
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 HF_HOME=/cache
RUN useradd --create-home --uid 1000 exporter \
    && mkdir /data /cache \
    && chown exporter:exporter /data /cache
COPY --from=wheel /wheels /wheels
VOLUME ["/data", "/cache"]
WORKDIR /data
ENTRYPOINT ["exporter"]
CMD ["--help"]

FROM base AS light
RUN pip install /wheels/*.whl
USER exporter

FROM base AS build
# A wheel of PyTorch's own index has no CUDA in it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /wheels/constraints.txt
RUN pip install --index-url "$TORCH_INDEX" -c /wheels/constraints.txt torch \
    && wheel="$(ls /wheels/*.whl)" \
    && pip install -c /wheels/constraints.txt "$wheel[build]"
USER exporter
