"""`enqueue.py MODULE KIND JOBS`: prints the seconds it took to enqueue them the fastest way the
peer documents."""

import importlib
import sys

module, kind, jobs = sys.argv[1:]
print(importlib.import_module(module).enqueue(kind, int(jobs)))
