"""One adaptor a method; see :mod:`tests.goldens.adaptor`."""
