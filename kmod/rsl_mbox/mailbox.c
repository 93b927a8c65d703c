// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mailbox transport, a client of the kernel's mailbox framework.
 *
 * Controllers differ in the form of a message, in who reports that it was sent, and in
 * whether the client has to acknowledge a received message. The framework does not
 * tell the client. So this file has a table by the controller's compatible.
 * Properties of the link's node override the table.
 *
 * The framework has at most one message per channel at a time. Vectors that are
 * kicked in the meantime wait in a mask. So no queue grows, however long the remote
 * takes.
 *
 * The framework calls tx_done without its own locks held, except from
 * mbox_client_txdone(). This file calls that only for channels without a tx_done.
 *
 * When a channel is freed, its controller need not wait for a callback that runs. The
 * ZynqMP's does not wait. So mailbox_close() clears the pointers to a channel, under
 * kick_lock, before it frees the channel.
 *
 * Where the client reports that messages were sent, the controller may refuse a
 * message, and nothing tells when it would accept one. So the next kick tries again.
 */
#include <linux/ktime.h>
#include <linux/mailbox_client.h>
#include <linux/mailbox_controller.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/mailbox/zynqmp-ipi-message.h>

#include "compat.h"
#include "rsl_mbox.h"

/**
 * enum mailbox_payload - what the controller expects as the message pointer
 * @PAYLOAD_NONE: any pointer; the controller sends no data and does not follow it
 * @PAYLOAD_U32_POINTER: the address of a u32
 * @PAYLOAD_U32_VALUE: the value of a u32, not 0
 * @PAYLOAD_ZYNQMP: the address of a struct zynqmp_ipi_message
 */
enum mailbox_payload {
	PAYLOAD_NONE,
	PAYLOAD_U32_POINTER,
	PAYLOAD_U32_VALUE,
	PAYLOAD_ZYNQMP,
};

static const char * const mailbox_payload_names[] = {
	[PAYLOAD_NONE] = "none",
	[PAYLOAD_U32_POINTER] = "u32-pointer",
	[PAYLOAD_U32_VALUE] = "u32-value",
	[PAYLOAD_ZYNQMP] = "zynqmp",
};

/**
 * enum mailbox_tx_done - who reports that a message was sent
 * @TX_DONE_CONTROLLER: the controller, by interrupt or poll, when the remote has
 *	taken the message
 * @TX_DONE_CLIENT: the client, at once; the hardware coalesces messages
 */
enum mailbox_tx_done {
	TX_DONE_CONTROLLER,
	TX_DONE_CLIENT,
};

static const char * const mailbox_tx_done_names[] = {
	[TX_DONE_CONTROLLER] = "controller",
	[TX_DONE_CLIENT] = "client",
};

/**
 * struct mailbox_style - what a controller expects of its client
 * @compatible: compatible of the controller's node, or of its parent if the channels
 *	are on child nodes; NULL for the default
 * @payload: form of messages in both directions
 * @tx_done: who reports that a message was sent
 * @rx_ack: the client has to acknowledge a received message by a message on the same
 *	channel
 */
struct mailbox_style {
	const char *compatible;
	enum mailbox_payload payload;
	enum mailbox_tx_done tx_done;
	bool rx_ack;
};

