# One line a target. RAW=, PROCESSED=, WORKERS= and ARGS= go to the command line as flags.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIPELINE = .venv/bin/python -m pipeline
FLAGS = $(if $(RAW),--raw "$(RAW)") $(if $(PROCESSED),--processed "$(PROCESSED)") $(if $(WORKERS),--workers $(WORKERS))
DEMO = --raw demo/raw --processed demo/processed
MODELS = $(addprefix face_models/,haarcascade_frontalface_default.xml shape_predictor_68_face_landmarks.dat face_detection_short_range.tflite face_landmark.tflite)
# dlib comes as a wheel; DLIB=source compiles it, and the next calls of make leave it so.
DLIB ?= $(if $(wildcard .venv/ready-source),source,wheel)
READY = .venv/ready-$(DLIB)
export DLIB_USE_CUDA = OFF

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help setup doctor collect frames credits clean-data crop-lips split train predict report leaks review sheet status sample-data demo reset tensorboard evaluate export serve test test-long bench bench-video bench-serve bench-train check

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) $(MODELS) ## virtual environment, packages, face models (about 3 minutes, once)

doctor: setup ## versions, device and models; what is wrong and how to fix it
	@$(PIPELINE) doctor

collect: setup ## N pictures from the web into raw/<LABEL>/, found by QUERY
	@$(PIPELINE) collect $(FLAGS) $(if $(LABEL),--label "$(LABEL)") $(if $(QUERY),--query "$(QUERY)") $(if $(N),--n $(N)) $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

frames: setup ## pictures out of the film or folder VIDEO, into raw/<LABEL>/
	@$(PIPELINE) frames $(FLAGS) $(if $(VIDEO),--video "$(VIDEO)") $(if $(LABEL),--label "$(LABEL)") $(ARGS)

credits: setup ## the attribution that the licences of collected pictures ask for
	@$(PIPELINE) credits $(FLAGS) $(ARGS)

clean-data: setup ## normalize → screen → dedupe → faces
	@$(PIPELINE) faces $(FLAGS) $(ARGS)

crop-lips: setup ## … → lips
	@$(PIPELINE) lips $(FLAGS) $(ARGS)

split: setup ## … → split, 9:1 per label
	@$(PIPELINE) split $(FLAGS) $(ARGS)

train: setup ## … → train; the one command from raw/ to a model
	@$(PIPELINE) train $(FLAGS) $(ARGS)

predict: setup ## label INPUT=<picture, folder or video> with the newest model
	@$(PIPELINE) predict $(FLAGS) $(if $(INPUT),--input "$(INPUT)") $(ARGS)

evaluate: setup ## judge the newest model on val and test, or on DATA=<folder of labels>
	@$(PIPELINE) evaluate $(FLAGS) $(if $(DATA),--data "$(DATA)") $(ARGS)

export: setup ## the newest model as ONNX and torch.export program
	@$(PIPELINE) export $(FLAGS) $(ARGS)

serve: setup ## a page on this machine to try the newest model
	@$(PIPELINE) serve $(FLAGS) $(ARGS)

report: setup ## one page, processed/report.html: what was kept, dropped and why, likely mistakes, the model
	@$(PIPELINE) report $(FLAGS) $(ARGS)

leaks: setup ## copies that cross train/val/test or labels in FOLDER=<any data set>
	@$(PIPELINE) check "$(FOLDER)" $(FLAGS) $(ARGS)

review: setup ## a page to go through pictures with the keyboard: keep, drop, relabel, set a crop
	@$(PIPELINE) review $(FLAGS) $(ARGS)

sheet: setup ## contact sheet of the data set, a row for each label
	@$(PIPELINE) sheet $(FLAGS) $(ARGS)

status: setup ## table of stages: in, kept, rejected by reason, error, up to date
	@$(PIPELINE) status $(FLAGS) $(ARGS)

sample-data: setup ## a small synthetic labelled set in demo/raw
	@$(PIPELINE) sample-data $(ARGS)

demo: setup ## the whole job on that set, in demo/
	@$(PIPELINE) sample-data
	@$(PIPELINE) train $(DEMO)
	@$(PIPELINE) sheet $(DEMO)
	@$(PIPELINE) status $(DEMO)

tensorboard: setup ## look at the runs' curves in a browser
	@.venv/bin/tensorboard --logdir $(or $(PROCESSED),processed)/runs

reset: setup ## empty processed/ after asking; raw/ is never touched
	@$(PIPELINE) reset $(FLAGS) $(ARGS)

test: setup .venv/ready-dev ## all tests
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

test-long: setup .venv/ready-dev ## the slow ones too: more kills, ten thousand spoilt files
	@.venv/bin/python -m pytest -m long $(ARGS)

bench: setup ## preparing photographs: the published scripts against the pipeline
	@.venv/bin/python bench/prepare.py $(ARGS)

bench-video: setup ## frames a second and right labels on the demo's video (after make demo)
	@.venv/bin/python bench/video.py --model demo/processed/runs/default --video demo/video.mp4 $(ARGS)

bench-serve: setup ## requests a second and memory of the server (after make demo)
	@.venv/bin/python bench/serve.py --model demo/processed/runs/default $(ARGS)

bench-train: setup ## this trainer against the published loop, same crops, same machine
	@.venv/bin/python bench/train.py $(ARGS)

check: setup .venv/ready-dev ## format, lint, types
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy

$(READY): pyproject.toml constraints.txt setup.py $(wildcard stages/face/*.c) pipeline/dlib-bin.txt
	@sh pipeline/prerequisites.sh "$(PYTHON)"
	@mkdir -p raw processed
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@.venv/bin/python -m pipeline.install --dlib $(DLIB)
	@rm -f .venv/ready*
	@touch $@

.venv/ready-dev: $(READY) # what tests and linters need beside that
	@.venv/bin/python -m pipeline.install --dlib $(DLIB) dev ray
	@touch $@

$(MODELS) &: | $(READY)
	@$(PIPELINE) face-models
