// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of mailbox controllers: what each expects of its client.
 *
 * Controllers differ in the form of a message, in who reports that it was sent, and in
 * whether the client has to acknowledge a received message. The framework does not
 * tell the client. So this table does. tools/rslctl/devicetree/mailbox_styles.py has
 * the same rows (tests/unit/devicetree/test_mailbox_styles.py).
 *
 * The rows are from the drivers in drivers/mailbox/ of Linux 6.12. Drivers that are not in
 * 6.12 are marked. The comment of a driver says
 *
 *	sent		what the driver's send_data() does with the message
 *	done		how the driver reports that the message was sent
 *	closed		whether shutdown() waits for the interrupt handler
 *	refuses		when send_data() returns an error to a link, if it does
 *
 * A row with a reason instead of a style is refused. A driver that waits, or writes to
 * the log, in send_data() is refused: the framework calls send_data() with interrupts
 * off, and a process can make it do so at any rate.
 *
 * Some controllers are polled without a pause: the driver leaves txpoll_period 0. Then a
 * remote that does not take a message costs a whole CPU. So the client reports there.
 *
 * Left out are controllers of which the only remote is firmware of the vendor:
 * apm,xgene-slimpro-mbox, google,gs101-mbox, marvell,armada-3700-rwtm-mailbox,
 * mediatek,mt8196-gpueb-mbox, mediatek,mt8196-vcp-mbox, microchip,mpfs-mailbox,
 * riscv,rpmi-mpxy-*, qcom,*-apcs-*, qcom,*-apss-shared, qcom,x1e80100-cpucp-mbox and
 * ACPI's PCC.
 */
#include <linux/amba/bus.h>
#include <linux/bits.h>
#include <linux/device.h>
#include <linux/iopoll.h>
#include <linux/kernel.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/string.h>

#include "rsl_mbox.h"
#include "mailbox_styles.h"

const char * const mailbox_payload_names[] = {
	[PAYLOAD_NONE] = "none",
	[PAYLOAD_U32_POINTER] = "u32-pointer",
	[PAYLOAD_U32_VALUE] = "u32-value",
	[PAYLOAD_ZYNQMP] = "zynqmp",
	[PAYLOAD_BUFFER] = "buffer",
	NULL
};

const char * const mailbox_tx_done_names[] = {
	[TX_DONE_CONTROLLER] = "controller",
	[TX_DONE_CLIENT] = "client",
	NULL
};

const char * const mailbox_way_names[] = {
	[BOTH_WAYS] = "both",
	[ONLY_KICKS] = "kicks",
	[ONLY_NOTIFICATIONS] = "notifications",
	[ONE_WAY] = "one direction",
	NULL
};

/**
 * struct mailbox_row - what channels of one type expect
 * @type: the type, as the controller's type() returns it; 0 if it has none
 * @refused: why a link cannot use the channel, and what to use instead; NULL if it can
 * @style: what the channels expect
 */
struct mailbox_row {
	u32 type;
	const char *refused;
	struct mailbox_style style;
};

/**
 * struct mailbox_known - a compatible of the table
 * @compatible: compatible as the controller's driver has it
 * @driver: name of the driver if it is of the AMBA bus, whose drivers have no
 *	compatibles; NULL for a platform driver
 * @type: returns the type of a channel, from its specifier @args and from the
 *	controller's node @np; NULL if all channels are of one type
 * @rows: the rows of the driver
 * @count: number of elements of @rows
 */
struct mailbox_known {
	const char *compatible;
	const char *driver;
	u32 (*type)(const struct device_node *np, const struct of_phandle_args *args);
	const struct mailbox_row *rows;
	size_t count;
};

/* In a type: the channel is for kicks. For types that differ by direction. */
#define TYPE_KICKS	0x80000000

/* How long the lock of a controller's device is tried, and how long after one another. */
#define MAILBOX_LOCK_US		(100 * USEC_PER_MSEC)
#define MAILBOX_LOCK_EACH_US	(10 * USEC_PER_MSEC)