/* From the controllers' drivers in drivers/mailbox/ of Linux 6.12. */
static const struct mailbox_style mailbox_styles[] = {
	/* zynqmp-ipi-mailbox.c; the interrupt stays masked until the acknowledgment */
	{ "xlnx,zynqmp-ipi-mailbox", PAYLOAD_ZYNQMP, TX_DONE_CLIENT, true },
	{ "xlnx,versal-ipi-mailbox", PAYLOAD_ZYNQMP, TX_DONE_CLIENT, true },
	/* stm32-ipcc.c */
	{ "st,stm32mp1-ipcc", PAYLOAD_NONE, TX_DONE_CONTROLLER, false },
	/* imx-mailbox.c; channel types 0 and 1, the others carry no data */
	{ "fsl,imx6sx-mu", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ "fsl,imx7ulp-mu", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ "fsl,imx8ulp-mu", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ "fsl,imx95-mu", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	/* omap-mailbox.c */
	{ "ti,omap4-mailbox", PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER, false },
	{ "ti,am654-mailbox", PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER, false },
	{ "ti,am64-mailbox", PAYLOAD_U32_VALUE, TX_DONE_CONTROLLER, false },
	/* arm_mhu.c, arm_mhu_db.c, arm_mhuv2.c, arm_mhuv3.c */
	{ "arm,mhu", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ "arm,mhu-doorbell", PAYLOAD_NONE, TX_DONE_CONTROLLER, false },
	{ "arm,mhuv2-tx", PAYLOAD_NONE, TX_DONE_CONTROLLER, false },
	{ "arm,mhuv3", PAYLOAD_NONE, TX_DONE_CONTROLLER, false },
	/* mtk-adsp-mailbox.c; a received message carries no data */
	{ "mediatek,mt8186-adsp-mbox", PAYLOAD_NONE, TX_DONE_CONTROLLER, false },
	/* bcm2835-mailbox.c, sun6i-msgbox.c */
	{ "brcm,bcm2835-mbox", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ "allwinner,sun6i-a31-msgbox", PAYLOAD_U32_POINTER, TX_DONE_CONTROLLER, false },
	{ }
};

/**
 * struct mailbox_ipi - a struct zynqmp_ipi_message with a payload of one word
 * @len: length of the payload in bytes
 * @word: the payload
 */
struct mailbox_ipi {
	size_t len;
	u32 word;
};

static_assert(offsetof(struct mailbox_ipi, word) ==
	      offsetof(struct zynqmp_ipi_message, data));

/* An empty message of any form but PAYLOAD_U32_VALUE. Controllers only read it. */
static struct mailbox_ipi mailbox_empty;

/**
 * struct mailbox_channel - a channel for kicks and a channel for notifications
 * @mb: data of the transport
 * @vectors: the vectors that the channels carry: one, or all if there is only this
 *	struct
 * @tx_client: client of @tx, and of @rx if one channel has both directions
 * @rx_client: client of @rx if it is another channel than @tx
 * @tx: channel for kicks; NULL during a reset; guarded by the link's kick_lock
 * @rx: channel for notifications; NULL during a reset; guarded by kick_lock
 * @tx_index: index of @tx in "mboxes"
 * @rx_index: index of @rx in "mboxes"; equal to @tx_index if one channel has both
 *	directions
 * @busy: tx_done of the last message has not come yet; guarded by kick_lock
 * @refused: the controller refused the message that is in the framework's queue;
 *	guarded by kick_lock
 * @since: CLOCK_MONOTONIC time since when a kick waits for the remote or for the
 *	channel, 0 if none waits; guarded by kick_lock
 * @pending: vectors whose kick waits for @tx; guarded by kick_lock
 * @word: vectors in the last message; guarded by kick_lock
 * @client_done: the client, and not the controller, has to report to the framework
 *	that a message was sent
 * @ack_owed: a message was received before @rx was set; guarded by kick_lock
 * @ipi: the message for PAYLOAD_ZYNQMP
 */
struct mailbox_channel {
	struct mailbox *mb;
	u32 vectors;
	struct mbox_client tx_client;
	struct mbox_client rx_client;
	struct mbox_chan *tx;
	struct mbox_chan *rx;
	unsigned int tx_index;
	unsigned int rx_index;
	bool busy;
	bool refused;
	ktime_t since;
	u32 pending;
	u32 word;
	bool client_done;
	bool ack_owed;
	struct mailbox_ipi ipi;
};

/**
 * struct mailbox - data of the transport for one link
 * @link: the link
 * @style: what the controller expects
 * @reset_mutex: serialises resets
 * @channels: number of elements of @channel that are used
 * @channel: the channels: one element per vector, or one for all vectors
 */
struct mailbox {
	struct rsl_mbox *link;
	struct mailbox_style style;
	struct mutex reset_mutex;	/* serialises resets */
	unsigned int channels;
	struct mailbox_channel channel[];
};

/* Return the message that carries @ch->word. It stays valid until tx_done. */
static void *mailbox_message(struct mailbox_channel *ch)
{
	switch (ch->mb->style.payload) {
	case PAYLOAD_U32_VALUE:
		return (void *)(unsigned long)ch->word;
	case PAYLOAD_ZYNQMP:
		ch->ipi.len = sizeof(ch->word);
		ch->ipi.word = ch->word;
		return &ch->ipi;
	case PAYLOAD_U32_POINTER:
	case PAYLOAD_NONE:
	default:
		return &ch->word;
	}
}

static void mailbox_send(struct mailbox_channel *ch, u32 mask)
{
	lockdep_assert_held(&ch->mb->link->kick_lock);
	ch->word = mask;
	ch->since = ktime_get();
	ch->busy = true;
	if (mbox_send_message(ch->tx, mailbox_message(ch)) < 0) {
		/*
		 * The queue is not full, because only this channel uses it. The next
		 * kick tries again.
		 */
		ch->busy = false;
		ch->pending |= mask;
	} else if (ch->client_done) {
		ch->busy = false;
		/* A message that the controller refused stays in the queue. */
		ch->refused = ch->tx->msg_count;
		if (!ch->refused) {
			ch->since = 0;
			mbox_client_txdone(ch->tx, 0);
		}
	}
}

/* True if a message can be sent. Tries a refused message again first. */
static bool mailbox_ready(struct mailbox_channel *ch)
{
	lockdep_assert_held(&ch->mb->link->kick_lock);
	if (!ch->tx || ch->busy)
		return false;
	if (ch->refused) {
		/* Makes the framework try again. */
		mbox_client_txdone(ch->tx, 0);
		ch->refused = ch->tx->msg_count;
		if (ch->refused)
			return false;
		mbox_client_txdone(ch->tx, 0);
	}
	return true;
}

static u32 mailbox_kick(struct rsl_mbox *link, u32 mask)
{
	struct mailbox *mb = link->transport_data;
	u32 coalesced = 0;
	unsigned int n;

	lockdep_assert_held(&link->kick_lock);
	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];
		u32 mine = mask & ch->vectors;

		if (!mine)
			continue;
		if (!mailbox_ready(ch)) {
			coalesced |= mine & ch->pending;
			ch->pending |= mine;
			if (!ch->since)
				ch->since = ktime_get();
		} else {
			mine |= ch->pending;
			ch->pending = 0;
			mailbox_send(ch, mine);
		}
	}
	return coalesced;
}

