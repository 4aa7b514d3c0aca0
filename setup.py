"""What pyproject.toml cannot say yet: two modules are C."""

from setuptools import Extension, setup

FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-Wno-psabi"]

# Without them OpenCV searches and dlib looks: the same faces and points, later.
setup(
    ext_modules=[
        Extension(
            f"stages.face.{name}",
            [f"stages/face/{name}.c"],
            extra_compile_args=FLAGS,
            optional=True,
        )
        for name in ("haar_scan", "landmark_trees")
    ]
)