/*
 * zynqmp-ipi-mailbox.c; the type is the cell
 * sent: zynqmp_ipi_send_data() copies struct zynqmp_ipi_message to the buffers, and calls
 *	the firmware. On Versal a remote may have no buffers.
 * done: by polls every 5 ms, zynqmp_ipi_last_tx_done(). A link does not wait for them
 * closed: zynqmp_ipi_shutdown() does not wait; the interrupt is in the parent's node
 *
 * The interrupt stays masked until the acknowledgment. zynqmp_ipi_probe() takes an
 * interrupt of each core (SGI) by itself, where the first cell of "interrupts" is 2. It
 * cannot be held off.
 */
static const struct mailbox_row zynqmp_ipi[] = {
	{ 0, NULL, { PAYLOAD_ZYNQMP, TX_DONE_CLIENT, ONLY_KICKS, .rx_ack = true,
		     .hold_irq = true, .polls = true } },
	{ 1, NULL, { PAYLOAD_ZYNQMP, TX_DONE_CLIENT, ONLY_NOTIFICATIONS, .rx_ack = true,
		     .hold_irq = true, .polls = true } },
};

/*
 * stm32-ipcc.c
 * sent: stm32_ipcc_send_data() sends no data
 * done: by interrupt, stm32_ipcc_tx_irq()
 * closed: stm32_ipcc_shutdown() does not wait
 */
static const struct mailbox_row stm32_ipcc[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, .hold_irq = true } },
};

/*
 * imx-mailbox.c; the type is the first cell
 * sent: imx_mu_generic_tx() reads one word; a doorbell sends no data
 * done: type 0 by interrupt, imx_mu_isr(); type 2 at once, imx_mu_txdb_work()
 * closed: imx_mu_shutdown() waits: free_irq() or cancel_work_sync()
 *
 * When a channel of type 4 is freed, imx_mu_shutdown() resets the unit. On a channel of
 * type 5 imx_mu_generic_tx() polls.
 */
static const struct mailbox_row imx_mu[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONLY_KICKS } },
	{ 1, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS } },
	{ 2, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, ONLY_KICKS } },
	{ 3, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS } },
	{ 4, "channel type 4 resets the unit, use types 0 to 3" },
	{ 5, "channel type 5 waits for the remote with interrupts off, use type 2" },
};

/*
 * imx-mailbox.c: imx_mu_specific_tx(), imx_mu_seco_tx(). They take messages of the
 * firmware's protocol, and wait for the firmware with interrupts off for up to 5 s.
 */
static const struct mailbox_row imx_mu_firmware[] = {
	{ 0, "speaks the protocol of NXP's firmware, use an MU that is the remote's" },
};

/*
 * omap-mailbox.c; the specifier is the phandle of a sub-node, the type is 1 if that has
 * ti,mbox-send-noirq
 * sent: omap_mbox_chan_send_data() takes the pointer for the word
 * done: type 0 by interrupt, __mbox_tx_interrupt(), when the FIFO has room; type 1 not
 * closed: omap_mbox_chan_shutdown() waits: free_irq()
 * refuses: when the FIFO is full. Type 0 then sends by itself when it has room.
 *
 * With ti,mbox-send-noirq the driver takes the word back. The remote gets none.
 */
static const struct mailbox_row omap_mailbox[] = {
	{ 0, NULL, { PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER } },
	{ 1, NULL, { PAYLOAD_U32_VALUE, TX_DONE_CLIENT } },
};

static u32 omap_mailbox_type(const struct device_node *np,
			     const struct of_phandle_args *args)
{
	struct device_node *child;
	bool no_irq;

	child = args->args_count ? of_find_node_by_phandle(args->args[0]) : NULL;
	no_irq = of_property_read_bool(child, "ti,mbox-send-noirq");
	of_node_put(child);
	return no_irq;
}

/*
 * ti-msgmgr.c: ti_msgmgr_send_data() takes a struct ti_msgmgr_message of the firmware's
 * protocol, and polls for the answer with interrupts off.
 */
static const struct mailbox_row ti_msgmgr[] = {
	{ 0, "speaks the protocol of TI's firmware, use a mailbox cluster" },
};

/*
 * arm_mhu.c, platform_mhu.c
 * sent: mhu_send_data() reads one word, and sets its bits in the register
 * done: polled every 1 ms, mhu_last_tx_done(): when the remote has cleared all bits
 * closed: mhu_shutdown() waits: free_irq()
 */
static const struct mailbox_row arm_mhu[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, .polls = true } },
};

