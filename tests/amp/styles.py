# SPDX-License-Identifier: BSD-3-Clause
"""Prints the overlay of the tree "styles": a simulated controller, and a link over it, for each
compatible of the table of mailbox controllers that the simulator can play.

It cannot play controllers with a device for each direction, with more than two cells, and with
sub-nodes per channel. All of them have one interrupt for all their life, and no request of a
channel uses anything up, as in tegra_hsp_db_xlate() and sti_mbox_xlate(). The table's style says
what the simulator does: so a row that the module reads otherwise than rslctl makes a link that
does not work. tests/guest/test_mailbox_styles.py is the test.
"""

from __future__ import annotations

from collections.abc import Iterator

from rslctl.devicetree.mailbox_styles import CONTROLLERS, Style

#: Channels for kicks and for notifications by type: of an i.MX MU, and of all others.
MU = "fsl,imx"
VECTORS = 8

HEAD = """/dts-v1/;
/plugin/;

&{/} {
	#address-cells = <2>;
	#size-cells = <2>;
"""

CONTROLLER = """
	{label}: sim-{name} {{
		compatible = "{name}", "rsl,mbox-sim";
		interrupt-controller;
		#interrupt-cells = <1>;
		interrupts-extended = <&{label} 0>;
		#mbox-cells = <{cells}>;
		channels = <16>;
		payload = "{payload}";
		tx-done = "{done}";
		no-sync;{more}
	}};

	link-{name} {{
		compatible = "rsl,mbox-client";
		label = "{name}";
		mboxes = <&{label} {tx}>, <&{label} {rx}>;
		mbox-names = "tx", "rx";{vectors}
	}};
"""


def playable() -> Iterator[tuple[str, Style, bool]]:
    """The compatibles that the simulator can play, their style, and whether it is an MU."""
    for name, controller in CONTROLLERS.items():
        style = controller.styles.get(0)
        if style is None or style.refused:
            continue
        if name.startswith(MU):
            yield name, style, True
        elif style.way in ("both", "one direction") and (
            len(controller.styles) == 1 or name.startswith("ti,")
        ):
            yield name, style, False


def overlay() -> str:
    """The overlay in source form."""
    text = HEAD
    for number, (name, style, mu) in enumerate(playable()):
        done = style.tx_done
        if done == "controller":
            done = "poll" if style.polls else "irq"
        elif style.polls:
            done = "poll"
        several = style.payload != "none" and style.tx_done == "controller"
        text += CONTROLLER.format(
            label=f"s{number}",
            name=name,
            cells=2 if mu else 1,
            payload=style.payload,
            done=done,
            more="\n\t\trx-ack;" if style.rx_ack else "",
            tx="0 0" if mu else "0",
            rx="1 0" if mu else "4",
            vectors=f"\n\t\trsl,vectors = <{VECTORS}>;" if several else "",
        )
    return f"{text}}};\n"


if __name__ == "__main__":
    print(overlay(), end="")
