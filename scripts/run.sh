#!/usr/bin/env bash
# make run: from nothing to the open app. Without a display, the same UI in a browser.
source "$(dirname "$0")/lib.sh"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then shell=app; else shell=cli; fi
if [ "$shell" = app ]; then stage setup scripts/setup.sh base desktop; else stage setup scripts/setup.sh base; fi
stage ui scripts/build.sh ui
stage build scripts/build.sh cli $([ "$shell" = app ] && echo app)
stage docker scripts/docker.sh up
stage images target/debug/forge images prepare
echo
if [ "$shell" = app ]; then
  exec target/debug/frostgate-forge "$@"
fi
say "There is no display here, so the UI is served for a browser instead:"
exec target/debug/forge serve "$@"