/*
 * arm_mhu_db.c
 * sent: mhu_db_send_data() sends no data
 * done: polled every 1 ms, mhu_db_last_tx_done()
 * closed: mhu_db_shutdown() does not wait
 *
 * mhu_db_mbox_rx_handler() does not clear a doorbell without a client, and is called again
 * without end, with a line in the log each time. So the remote has to be stopped first.
 */
static const struct mailbox_row arm_mhu_db[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, .hold_irq = true, .polls = true } },
};

/*
 * arm_mhuv2.c; the type is the protocol of the channel's window: 0 doorbells, 1 data
 * sent: mhuv2_doorbell_send_data() sends no data. mhuv2_data_transfer_send_data() reads a
 *	struct arm_mhuv2_mbox_msg, the first word not 0. For a message of one word it
 *	does not wait, because mhuv2_sender_send_data() has looked.
 * done: by interrupt, mhuv2_sender_interrupt(), or polled every 1 ms without one
 * closed: mhuv2_sender_shutdown() and mhuv2_receiver_shutdown() do not wait
 * refuses: while the remote has not taken the last message
 *
 * mhuv2_sender_interrupt() looks whether the first doorbell of a window has a client, and
 * not whether the doorbell has that was taken. So a link, or somebody else, has to use
 * doorbell 0 of each window. A doorbell that is taken while 0 has no client stays pending
 * in the driver, which then reports it, with its lock held, to the next client. So the
 * remote has to take all kicks before a link is unbound.
 */
static const struct mailbox_row arm_mhuv2_tx[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, ONLY_KICKS, .hold_irq = true,
		     .refuses = true } },
	{ 1, NULL, { PAYLOAD_BUFFER, TX_DONE_CONTROLLER, ONLY_KICKS, .hold_irq = true,
		     .refuses = true } },
};

static const struct mailbox_row arm_mhuv2_rx[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS,
		     .hold_irq = true } },
	{ 1, NULL, { PAYLOAD_BUFFER, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS,
		     .hold_irq = true } },
};

/*
 * As mhuv2_mbox_of_xlate(): "arm,mhuv2-protocols" has pairs of a protocol and a number of
 * windows. All windows of a pair for data are one channel.
 */
static u32 arm_mhuv2_type(const struct device_node *np, const struct of_phandle_args *args)
{
	u32 left = args->args_count ? args->args[0] : 0;
	u32 protocol, channels;
	int n;

	for (n = 0; !of_property_read_u32_index(np, "arm,mhuv2-protocols", n, &protocol); n += 2) {
		if (of_property_read_u32_index(np, "arm,mhuv2-protocols", n + 1, &channels))
			break;
		if (protocol)
			channels = 1;
		if (left < channels)
			return protocol;
		left -= channels;
	}
	return 0;
}

/*
 * arm_mhuv3.c; the type is the first cell, the extension
 * sent: mhuv3_doorbell_send_data() sends no data
 * done: by interrupt, mhuv3_pbx_comb_interrupt(), or polled every 1 ms without one
 * closed: mhuv3_sender_shutdown() and mhuv3_receiver_shutdown() do not wait
 * refuses: while the remote has not taken the last doorbell
 *
 * A channel has the direction of its frame: mhuv3_receiver_send_data() writes to the log.
 *
 * mhuv3_mbox_of_xlate() follows a NULL pointer for the extensions that the driver lacks.
 * mhuv3_doorbell_tx_shutdown() ends the reports for all doorbells of a channel, and does
 * not clear those that come later. So a link has a channel for itself, and the remote has
 * to take all kicks before a link is unbound.
 */
static const struct mailbox_row arm_mhuv3[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CONTROLLER, ONE_WAY, .hold_irq = true,
		     .refuses = true } },
	{ 1, "the driver has no channel type 1, use type 0" },
	{ 2, "the driver has no channel type 2, use type 0" },
};

/*
 * tegra-hsp.c; the type is the first cell, with TYPE_KICKS if the second cell has
 * TEGRA_HSP_SM_FLAG_TX
 * sent: tegra_hsp_doorbell_send_data() sends no data. tegra_hsp_sm_send32() takes the
 *	pointer for the word, and sets its bit 31. tegra_hsp_sm_send128() reads 4 words.
 * done: a doorbell not; a mailbox by interrupt, tegra_hsp_shared_irq()
 * closed: tegra_hsp_doorbell_shutdown() and tegra_hsp_mailbox_shutdown() do not wait
 *
 * tegra_hsp_doorbell_irq() calls the client with the driver's lock held.
 * tegra_hsp_db_xlate() uses up one of 32 channels for each request of a doorbell.
 */
