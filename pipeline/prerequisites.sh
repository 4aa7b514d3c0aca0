#!/bin/sh
# Checks what must be on the machine before packages can be installed. Names each missing thing and
# the command that installs it on Debian and Ubuntu; other systems have packages of like names.
python=$1
missing=0
need() { echo "missing: $1. Install it:  $2" >&2; missing=1; }

if [ -z "$python" ]; then
    need "Python 3.11 or newer" "apt-get install python3 python3-venv  (or make setup PYTHON=/path/to/python3.12)"
else
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module" "apt-get install python3-venv"
    if [ "$(uname)" = Linux ]; then
        "$python" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || need "libGL, which OpenCV loads" "apt-get install libgl1"
        "$python" -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || need "glib, which OpenCV loads" "apt-get install libglib2.0-0"
    fi
fi
exit $missing
