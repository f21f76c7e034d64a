"""What holds for all tests."""

import signal

from hypothesis import settings

settings.register_profile("restorekit", deadline=None)  # a busy machine is no error
settings.load_profile("restorekit")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a script's background; children would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)
