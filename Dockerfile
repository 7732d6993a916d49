# The studio in an image; docs/guides/containers.md says how to use it.
#   docker build --tag voclo-trainer .
#   docker build --tag voclo-trainer:cuda --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .   for a GPU
#   docker run --rm --init --publish 127.0.0.1:7860:7860 --env VOCLO_PASSWORD --volume voclo:/data [--gpus all] voclo-trainer
#   docker run --rm --interactive --tty --volume voclo:/data voclo-trainer bash                    a terminal instead
# Any Debian or Ubuntu with Python 3.11 or newer can be the base; PyTorch brings the libraries of CUDA along.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008  # every base has versions of its own
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /voclo-trainer
COPY Makefile requirements.lock requirements-studio.lock ./
RUN make venv
# hadolint ignore=DL3059  # a layer of its own: the one above has 5 GB and changes seldom
RUN make venv-studio
COPY . .

# the number is none that the bases use; a folder of yours is written to with --user "$(id -u):$(id -g)"
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /bin/bash voclo \
    && install --directory --owner=voclo --group=voclo --mode=0775 /data
USER 10001

# the PATH as `. .venv/bin/activate` has it; what programs keep for themselves goes to the volume too; a number that was
# given with --user has no name, for which PyTorch asks
ENV PATH=/voclo-trainer/.venv/bin:$PATH \
    PYTHONPATH=/voclo-trainer \
    HOME=/data \
    LOGNAME=voclo
# recordings, datasets, runs and exports lie in the folder that the commands are called in
WORKDIR /data
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "studio.health"]
# others than this container reach it, so it asks for VOCLO_PASSWORD; "stop" lets trainings save before they end
CMD ["python", "-m", "studio.contained", "host=0.0.0.0", "show=false", "folder=/data"]
