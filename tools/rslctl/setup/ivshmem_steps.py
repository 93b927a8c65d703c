# SPDX-License-Identifier: BSD-3-Clause
"""The steps of setup that concern a link to another virtual machine."""

from __future__ import annotations

from rslctl.errors import RslError
from rslctl.linux import bus, devices, ivshmem, mbox
from rslctl.linux.host import Host
from rslctl.setup.journal import Journal, UndoPlan, facts
from rslctl.setup.steps import Step, Target, check_could


class RoleTaken(Step):
    """The device of a link to another virtual machine has the link's name and role."""

    name = "role"

    def __init__(self, target: Target, role: str) -> None:
        super().__init__(target)
        self._role = role

    def describe(self) -> str:
        return f"{self.target.node} is link {self.target.link.name} with role {self._role}"

    def _device(self) -> mbox.LinkDevice:
        found = mbox.at(self.host, self.target.node)
        if found is None:
            raise RslError(f"there is no link of {self.target.node}")
        return found

    def _check_free(self, device: mbox.LinkDevice) -> None:
        """Check that the device is not another link's.

        Raises:
            RslError: it is, or it is in use under another name or with the other role.
        """
        name, node = self.target.link.name, self.target.node
        for other in Journal.links(self.host):
            told = facts(self.host, other) if other != name else None
            if told and told.node == node:
                raise RslError(
                    f"{node} is the device of link {other!r}, which is set up",
                    hint=f"rslctl teardown --link {other}; or name another device in the profile",
                )
        role = ivshmem.attribute(self.host, node, "role")
        changed = device.name != name or role in set(ivshmem.ROLES) - {self._role}
        if changed and device.open_files:
            raise RslError(
                f"{node} is in use as link {device.name!r} with role {role!r}: {device.node} is "
                f"open {device.open_files} times",
                hint="stop its daemon first",
            )

    def _state(self) -> tuple[str, str]:
        """The link's name, and its role."""
        role = ivshmem.attribute(self.host, self.target.node, "role")
        return self._device().name, role

    def check(self) -> bool:
        device = mbox.at(self.host, self.target.node)
        if device is None:
            return False  # before the earlier steps were done
        self._check_free(device)
        return self._state() == (self.target.link.name, self._role)

    def plan(self) -> UndoPlan:
        label, role = self._state()
        # A role that setup gave is not given back: another machine may have it by then.
        given = label == self.target.link.name or role == ivshmem.LOST
        before = ivshmem.NONE if given else role
        return {"device": self.target.node, "label": label, "role": before}

    def do(self) -> None:
        name, device = self.target.link.name, self._device()
        for other in mbox.find(self.host):
            if other.name == name and other.device != device.device:
                raise RslError(
                    f"link {name!r} is up already: {other.node}",
                    hint="give the link another name in the profile",
                )
        if device.name != name:
            wait = self.target.timeout
            with devices.changing(self.host, mbox.SUBSYSTEM, device.device, wait):
                mbox.set_name(self.host, device, name)
        ivshmem.set_attribute(self.host, self.target.node, "role", self._role)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        if not isinstance(plan["device"], str) or not bus.is_pci(plan["device"]):
            raise ValueError(f"setup could not give {plan['device']!r} a role")
        check_could("set role", plan["role"], "|".join((*ivshmem.ROLES, ivshmem.NONE)))
        check_could("name a link", plan["label"], r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
        device = mbox.at(host, plan["device"])
        if device is None:
            return False
        role = ivshmem.attribute(host, plan["device"], "role")
        if (device.name, role) == (plan["label"], plan["role"]):
            return False
        ivshmem.set_attribute(host, plan["device"], "role", plan["role"])
        mbox.set_name(host, device, plan["label"])
        return True