static void mailbox_tx_done(struct mbox_client *client, void *message, int result)
{
	struct mailbox_channel *ch =
		container_of(client, struct mailbox_channel, tx_client);
	struct rsl_mbox *link = ch->mb->link;
	unsigned long flags;
	u32 mask;

	spin_lock_irqsave(&link->kick_lock, flags);
	ch->busy = false;
	ch->since = 0;
	mask = ch->pending;
	if (mask && ch->tx && !link->dead) {
		ch->pending = 0;
		mailbox_send(ch, mask);
	}
	spin_unlock_irqrestore(&link->kick_lock, flags);
}

/* Return the vectors that a message notifies. */
static u32 mailbox_received(struct mailbox_channel *ch, void *message)
{
	u32 word = 0;

	if (hweight32(ch->vectors) == 1)
		return ch->vectors;

	switch (ch->mb->style.payload) {
	case PAYLOAD_U32_POINTER:
		if (message)
			word = *(u32 *)message;
		break;
	case PAYLOAD_U32_VALUE:
		word = (unsigned long)message;
		break;
	case PAYLOAD_ZYNQMP:
		if (message)
			word = ((struct mailbox_ipi *)message)->word;
		break;
	case PAYLOAD_NONE:
		break;
	}
	/* A word without a vector of this channel notifies all of them. */
	return word & ch->vectors ?: ch->vectors;
}

