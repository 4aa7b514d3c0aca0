"""What pyproject.toml cannot say yet: one module is C, for the compiler that dlib needs anyway."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "stages.face.haar_scan",
            ["stages/face/haar_scan.c"],
            extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"],
            optional=True,  # without it OpenCV searches: the same faces, later
        )
    ]
)
