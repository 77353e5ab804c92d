# make demo    set up once, then train AVSGN on the synthetic AVE, evaluate it, print the table
# make test    set up once, then run the tests
#
# TORCH=cu126 (cpu, cu130, rocm6.4 ...) takes torch from PyTorch's own index; empty takes what pip's index
# serves, which is CUDA on Linux.

PYTHON ?= python3
TORCH ?=
export TORCH

.PHONY: demo test lint setup

demo: setup
	.venv/bin/python tools/train.py configs/demo.yaml

test: setup
	.venv/bin/python -m pytest

lint: setup
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo

setup:
	@$(PYTHON) tools/bootstrap.py
