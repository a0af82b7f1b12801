"""What a forked process has left of its parent's threads: none, though their pool looks as if it had them all."""

from __future__ import annotations

import logging
import os

import torch

#: Threads that the parent had, until it has been said that this process has one.
_n_lost = 0


def _keep_to_one_thread() -> None:
    global _n_lost
    _n_lost = torch.get_num_threads()
    torch.set_num_threads(1)


def say_that_threads_were_lost() -> None:
    """Say so once in a process that was forked from one with more threads."""
    global _n_lost
    if _n_lost > 1:
        logging.getLogger("wlsc").warning(
            "wlsc runs on one thread in a forked process, where it had %d: the threads of torch do not survive a fork; "
            'start processes by "spawn" or "forkserver" to keep them',
            _n_lost,
        )
    _n_lost = 0


# At the fork itself: the first product of the child that waits for a thread of its parent's would never return.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_to_one_thread)
