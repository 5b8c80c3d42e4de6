"""What setup.cfg cannot say: the fast path of launchers, in C. Where it cannot be compiled, Hodei is
installed without it. One that is compiled serves Python 3.11 and all later ones."""

from setuptools import Extension, setup

FAST_PATH = "hodei_worker/supervisor/fast_path"

setup(
    ext_modules=[
        Extension(
            FAST_PATH.replace("/", "."), [f"{FAST_PATH}.c"], optional=True, py_limited_api=True
        )
    ]
)