static const struct mailbox_row tegra_hsp[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CLIENT, .hold_irq = true, .rx_locked = true,
		     .used_up = true } },
	{ 0x1, NULL, { PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS,
		       .hold_irq = true } },
	{ 0x1 | TYPE_KICKS, NULL, { PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER, ONLY_KICKS,
				    .hold_irq = true } },
	{ 0x101, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS,
			 .hold_irq = true } },
	{ 0x101 | TYPE_KICKS, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONLY_KICKS,
				      .hold_irq = true } },
};

static u32 tegra_hsp_type(const struct device_node *np, const struct of_phandle_args *args)
{
	if (args->args_count != 2 || !args->args[0])
		return 0;
	return args->args[0] | (args->args[1] & TYPE_KICKS);
}

/*
 * mailbox-th1520.c (newer)
 * sent: th1520_mbox_send_data() reads 7 words, the first not 0
 * done: by interrupt, th1520_mbox_isr()
 * closed: th1520_mbox_shutdown() waits: free_irq()
 */
static const struct mailbox_row th1520[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER } },
};

/*
 * mailbox-mchp-ipc-sbi.c (newer)
 * sent: mchp_ipc_send_data() copies the words of a struct mchp_ipc_msg
 * done: by interrupt, mchp_ipc_cluster_aggr_isr()
 * closed: mchp_ipc_shutdown() does not wait
 * refuses: when the SBI call fails
 *
 * mchp_ipc_shutdown() frees the buffers, and mchp_ipc_cluster_aggr_isr() uses them for what
 * the remote sends later. So the remote has to be stopped before a link is unbound.
 */
static const struct mailbox_row mchp_ipc[] = {
	{ 0, NULL, { PAYLOAD_BUFFER, TX_DONE_CONTROLLER, .hold_irq = true } },
};

/*
 * cv1800-mailbox.c (newer)
 * sent: cv1800_mbox_send_data() copies 2 words
 * done: polled without a pause, cv1800_last_tx_done(), so by the client
 * closed: there is no shutdown(), so it does not wait
 */
static const struct mailbox_row cv1800[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CLIENT, .hold_irq = true } },
};

/*
 * sprd-mailbox.c
 * sent: sprd_mbox_send_data() reads 2 words
 * done: by interrupt, sprd_mbox_inbox_isr()
 * closed: sprd_mbox_shutdown() does not wait
 */
static const struct mailbox_row sprd[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, .hold_irq = true } },
};

/*
 * rockchip-mailbox.c: probe says that an interrupt reports a sent message, and no
 * handler does. rockchip_mbox_isr() takes only answers; it writes to the log for others.
 */
static const struct mailbox_row rockchip[] = {
	{ 0, "the driver never reports that a message was sent, use rsl,mbox-doorbell" },
};

/*
 * cix-mailbox.c (newer); the type is the channel, 0 for all of 0 to 7, with
 * TYPE_KICKS if the node has cix,mbox-dir = "tx"
 * sent: cix_mbox_send_data_db() sends no data; cix_mbox_send_data_fast() reads one word;
 *	cix_mbox_send_data_fifo() and cix_mbox_send_data_reg() read the number of bytes
 *	that the first word says
 * done: not for the channels 0 to 8
 * closed: cix_mbox_shutdown() waits: free_irq()
 *
 * The framework waits for the interrupt of channels 0 to 7, which does not come.
 */
static const struct mailbox_row cix[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONLY_NOTIFICATIONS } },
	{ 8, NULL, { PAYLOAD_NONE, TX_DONE_CLIENT, ONLY_NOTIFICATIONS } },
	{ 9, "messages of channel 9 begin with their length, use channel 8" },
	{ 10, "messages of channel 10 begin with their length, use channel 8" },
	{ 0 | TYPE_KICKS, "the driver never reports that channels 0 to 7 sent, use channel 8" },
	{ 8 | TYPE_KICKS, NULL, { PAYLOAD_NONE, TX_DONE_CLIENT, ONLY_KICKS } },
	{ 9 | TYPE_KICKS, "messages of channel 9 begin with their length, use channel 8" },
	{ 10 | TYPE_KICKS, "messages of channel 10 begin with their length, use channel 8" },
};

