# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl run``."""

from __future__ import annotations

import os
import sys

from rslctl.cli.machine import ROOT, host
from rslctl.cli.output import note
from rslctl.daemon import descriptors, execute, legacy, open_file, sim
from rslctl.errors import RslError, UsageError
from rslctl.profile import reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import (
        CleanEnvOption,
        CommandArgument,
        DryRunOption,
        EventfdOption,
        GroupOption,
        GroupsOption,
        LegacyOption,
        LinkOption,
        OnceReadyOption,
        OpenOption,
        PlayedBoardOption,
        PlayedRemoteOption,
        RootOption,
        SetenvOption,
        UserOption,
        WithRemoteOption,
    )


def run(
    command: CommandArgument,
    user: UserOption = None,
    group: GroupOption = None,
    groups: GroupsOption = None,
    eventfd: EventfdOption = False,
    clean_env: CleanEnvOption = False,
    setenv: SetenvOption = None,
    open_files: OpenOption = None,
    board: PlayedBoardOption = None,
    remote: PlayedRemoteOption = None,
    once_ready: OnceReadyOption = False,
    with_remote: WithRemoteOption = False,
    as_legacy: LegacyOption = False,
    link: LinkOption = None,
    dry_run: DryRunOption = False,
    root: RootOption = ROOT,
) -> None:
    """Become a daemon that has the descriptors of a link.

    "shmem" is there to be mapped; "mbox" to be polled, read and written, or with --eventfd
    "notifyN" and "kickN"; "manifest" tells addresses, sizes and vectors. LISTEN_FDS,
    LISTEN_PID and LISTEN_FDNAMES tell which is which, as systemd does.

    With --board and --remote no hardware is needed: two programs of this machine are
    daemon and remote.

    Example: rslctl run --user nobody -- /usr/bin/my-daemon --verbose

    With --open the daemon gets one more thing, which it may not open itself.

    Example: rslctl run --user nobody --open /dev/vhost-vsock:vhost-vsock -- my-daemon

    Example: rslctl run --board sim --remote ./my-remote -- ./my-daemon

    Example: rslctl run --legacy -- lkvm run --rsld --pmm --shmem-addr {shmem_addr} ...
    """
    machine = host(root)
    who = _user(user, group, groups)
    env = execute.environment(os.environ, who, clean=clean_env, more=setenv or [])
    wanted = open_file.parse(open_files or [])
    _check(
        board,
        remote,
        played=once_ready or with_remote,
        legacy=as_legacy,
        passed=eventfd or bool(wanted),
    )
    if board is not None and remote is not None:
        profile = reader.load(board, machine)
        chosen = profile.link(link)
        other = sim.words(remote)
        if dry_run:
            print(f"{chosen.name}: would play it between {command[0]} and {other[0]}")
            return
        with open_file.opened(wanted) as more:
            status = sim.run(
                profile,
                chosen,
                sim.Program(command, env, who, more),
                sim.Program(other, dict(env), who),
                once_ready=once_ready,
                with_remote=with_remote,
                note=note,
            )
        sys.exit(status)
    source = descriptors.Source(machine, link, eventfds=eventfd)
    command = legacy.fill_in(machine, command, source.device) if as_legacy else command
    program = execute.find_program(command)
    if as_legacy and legacy.needs_home(env, who, setenv or []):
        env["HOME"] = legacy.HOME
    if dry_run:
        as_whom = f"user {who.name} without capabilities" if who else "the calling user"
        print(f"{source.device.name}: would execute {program} as {as_whom}")
        for each in wanted:
            print(f"{source.device.name}: would open {each.path} as {each.name}")
        for line in legacy.describe(machine, source.device, command, env) if as_legacy else []:
            print(f"{source.device.name}: {line}")
    elif not machine.live:
        raise RslError(
            f"the daemon would run on this machine, not on '{machine.root}'",
            hint="leave out --root, or add --dry-run",
        )
    elif as_legacy:
        legacy.enter(machine, source.device, who, env)
        execute.become(command, None, who, env)
    else:
        with source() as offered, open_file.opened(wanted) as more:
            offered.seal()
            execute.become(command, offered, who, env, more=more)


def _check(
    board: str | None, remote: str | None, *, played: bool, legacy: bool, passed: bool
) -> None:
    """Check that the options can be used together."""
    if (board is None) != (remote is None):
        raise UsageError(
            "--board and --remote go together: they play a link without hardware",
            hint="as --board sim --remote ./my-remote; the link of a board that is set up "
            "needs neither",
        )
    if played and remote is None:
        raise UsageError("--once-ready and --with-remote go with --remote")
    if legacy and (passed or remote is not None):
        raise UsageError("--legacy passes no descriptors, and shows a link of real hardware")


def _user(user: str | None, group: str | None, groups: str | None) -> execute.User | None:
    if user is None:
        if group is not None or groups is not None:
            raise UsageError("--group and --groups go with --user")
        return None
    more = None if groups is None else [each for each in groups.split(",") if each]
    return execute.user(user, group, more)
