# Thin front doors; the commands themselves are what is documented.

.PHONY: infbench smoke test lint

infbench:  ## the whole sweep: make infbench ARGS="--size full --out results"
	kvtui bench $(ARGS)

smoke:  ## a few rows of every group
	kvtui bench --size fast $(ARGS)

test:
	pytest $(ARGS)

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