static u32 cix_type(const struct device_node *np, const struct of_phandle_args *args)
{
	u32 channel = args->args_count && args->args[0] > 7 ? args->args[0] : 0;

	if (of_property_match_string(np, "cix,mbox-dir", "tx") == 0)
		channel |= TYPE_KICKS;
	return channel;
}

/*
 * axiado-mailbox.c (newer): axiado_mbox_send_data() reads the number of bytes that
 * the first word says.
 */
static const struct mailbox_row axiado[] = {
	{ 0, "messages begin with their length, use rsl,mbox-doorbell" },
};

/*
 * qcom-ipcc.c
 * sent: qcom_ipcc_mbox_send_data() sends no data
 * done: not
 * closed: the driver never calls the client
 *
 * A client gets notifications as interrupts of the controller's irq_chip.
 */
static const struct mailbox_row qcom_ipcc[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CLIENT, ONLY_KICKS } },
};

/*
 * mtk-adsp-mailbox.c
 * sent: mtk_adsp_mbox_send_data() reads one word, not 0; a received message has none
 * done: polled without a pause, mtk_adsp_mbox_last_tx_done(), so by the client
 * closed: mtk_adsp_mbox_shutdown() waits: disable_irq()
 */
static const struct mailbox_row mtk_adsp[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CLIENT } },
};

/* mtk-cmdq-mailbox.c: cmdq_mbox_send_data() takes a struct cmdq_pkt. */
static const struct mailbox_row mtk_cmdq[] = {
	{ 0, "takes command packets of the GCE, which is no remote" },
};

/*
 * bcm2835-mailbox.c
 * sent: bcm2835_send_data() reads one word
 * done: polled every 5 ms, bcm2835_last_tx_done(): when the FIFO has room
 * closed: bcm2835_shutdown() does not wait
 */
static const struct mailbox_row bcm2835[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, .hold_irq = true,
		     .polls = true } },
};

/* bcm-pdc-mailbox.c, bcm-flexrm-mailbox.c: they take a struct brcm_message. */
static const struct mailbox_row bcm_dma[] = {
	{ 0, "takes descriptors of a DMA engine, which is no remote" },
};

/* bcm74110-mailbox.c (newer): bcm74110_mbox_tx_msg() writes to the log when full. */
static const struct mailbox_row bcm74110[] = {
	{ 0, "the driver writes to the log when the remote is slow, use rsl,mbox-doorbell" },
};

/*
 * sun6i-msgbox.c
 * sent: sun6i_msgbox_send_data() reads one word
 * done: polled every 5 ms, sun6i_msgbox_last_tx_done(): when the remote has read all
 * closed: sun6i_msgbox_shutdown() does not wait
 *
 * A channel has one direction: sun6i_msgbox_send_data() warns on one that receives.
 */
static const struct mailbox_row sun6i[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONE_WAY, .hold_irq = true,
		     .polls = true } },
};

/*
 * mailbox-sti.c
 * sent: sti_mbox_send_data() sends no data
 * done: polled every 100 ms, sti_mbox_tx_is_ready(). A link does not wait for that
 * closed: sti_mbox_shutdown_chan() does not wait
 *
 * sti_mbox_xlate() allocates memory for each request, until the controller is unbound.
 */
static const struct mailbox_row sti[] = {
	{ 0, NULL, { PAYLOAD_NONE, TX_DONE_CLIENT, .hold_irq = true, .used_up = true } },
};

/*
 * mailbox-altera.c
 * sent: altera_mbox_send_data() reads 2 words
 * done: by interrupt, altera_mbox_tx_interrupt(), or polled every 5 ms without one: when
 *	the register has room
 * closed: altera_mbox_shutdown() waits: free_irq() or del_timer_sync()
 * refuses: when the register is full
 *
 * A mailbox has one direction: altera_mbox_send_data() warns on one that receives.
 */
static const struct mailbox_row altera[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONE_WAY, .refuses = true } },
};

