# docker build --target light -t exporter:light .    what looks at documents, without PyTorch
# docker build -t exporter .                         builds, with PyTorch for the processor
#
# docker run --rm -v "$PWD:/work" exporter:light lint specs
# docker run --rm -v "$PWD:/work" -v exporter-cache:/cache exporter build --model /work/my-checkpoint -o /work/out
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 HF_HOME=/cache
RUN useradd --create-home --uid 1000 exporter \
    && mkdir /work /cache \
    && chown exporter:exporter /work /cache
COPY --from=wheel /wheels /wheels
VOLUME ["/work", "/cache"]
WORKDIR /work
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
