# Thin front doors; the commands themselves are what is documented.

.PHONY: infbench smoke trained-bench test lint

infbench:  ## the whole sweep: make infbench ARGS="--size full --out results"
	kvtui bench $(ARGS)

smoke:  ## a few rows of every group
	kvtui bench --size fast $(ARGS)

trained-bench:  ## the trained models of runs/: make trained-bench ARGS="--runs-dir runs"
	kvtui bench --trained --inference-off $(ARGS)

test:
	pytest $(ARGS)

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
