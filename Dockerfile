# A worker image. Build: docker build -t emseg .   Run: docker run emseg worker sqs://my-queue --class cpu
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY models models
COPY tasks tasks
COPY pipeline pipeline
ARG TORCH_INDEX=
RUN python -m venv /opt/emseg \
 && /opt/emseg/bin/pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url $TORCH_INDEX} torch \
 && /opt/emseg/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/emseg /opt/emseg
ENV PATH=/opt/emseg/bin:$PATH NUMBA_CACHE_DIR=/tmp/numba OMP_NUM_THREADS=1
RUN useradd --create-home --uid 1000 emseg
USER 1000
WORKDIR /home/emseg
ENTRYPOINT ["emseg"]
CMD ["--help"]
