# make demo    set up once, then from mp4 files to events: make clips, encode, train, evaluate, predict, draw
# make page    the web page, with the model of the demo, which is trained first if it is not there
# make test    set up once, then run the tests
# make quick   the tests without the slow ones
# make figures draw the figures of README and docs again, from the demo; that of docs/dense.md if its run is there
#
# TORCH=cu126 (cpu, cu130, rocm6.4 ...) takes torch from PyTorch's own index; empty takes what pip's index
# serves, which is CUDA on Linux.

PYTHON ?= python3
TORCH ?=
export TORCH

# One thread per process: two processes share two cores.
PYTEST = OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2

# A clip of the held-out split whose event begins and ends inside it.
CLIP = scene-00135
ROW = 135

# Held-out clips of the page: one that the demo's model gets right, two whose events it cuts short.
CLIPS = scene-00135 scene-00071 scene-00047

# A held-out clip with several events.
SEVERAL = scene-00056

.PHONY: demo page figures test quick lint setup

# Where torch_scatter is compiled, the clips are made meanwhile; the second line then finds them made.
demo:
	@$(PYTHON) tools/bootstrap.py --meanwhile tools/make_scenes.py runs/scenes --quiet
	.venv/bin/python tools/make_scenes.py runs/scenes
	.venv/bin/python tools/extract_features.py runs/scenes/videos --annotations runs/scenes/Annotations.txt \
	  --visual signal --audio signal --out runs/scenes/features.h5
	.venv/bin/python tools/train.py configs/demo.yaml
	.venv/bin/python tools/predict.py runs/scenes/videos/$(CLIP).mp4 --checkpoint runs/demo
	.venv/bin/python tools/visualize_timeline.py runs/demo --row $(ROW) --media runs/scenes/videos/$(CLIP).mp4

page:
	@$(PYTHON) tools/bootstrap.py --with page --meanwhile tools/make_scenes.py runs/scenes --quiet
	@grep -qs '"finished": "' runs/demo/checkpoints/index.json || $(MAKE) demo
	@grep -qs '"finished": "' runs/demo_late_fusion/checkpoints/index.json || \
	  .venv/bin/python tools/train.py configs/baselines/late_fusion_full.yaml name=demo_late_fusion \
	  data.root=runs/scenes data.splits=txt data.features=features.h5 'data.name=made scenes' train.select=last
	.venv/bin/python tools/serve.py runs/demo runs/demo_late_fusion --open \
	  $(foreach name,$(CLIPS),--clip runs/scenes/videos/$(name).mp4)

figures: setup
	.venv/bin/python tools/make_figures.py runs/demo --videos runs/scenes/videos --row $(ROW) --explained 57 --out docs \
	  $(if $(wildcard runs/dense_scenes/checkpoints),--several runs/dense_scenes runs/several/videos/$(SEVERAL).mp4)

test: setup
	$(PYTEST)

quick: setup
	$(PYTEST) -m "not slow"

lint: setup
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo

setup:
	@$(PYTHON) tools/bootstrap.py
