# The set-up of README.md in an image.
#   docker build --tag voclo-trainer .
#   docker build --tag voclo-trainer --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 .   for a GPU
#   docker run --rm --interactive --tty --volume "$PWD/work:/work" [--gpus all] voclo-trainer
# Any Debian or Ubuntu with Python 3.11 or newer can be the base; PyTorch brings the libraries of CUDA along.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /voclo-trainer
COPY Makefile requirements.lock ./
RUN make venv
COPY . .

# as `. .venv/bin/activate` does
ENV PATH=/voclo-trainer/.venv/bin:$PATH
# datasets, runs and exports lie in the folder that the commands are called in
WORKDIR /work
CMD ["bash"]
