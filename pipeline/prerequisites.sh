#!/bin/sh
# What must be on the machine before anything can be installed; each missing thing is named with
# the command that installs it (Debian and Ubuntu's; other systems have the same under like names).
python=$1
missing=0
need() { echo "missing: $1. Install it:  $2" >&2; missing=1; }

if [ -z "$python" ]; then
    need "Python 3.11 or newer" "apt-get install python3 python3-venv python3-dev  (or make setup PYTHON=/path/to/python3.12)"
else
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module" "apt-get install python3-venv"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        need "Python's headers (Python.h)" "apt-get install python3-dev"
    if [ "$(uname)" = Linux ]; then
        "$python" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || need "libGL, which OpenCV loads" "apt-get install libgl1"
        "$python" -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || need "glib, which OpenCV loads" "apt-get install libglib2.0-0"
    fi
fi
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    need "a C++ compiler, which builds dlib" "apt-get install g++"
exit $missing
