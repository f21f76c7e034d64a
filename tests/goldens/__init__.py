"""Goldens: what the authors' own networks, losses and metrics compute, and the harness that holds ours against it.

``python -m tests.goldens FILE...`` checks golden files; pytest checks those in this folder. A golden names the parameters and
inputs by key and shape, :mod:`tests.goldens.recipe` fills them, an adaptor under ``tests/goldens/adaptors`` (one a method)
answers with our code, and :mod:`tests.goldens.harness` compares.
"""