/*
 * hi6220-mailbox.c
 * sent: hi6220_mbox_send_data() reads 8 words
 * done: by interrupt, hi6220_mbox_interrupt(), or polled every 5 ms with
 *	hi6220,mbox-tx-noirq
 * closed: hi6220_mbox_shutdown() does not wait
 *
 * hi6220_mbox_send_data() makes a channel one that only sends, until it is closed.
 */
static const struct mailbox_row hi6220[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, ONE_WAY, .hold_irq = true } },
};

/* hi3660-mailbox.c: hi3660_mbox_check_state() waits up to 300 ms. */
static const struct mailbox_row hi3660[] = {
	{ 0, "the driver waits for the remote with interrupts off, use rsl,mbox-doorbell" },
};

/* ast2700-mailbox.c (newer): ast2700_mbox_send_data() warns. It reads 8 words. */
static const struct mailbox_row ast2700[] = {
	{ 0, "the driver writes to the log when the remote is slow, use rsl,mbox-doorbell" },
};

/*
 * apple-mailbox.c of Linux 6.1
 * sent: apple_mbox_chan_send_data() reads a struct apple_mbox_msg, 3 words
 * done: by interrupt, apple_mbox_send_empty_irq()
 * closed: apple_mbox_chan_shutdown() waits for the handler that receives, not for that
 *	which reports
 * refuses: when the FIFO is full
 */
static const struct mailbox_row apple[] = {
	{ 0, NULL, { PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, .hold_irq = true } },
};

static u32 first_cell(const struct device_node *np, const struct of_phandle_args *args)
{
	return args->args_count ? args->args[0] : 0;
}