/* Acknowledge a received message, so that the controller lets the next one in. */
static void mailbox_ack(struct mailbox_channel *ch)
{
	bool value = ch->mb->style.payload == PAYLOAD_U32_VALUE;

	lockdep_assert_held(&ch->mb->link->kick_lock);
	/* The first message may come before mailbox_open() has set the channel. */
	ch->ack_owed = !ch->rx;
	if (ch->ack_owed ||
	    mbox_send_message(ch->rx, value ? (void *)1UL : &mailbox_empty) < 0)
		return;
	if (ch->rx->txdone_method & MBOX_TXDONE_BY_ACK)
		mbox_client_txdone(ch->rx, 0);
}

static void mailbox_rx(struct mailbox_channel *ch, void *message)
{
	struct rsl_mbox *link = ch->mb->link;
	u32 mask = mailbox_received(ch, message);
	unsigned long flags;

	/* Acknowledge first: the remote may answer as soon as user space is notified. */
	if (ch->mb->style.rx_ack) {
		spin_lock_irqsave(&link->kick_lock, flags);
		mailbox_ack(ch);
		spin_unlock_irqrestore(&link->kick_lock, flags);
	}
	rsl_mbox_notify(link, mask);
}

static void mailbox_rx_callback(struct mbox_client *client, void *message)
{
	mailbox_rx(container_of(client, struct mailbox_channel, rx_client), message);
}

static void mailbox_rx_tx_callback(struct mbox_client *client, void *message)
{
	mailbox_rx(container_of(client, struct mailbox_channel, tx_client), message);
}

static ktime_t mailbox_stalled_since(struct rsl_mbox *link)
{
	struct mailbox *mb = link->transport_data;
	ktime_t since = 0;
	unsigned int n;

	lockdep_assert_held(&link->kick_lock);
	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];

		if (ch->since && (!since || ktime_before(ch->since, since)))
			since = ch->since;
	}
	return since;
}

static void mailbox_close(struct mailbox_channel *ch)
{
	struct rsl_mbox *link = ch->mb->link;
	struct mbox_chan *tx, *rx;
	unsigned long flags;

	/* From here on kicks wait. The vectors of an unfinished message wait, too. */
	spin_lock_irqsave(&link->kick_lock, flags);
	tx = ch->tx;
	rx = ch->rx;
	ch->tx = NULL;
	ch->rx = NULL;
	if (ch->busy || ch->refused)
		ch->pending |= ch->word;
	ch->busy = false;
	ch->refused = false;
	spin_unlock_irqrestore(&link->kick_lock, flags);

	if (rx && rx != tx)
		mbox_free_channel(rx);
	if (tx)
		mbox_free_channel(tx);
}

/* Check that the channel for kicks can do what the link needs. */
static int mailbox_check_tx(struct mailbox_channel *ch)
{
	struct device *dev = ch->mb->link->dev.parent;
	const struct mailbox_style *style = &ch->mb->style;

	if (style->tx_done == TX_DONE_CLIENT && !ch->client_done)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,tx-done: has to be \"controller\", which tells by interrupt\n",
				     dev->of_node);
	/* The next message would overwrite the mask of one that the remote has not read. */
	if (ch->client_done && hweight32(ch->vectors) > 1)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,vectors: %u in one message, but nobody tells when the remote took one\n",
				     dev->of_node, hweight32(ch->vectors));
	/* The tx_done of an acknowledgment would be taken for the tx_done of a kick. */
	if (style->rx_ack && ch->rx_index == ch->tx_index && !ch->client_done)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,rx-ack: needs a channel of its own beside the one for kicks\n",
				     dev->of_node);
	return 0;
}

