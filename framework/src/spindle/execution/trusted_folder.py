"""Which folders may hold what is executed: those that only their owner, we or the system, can change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["distrust"]


def distrust(folder: Path) -> str:
    """Why a folder must not hold what will be executed; empty when it may.

    As ssh does with its keys: the folder and each one above it must belong to us or to the system, and nobody else may write
    there. Folders above may be shared ones in which only owners can remove (/tmp). A group that is the user's alone, as many
    systems give everybody, counts as the user.

    Parameters
    ----------
    folder : Path
        Resolved: no part of it is a link.
    """
    if os.name != "posix":
        return ""
    else:
        ours = os.getuid()
        system = {0, os.stat("/").st_uid}  # where identities are mapped, the system's is that of the root folder
        for place in (folder, *folder.parents):
            state = os.lstat(place)
            if not stat.S_ISDIR(state.st_mode):
                return f"{place} is not a folder"
            if state.st_uid not in {ours, *system}:
                return f"{place} belongs to the user {_name(state.st_uid)}"
            is_open = state.st_mode & stat.S_IWOTH or (
                state.st_mode & stat.S_IWGRP and not _is_own_group(state.st_gid, ours)
            )
            if is_open and (place == folder or not state.st_mode & stat.S_ISVTX):
                return f"others may write in {place}"
        return ""


def _name(user: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(user).pw_name
    except (ImportError, KeyError):
        return str(user)


def _is_own_group(number: int, user: int) -> bool:
    """Whether a group is that of a user alone: it has the user's name, is the user's first one and has no other members."""
    try:
        import grp
        import pwd

        owner, group = pwd.getpwuid(user), grp.getgrgid(number)
    except (ImportError, KeyError):
        return False
    return group.gr_name == owner.pw_name and number == owner.pw_gid and set(group.gr_mem) <= {owner.pw_name}