static const struct mailbox_known mailbox_known[] = {
	{ "xlnx,zynqmp-ipi-mailbox", NULL, first_cell, zynqmp_ipi, ARRAY_SIZE(zynqmp_ipi) },
	{ "xlnx,versal-ipi-mailbox", NULL, first_cell, zynqmp_ipi, ARRAY_SIZE(zynqmp_ipi) },
	{ "st,stm32mp1-ipcc", NULL, NULL, stm32_ipcc, ARRAY_SIZE(stm32_ipcc) },
	{ "fsl,imx6sx-mu", NULL, first_cell, imx_mu, ARRAY_SIZE(imx_mu) },
	{ "fsl,imx7ulp-mu", NULL, first_cell, imx_mu, ARRAY_SIZE(imx_mu) },
	{ "fsl,imx8ulp-mu", NULL, first_cell, imx_mu, ARRAY_SIZE(imx_mu) },
	{ "fsl,imx95-mu", NULL, first_cell, imx_mu, ARRAY_SIZE(imx_mu) },
	{ "fsl,imx8ulp-mu-s4", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "fsl,imx93-mu-s4", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "fsl,imx95-mu-ele", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "fsl,imx95-mu-v2x", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "fsl,imx8-mu-scu", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "fsl,imx8-mu-seco", NULL, NULL, imx_mu_firmware, ARRAY_SIZE(imx_mu_firmware) },
	{ "ti,omap2-mailbox", NULL, omap_mailbox_type, omap_mailbox, ARRAY_SIZE(omap_mailbox) },
	{ "ti,omap3-mailbox", NULL, omap_mailbox_type, omap_mailbox, ARRAY_SIZE(omap_mailbox) },
	{ "ti,omap4-mailbox", NULL, omap_mailbox_type, omap_mailbox, ARRAY_SIZE(omap_mailbox) },
	{ "ti,am654-mailbox", NULL, omap_mailbox_type, omap_mailbox, ARRAY_SIZE(omap_mailbox) },
	{ "ti,am64-mailbox", NULL, omap_mailbox_type, omap_mailbox, ARRAY_SIZE(omap_mailbox) },
	{ "ti,k2g-message-manager", NULL, NULL, ti_msgmgr, ARRAY_SIZE(ti_msgmgr) },
	{ "ti,am654-secure-proxy", NULL, NULL, ti_msgmgr, ARRAY_SIZE(ti_msgmgr) },
	{ "arm,mhu", "mhu", NULL, arm_mhu, ARRAY_SIZE(arm_mhu) },
	{ "amlogic,meson-gxbb-mhu", NULL, NULL, arm_mhu, ARRAY_SIZE(arm_mhu) },
	{ "arm,mhu-doorbell", "mhu-doorbell", NULL, arm_mhu_db, ARRAY_SIZE(arm_mhu_db) },
	{ "arm,mhuv2-tx", "arm-mhuv2", arm_mhuv2_type, arm_mhuv2_tx, ARRAY_SIZE(arm_mhuv2_tx) },
	{ "arm,mhuv2-rx", "arm-mhuv2", arm_mhuv2_type, arm_mhuv2_rx, ARRAY_SIZE(arm_mhuv2_rx) },
	{ "arm,mhuv3", NULL, first_cell, arm_mhuv3, ARRAY_SIZE(arm_mhuv3) },
	{ "nvidia,tegra186-hsp", NULL, tegra_hsp_type, tegra_hsp, ARRAY_SIZE(tegra_hsp) },
	{ "nvidia,tegra194-hsp", NULL, tegra_hsp_type, tegra_hsp, ARRAY_SIZE(tegra_hsp) },
	{ "nvidia,tegra234-hsp", NULL, tegra_hsp_type, tegra_hsp, ARRAY_SIZE(tegra_hsp) },
	{ "nvidia,tegra264-hsp", NULL, tegra_hsp_type, tegra_hsp, ARRAY_SIZE(tegra_hsp) },
	{ "thead,th1520-mbox", NULL, NULL, th1520, ARRAY_SIZE(th1520) },
	{ "microchip,sbi-ipc", NULL, NULL, mchp_ipc, ARRAY_SIZE(mchp_ipc) },
	{ "sophgo,cv1800b-mailbox", NULL, NULL, cv1800, ARRAY_SIZE(cv1800) },
	{ "sprd,sc9860-mailbox", NULL, NULL, sprd, ARRAY_SIZE(sprd) },
	{ "sprd,sc9863a-mailbox", NULL, NULL, sprd, ARRAY_SIZE(sprd) },
	{ "sprd,ums9230-mailbox", NULL, NULL, sprd, ARRAY_SIZE(sprd) },
	{ "rockchip,rk3368-mailbox", NULL, NULL, rockchip, ARRAY_SIZE(rockchip) },
	{ "cix,sky1-mbox", NULL, cix_type, cix, ARRAY_SIZE(cix) },
	{ "axiado,ax3005-mailbox", NULL, NULL, axiado, ARRAY_SIZE(axiado) },
	{ "qcom,ipcc", NULL, NULL, qcom_ipcc, ARRAY_SIZE(qcom_ipcc) },
	{ "mediatek,mt8186-adsp-mbox", NULL, NULL, mtk_adsp, ARRAY_SIZE(mtk_adsp) },
	{ "mediatek,mt8195-adsp-mbox", NULL, NULL, mtk_adsp, ARRAY_SIZE(mtk_adsp) },
	{ "mediatek,mt6779-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8173-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8183-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8186-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8188-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8192-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "mediatek,mt8195-gce", NULL, NULL, mtk_cmdq, ARRAY_SIZE(mtk_cmdq) },
	{ "brcm,bcm2835-mbox", NULL, NULL, bcm2835, ARRAY_SIZE(bcm2835) },
	{ "brcm,iproc-pdc-mbox", NULL, NULL, bcm_dma, ARRAY_SIZE(bcm_dma) },
	{ "brcm,iproc-fa2-mbox", NULL, NULL, bcm_dma, ARRAY_SIZE(bcm_dma) },
	{ "brcm,iproc-flexrm-mbox", NULL, NULL, bcm_dma, ARRAY_SIZE(bcm_dma) },
	{ "brcm,bcm74110-mbox", NULL, NULL, bcm74110, ARRAY_SIZE(bcm74110) },
	{ "allwinner,sun6i-a31-msgbox", NULL, NULL, sun6i, ARRAY_SIZE(sun6i) },
	{ "st,stih407-mailbox", NULL, NULL, sti, ARRAY_SIZE(sti) },
	{ "altr,mailbox-1.0", NULL, NULL, altera, ARRAY_SIZE(altera) },
	{ "hisilicon,hi6220-mbox", NULL, NULL, hi6220, ARRAY_SIZE(hi6220) },
	{ "hisilicon,hi3660-mbox", NULL, NULL, hi3660, ARRAY_SIZE(hi3660) },
	{ "aspeed,ast2700-mailbox", NULL, NULL, ast2700, ARRAY_SIZE(ast2700) },
	{ "apple,asc-mailbox-v4", NULL, NULL, apple, ARRAY_SIZE(apple) },
	{ "apple,m3-mailbox-v2", NULL, NULL, apple, ARRAY_SIZE(apple) },
};

/**
 * mailbox_controller_get - find the device of a mailbox controller
 * @np: the node that "mboxes" refers to: the device's or, with ZynqMP's driver, a child
 *
 * Return: the device, with a reference; NULL if it does not exist (yet)
 */
struct device *mailbox_controller_get(const struct device_node *np)
{
	struct device *dev;
	unsigned int n;

	for (n = 0; np && n < 2; n++, np = np->parent) {
		dev = bus_find_device_by_of_node(&platform_bus_type, np);
		if (!dev && IS_ENABLED(CONFIG_ARM_AMBA))
			dev = bus_find_device_by_of_node(&amba_bustype, np);
		if (dev)
			return dev;
	}
	return NULL;
}

/*
 * Return the entry of the table for the compatible by which the driver of @dev matched,
 * as the kernel matches: a fallback in the node is no match if another driver is bound.
 */
static const struct mailbox_known *mailbox_lookup(const struct device *dev)
{
	const struct of_device_id *match;
	const struct mailbox_known *known;

	match = of_match_node(dev->driver->of_match_table, dev->of_node);
	for (known = mailbox_known; known < mailbox_known + ARRAY_SIZE(mailbox_known); known++)
		if (match ? !strcmp(match->compatible, known->compatible) :
			    known->driver && !strcmp(dev->driver->name, known->driver) &&
			    of_device_is_compatible(dev->of_node, known->compatible))
			return known;
	return NULL;
}

static int mailbox_known_style(struct device *dev, const struct of_phandle_args *args,
			       const struct device *controller, struct mailbox_style *style)
{
	const struct mailbox_known *known = mailbox_lookup(controller);
	const struct mailbox_row *row;
	u32 type;

	/* A device above the node that is no controller is a bus, and too early. */
	if (!known)
		return controller->of_node == args->np ? -ENOENT : -EPROBE_DEFER;
	type = known->type ? known->type(controller->of_node, args) : 0;
	for (row = known->rows; row < known->rows + known->count; row++) {
		if (row->type != type)
			continue;
		if (row->refused)
			return dev_err_probe(dev, -EINVAL, "%pOF: mboxes: %pOF: %s\n",
					     dev->of_node, args->np, row->refused);
		*style = row->style;
		return 0;
	}
	return dev_err_probe(dev, -EINVAL, "%pOF: mboxes: %pOF: has no channel of type %u\n",
			     dev->of_node, args->np, type & ~TYPE_KICKS);
}

/**
 * mailbox_style_get - find out what a mailbox channel expects of its client
 * @dev: device of the client, for messages
 * @args: specifier of the channel
 * @style: is set if the table has it
 *
 * The controller cannot be unbound before the link is.
 *
 * Return: 0, -EPROBE_DEFER if the controller has no driver yet, -ENOENT if the table
 * does not have the controller, -EINVAL if a link cannot use the channel, which is in the
 * log
 */
int mailbox_style_get(struct device *dev, const struct of_phandle_args *args,
		      struct mailbox_style *style)
{
	struct device *controller = mailbox_controller_get(args->np);
	int ret = -EPROBE_DEFER;
	bool locked;

	/*
	 * The lock keeps the driver. Whoever has it may be the controller's probe, and
	 * wait for this one. Then the driver core probes again.
	 */
	if (controller &&
	    !read_poll_timeout(device_trylock, locked, locked, MAILBOX_LOCK_EACH_US,
			       MAILBOX_LOCK_US, false, controller)) {
		if (controller->driver) {
			ret = mailbox_known_style(dev, args, controller, style);
			/* A parent cannot be linked to. It removes its children itself. */
			if (!ret || ret == -ENOENT)
				device_link_add(dev, controller, DL_FLAG_AUTOREMOVE_CONSUMER);
		}
		device_unlock(controller);
	}
	put_device(controller);
	if (ret == -EPROBE_DEFER)
		dev_err_probe(dev, ret, "%pOF: mboxes: %pOF has no driver yet\n",
			      dev->of_node, args->np);
	return ret;
}
