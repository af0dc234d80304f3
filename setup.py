"""Names the packages: a wheel has experiments/ as `hybrid_latent.experiments`,
which pyproject.toml cannot say. All else is there."""

from setuptools import find_namespace_packages, find_packages, setup

EXPERIMENTS = 'hybrid_latent.experiments'

setup(
  packages=[
    *find_packages(include=['hybrid_latent*']),
    *find_packages('kernels'),
    EXPERIMENTS,
    *(
      f'{EXPERIMENTS}.{name}'
      for name in find_namespace_packages('experiments', exclude=['results*'])
    ),
  ]
)