static int mailbox_open(struct mailbox_channel *ch)
{
	struct device *dev = ch->mb->link->dev.parent;
	struct rsl_mbox *link = ch->mb->link;
	struct mbox_chan *tx, *rx;
	unsigned long flags;
	int ret;

	tx = mbox_request_channel(&ch->tx_client, ch->tx_index);
	if (IS_ERR(tx))
		return dev_err_probe(dev, PTR_ERR(tx),
				     "%pOF: mboxes: channel %u cannot be had\n",
				     dev->of_node, ch->tx_index);
	/* Check the channel, too: a controller may have channels of both kinds. */
	ch->client_done = tx->txdone_method & MBOX_TXDONE_BY_ACK ||
			  !(tx->mbox->txdone_irq || tx->mbox->txdone_poll);
	ret = mailbox_check_tx(ch);
	if (ret) {
		mbox_free_channel(tx);
		return ret;
	}
	if (ch->client_done && !ch->tx_client.knows_txdone) {
		/*
		 * The controller cannot report that a message was sent. Request the
		 * channel again with knows_txdone. Without it the framework polls a
		 * channel that was freed once.
		 */
		mbox_free_channel(tx);
		ch->tx_client.knows_txdone = true;
		ch->tx_client.tx_done = NULL;
		return mailbox_open(ch);
	}
	rx = tx;
	if (ch->rx_index != ch->tx_index)
		rx = mbox_request_channel(&ch->rx_client, ch->rx_index);
	if (IS_ERR(rx)) {
		mbox_free_channel(tx);
		return dev_err_probe(dev, PTR_ERR(rx),
				     "%pOF: mboxes: channel %u cannot be had\n",
				     dev->of_node, ch->rx_index);
	}

	spin_lock_irqsave(&link->kick_lock, flags);
	ch->rx = rx;
	ch->tx = tx;
	if (ch->ack_owed)
		mailbox_ack(ch);
	ch->since = 0;
	if (ch->pending) {
		u32 mask = ch->pending;

		ch->pending = 0;
		mailbox_send(ch, mask);
	}
	spin_unlock_irqrestore(&link->kick_lock, flags);
	return 0;
}

static void mailbox_close_all(void *data)
{
	struct mailbox *mb = data;
	unsigned int n;

	for (n = mb->channels; n--;)
		mailbox_close(&mb->channel[n]);
}

static int mailbox_reset(struct rsl_mbox *link)
{
	struct mailbox *mb = link->transport_data;
	unsigned int n;
	int ret = 0;

	mutex_lock(&mb->reset_mutex);
	mailbox_close_all(mb);
	for (n = 0; n < mb->channels; n++)
		ret = mailbox_open(&mb->channel[n]) ?: ret;
	mutex_unlock(&mb->reset_mutex);
	return ret;
}

static const struct rsl_mbox_transport mailbox_transport = {
	.name = "mailbox",
	.kick = mailbox_kick,
	.stalled_since = mailbox_stalled_since,
	.reset = mailbox_reset,
};

static int mailbox_option(struct device *dev, const char *property,
			  const char * const *names, size_t count, int value)
{
	const char *name;
	int ret;

	if (of_property_read_string(dev->of_node, property, &name))
		return value;
	ret = match_string(names, count, name);
	if (ret < 0)
		return dev_err_probe(dev, -EINVAL, "%pOF: %s: \"%s\" is not known\n",
				     dev->of_node, property, name);
	return ret;
}

/*
 * imx-mailbox.c sends on a channel of type TXDB_V2 by polling for up to 100 ms with
 * interrupts off, and warns in the log when the remote does not answer.
 */
#define IMX_TYPE_TXDB_V2	5

