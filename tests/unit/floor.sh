#!/usr/bin/env bash
# Unit tests of hunter, hg_shared and gatherer's guests on the oldest interpreters hunter runs on.
# Interpreters come from PATH or from a pyenv; a missing one is named.
set -u
cd "$(dirname "$0")/../.."
reports=${1:-dist/reports}
status=0
for version in 3.8 3.9; do
  python=$(command -v "python$version" || true)
  if [ -n "$python" ] && ! "$python" -c '' 2>/dev/null; then python=""; fi
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
    [ -n "$python" ] || [ ! -x "$candidate" ] || python=$candidate
  done
  if [ -z "$python" ]; then
    echo "left out: unit tests on CPython $version (none on PATH or in a pyenv)"
    continue
  fi
  venv=.venv/floor-$version
  if [ ! -e "$venv/.installed" ]; then
    "$python" -m venv "$venv" &&
      "$venv/bin/python" -m pip install --quiet 'pytest>=8.3,<9' hypothesis python-ptrace==0.9.9 2>/dev/null &&
      touch "$venv/.installed" || { status=1; continue; }
  fi
  echo "CPython $version:"
  "$venv/bin/python" -m pytest -q -c tests/unit/floor.ini --rootdir . --confcutdir tests \
    --junitxml="$reports/unit-$version.xml" \
    tests/unit/hunter tests/unit/hg_shared tests/unit/gatherer/guest || status=1
done
exit $status
