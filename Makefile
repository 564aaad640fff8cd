# From a fresh clone: `make run` opens the app, `make test` tests everything. Both install what is missing, saying what and why.
.PHONY: run test check bench build release fmt docker-up docker-down chaos fuzz
run:
	@scripts/run.sh
test:
	@scripts/test.sh
check:
	@scripts/test.sh check
bench:
	@scripts/bench.sh
build:
	@scripts/setup.sh base desktop
	@scripts/build.sh ui cli app
release:
	@scripts/setup.sh base desktop
	@PROFILE=release scripts/build.sh ui cli app
chaos:
	@scripts/setup.sh base test
	@scripts/chaos.sh
fuzz:
	@scripts/setup.sh base
	@scripts/fuzz.sh
fmt:
	@cargo fmt --all
docker-up docker-down:
	@scripts/docker.sh $(@:docker-%=%)