/* Whether the channels' types are such that a kick cannot block. */
static int mailbox_check_types(struct device *dev, const struct mailbox_style *known)
{
	struct of_phandle_args args;
	int n;

	if (!known->compatible || !strstarts(known->compatible, "fsl,"))
		return 0;
	for (n = 0; !of_parse_phandle_with_args(dev->of_node, "mboxes", "#mbox-cells", n,
						&args); n++) {
		of_node_put(args.np);
		if (args.args_count == 2 && args.args[0] == IMX_TYPE_TXDB_V2)
			return dev_err_probe(dev, -EINVAL,
					     "%pOF: mboxes: channel type %d waits for the remote with interrupts off, use another\n",
					     dev->of_node, IMX_TYPE_TXDB_V2);
	}
	return 0;
}

/* Set @style for the controller of the first channel, then apply the node's overrides. */
static int mailbox_style_init(struct device *dev, struct mailbox_style *style)
{
	const struct mailbox_style *known;
	struct of_phandle_args args;
	int ret;

	ret = of_parse_phandle_with_args(dev->of_node, "mboxes", "#mbox-cells", 0, &args);
	if (ret)
		return dev_err_probe(dev, ret, "%pOF: mboxes: is missing or wrong\n",
				     dev->of_node);
	for (known = mailbox_styles; known->compatible; known++)
		if (of_device_is_compatible(args.np, known->compatible) ||
		    (args.np->parent &&
		     of_device_is_compatible(args.np->parent, known->compatible)))
			break;
	/* The entry at the end of the table is the default. */
	*style = *known;
	/* imx-mailbox.c: the first cell is the channel type; 2 and above are doorbells. */
	if (style->payload == PAYLOAD_U32_POINTER && args.args_count == 2 && args.args[0] >= 2)
		style->payload = PAYLOAD_NONE;
	of_node_put(args.np);
	ret = mailbox_check_types(dev, known);
	if (ret)
		return ret;

	ret = mailbox_option(dev, "rsl,payload", mailbox_payload_names,
			     ARRAY_SIZE(mailbox_payload_names), style->payload);
	if (ret < 0)
		return ret;
	style->payload = ret;
	ret = mailbox_option(dev, "rsl,tx-done", mailbox_tx_done_names,
			     ARRAY_SIZE(mailbox_tx_done_names), style->tx_done);
	if (ret < 0)
		return ret;
	style->tx_done = ret;
	if (of_property_read_bool(dev->of_node, "rsl,rx-ack"))
		style->rx_ack = true;
	return 0;
}

/* Return the index of "<prefix>", or "<prefix><n>" if n is not negative, in mbox-names. */
static int mailbox_index(struct device *dev, const char *prefix, int n)
{
	char name[16];

	if (n < 0)
		snprintf(name, sizeof(name), "%s", prefix);
	else
		snprintf(name, sizeof(name), "%s%d", prefix, n);
	return of_property_match_string(dev->of_node, "mbox-names", name);
}

/* Fill in the indices of channel @n from mbox-names; n is -1 for names without a number. */
static bool mailbox_named(struct device *dev, struct mailbox_channel *ch, int n)
{
	int tx = mailbox_index(dev, "tx", n);
	int rx = mailbox_index(dev, "rx", n);
	int both = mailbox_index(dev, "rx-tx", n);

	if (both >= 0 && tx < 0 && rx < 0) {
		tx = both;
		rx = both;
	}
	if (tx < 0 || rx < 0)
		return false;
	ch->tx_index = tx;
	ch->rx_index = rx;
	return true;
}

static int mailbox_names_init(struct device *dev, struct mailbox *mb)
{
	int names = of_property_count_strings(dev->of_node, "mbox-names");
	unsigned int n, used = 0;

	if (names < 1)
		goto err_names;
	if (mailbox_named(dev, &mb->channel[0], -1))
		mb->channels = 1;
	else
		while (mb->channels < RSL_MBOX_MAX_VECTORS &&
		       mailbox_named(dev, &mb->channel[mb->channels], mb->channels))
			mb->channels++;
	for (n = 0; n < mb->channels; n++)
		used += mb->channel[n].rx_index == mb->channel[n].tx_index ? 1 : 2;
	if (mb->channels && used == names)
		return 0;
err_names:
	return dev_err_probe(dev, -EINVAL,
			     "%pOF: mbox-names: has to be \"tx\", \"rx\", or \"rx-tx\", or these numbered from 0\n",
			     dev->of_node);
}

static int mailbox_vectors_init(struct device *dev, struct mailbox *mb, u32 *vectors)
{
	unsigned int most = mb->channels;
	unsigned int n;

	if (mb->channels == 1 && mb->style.payload != PAYLOAD_NONE)
		most = RSL_MBOX_MAX_VECTORS;
	/* The framework reserves a pointer with all of 32 bits set. */
	if (mb->channels == 1 && mb->style.payload == PAYLOAD_U32_VALUE && BITS_PER_LONG == 32)
		most--;
	*vectors = mb->channels;
	of_property_read_u32(dev->of_node, "rsl,vectors", vectors);
	if (*vectors < mb->channels || *vectors > most)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,vectors: %u, but %u channel(s) with payload \"%s\" carry %u to %u\n",
				     dev->of_node, *vectors, mb->channels,
				     mailbox_payload_names[mb->style.payload],
				     mb->channels, most);
	/* Several vectors in one word need to know when the remote has read it. */
	if (*vectors > mb->channels && !of_property_present(dev->of_node, "rsl,tx-done"))
		mb->style.tx_done = TX_DONE_CONTROLLER;
	for (n = 0; n < mb->channels; n++)
		mb->channel[n].vectors = BIT(n);
	if (mb->channels == 1)
		mb->channel[0].vectors = GENMASK(*vectors - 1, 0);
	return 0;
}

static void mailbox_clients_init(struct device *dev, struct mailbox *mb)
{
	unsigned int n;

	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];

		ch->mb = mb;
		ch->tx_client.dev = dev;
		ch->rx_client.dev = dev;
		ch->rx_client.knows_txdone = true;
		ch->rx_client.rx_callback = mailbox_rx_callback;
		if (ch->rx_index == ch->tx_index)
			ch->tx_client.rx_callback = mailbox_rx_tx_callback;
		if (mb->style.tx_done == TX_DONE_CLIENT)
			ch->tx_client.knows_txdone = true;
		else
			ch->tx_client.tx_done = mailbox_tx_done;
	}
}

static int mailbox_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct mailbox *mb;
	struct rsl_mbox *link;
	unsigned int n;
	u32 vectors;
	int ret;

	mb = devm_kzalloc(dev, struct_size(mb, channel, RSL_MBOX_MAX_VECTORS), GFP_KERNEL);
	if (!mb)
		return -ENOMEM;
	mutex_init(&mb->reset_mutex);
	ret = mailbox_style_init(dev, &mb->style);
	if (ret)
		return ret;
	ret = mailbox_names_init(dev, mb);
	if (ret)
		return ret;
	ret = mailbox_vectors_init(dev, mb, &vectors);
	if (ret)
		return ret;
	mailbox_clients_init(dev, mb);

	link = devm_rsl_mbox_alloc(dev, &mailbox_transport, vectors);
	if (IS_ERR(link))
		return PTR_ERR(link);
	mb->link = link;
	link->transport_data = mb;

	ret = devm_add_action_or_reset(dev, mailbox_close_all, mb);
	if (ret)
		return ret;
	for (n = 0; n < mb->channels; n++) {
		ret = mailbox_open(&mb->channel[n]);
		if (ret)
			return ret;
	}
	return devm_rsl_mbox_register(dev, link);
}

static const struct of_device_id mailbox_of_match[] = {
	{ .compatible = "rsl,mbox-client" },
	{ .compatible = "user-mailbox" },
	{ }
};
MODULE_DEVICE_TABLE(of, mailbox_of_match);

struct platform_driver rsl_mbox_mailbox_driver = {
	.probe = mailbox_probe,
	.driver = {
		.name = "rsl_mbox_mailbox",
		.of_match_table = mailbox_of_match,
	},
};
