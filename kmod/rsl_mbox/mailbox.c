// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mailbox transport, a client of the kernel's mailbox framework.
 *
 * Controllers differ in the form of a message, in who reports that it was sent, and in
 * whether the client has to acknowledge a received message. The framework does not
 * tell the client. mailbox_styles.c does, and properties of the link's node can.
 *
 * The framework has at most one message per channel at a time. Vectors that are
 * kicked in the meantime wait in a mask. So no queue grows, however long the remote
 * takes.
 *
 * No lock of this file is held while a message is sent. A controller may call back with
 * a lock held that its send_data() takes, too (arm_mhuv2.c: mhuv2_sender_interrupt()).
 * So a kick claims the channel, and then sends. tx_done sends nothing. It leaves that to
 * irq_work. So does a notification, whose eventfd may kick, if the controller calls back
 * with a lock held (tegra-hsp.c: tegra_hsp_doorbell_irq()). Without an interrupt for
 * irq_work, as on armv7 with one core, it runs at the next tick.
 *
 * Where the client reports that messages were sent, mbox_client_txdone() calls our
 * tx_done callback if the controller has accepted the message, and has a refused one
 * tried again. So the callback means "accepted". A refused message is tried again by
 * each kick, and by a work.
 *
 * Where the controller reports, a refused message would lie in the framework's queue. The
 * framework would send it when the controller reports the one before it, with the
 * controller's lock held (mhuv2_sender_interrupt()), or never (mailbox-altera.c, polled).
 * That one can only be of an earlier client of the channel. So the first kick waits until
 * the remote has taken it.
 *
 * When a channel is freed, its controller need not wait for a callback that runs. The
 * framework would call through a pointer that mbox_free_channel() has cleared. So the
 * interrupts of such a controller are disabled meanwhile, which waits for its handlers.
 * The memory of this file is freed after a grace period in any case, also one of tasks,
 * because the handler may be a thread.
 *
 * The timer of a polled controller cannot be stopped. So mailbox_close_all() gives the
 * remote time to take its last message before the channel is freed.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/ktime.h>
#include <linux/mailbox_client.h>
#include <linux/mailbox_controller.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_irq.h>
#include <linux/platform_device.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/stringify.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/mailbox/zynqmp-ipi-message.h>

#include "compat.h"
#include "mailbox_styles.h"
#include "rsl_mbox.h"

/* When a message is tried again that a controller has refused. */
#define MAILBOX_RETRY_MS	10

/*
 * How often a controller is looked at that has no message of an earlier client any more:
 * MAILBOX_RETRY_MS after the first time it has reported that.
 */
#define MAILBOX_LOOKS		2

/* How long a remote has to take its last message before its channel is freed. */
#define MAILBOX_LAST_MS		100

/* The most interrupts of the controllers of a link that are held off. */
#define MAILBOX_MAX_IRQS	16

/**
 * struct mailbox_message - a message in every form
 * @len: length of @words in bytes that count; with @words a struct zynqmp_ipi_message
 * @words: the vectors, and zeros for controllers that read more than a word
 */
struct mailbox_message {
	size_t len;
	u32 words[MAILBOX_MESSAGE_WORDS];
};

static_assert(offsetof(struct mailbox_message, words) ==
	      offsetof(struct zynqmp_ipi_message, data));

/* An acknowledgment in any form but PAYLOAD_U32_VALUE. Controllers only read it. */
static struct mailbox_message mailbox_empty;

/* Bits of the flags of struct mailbox_channel. */
#define MAILBOX_ACK_OWED	0	/* received, and no acknowledgment was sent yet */
#define MAILBOX_ACK_WITHHELD	1	/* the same, until a vector is unmasked */

/**
 * struct mailbox_channel - a channel for kicks and a channel for notifications
 * @mb: data of the transport
 * @vectors: the vectors that the channels carry: one, or all if there is only this
 *	struct
 * @tx_client: client of @tx, and of @rx if one channel has both directions
 * @rx_client: client of @rx if it is another channel than @tx
 * @tx: channel for kicks
 * @rx: channel for notifications
 * @tx_index: index of @tx in "mboxes"
 * @rx_index: index of @rx in "mboxes"; equal to @tx_index if one channel has both
 *	directions
 * @refuses: as in struct mailbox_style, of @tx
 * @lock: guards @open to @message, but for @looks. Nothing is sent under it.
 * @open: @tx and @rx can be used until the end of the RCU read-side section
 * @busy: the message is the controller's; tx_done has not come yet
 * @looks: how often the controller is still to be looked at before a message is sent,
 *	because it has one of an earlier client; written by mailbox_open() and @retry
 * @since: CLOCK_MONOTONIC time since when the oldest kick waits for the remote or for
 *	the channel, 0 if none waits
 * @pending_since: the same of the oldest kick in @pending while @busy
 * @pending: vectors whose kick waits for @tx
 * @message: the last message, which does not change while @busy
 * @buffer: @message for PAYLOAD_BUFFER
 * @flags: MAILBOX_ACK_OWED and MAILBOX_ACK_WITHHELD
 * @received: vectors that @work has to notify, because they came in hard interrupt
 *	context on PREEMPT_RT, or with a lock of the controller held
 * @work: sends what a callback must not send
 * @retry: tries a refused message again, and looks at the controller
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
	bool refuses;
	spinlock_t lock;	/* guards the message and who has it */
	bool open;
	bool busy;
	unsigned int looks;
	ktime_t since;
	ktime_t pending_since;
	u32 pending;
	struct mailbox_message message;
	struct mailbox_buffer buffer;
	unsigned long flags;
	atomic_t received;
	struct irq_work work;
	struct delayed_work retry;
};

/**
 * struct mailbox - data of the transport for one link
 * @link: the link; not valid once @closed is set
 * @style: what the controller expects
 * @known: the table has all controllers of the link
 * @closed: the channels were freed for good; callbacks that still come do nothing
 * @reset_mutex: serialises resets
 * @irqs: number of elements of @irq that are used; 0 if they cannot be held off
 * @irq: interrupts of the controller, to hold off while channels are freed
 * @rcu: frees this struct
 * @channels: number of elements of @channel that are used
 * @channel: the channels: one element per vector, or one for all vectors
 */
struct mailbox {
	struct rsl_mbox *link;
	struct mailbox_style style;
	bool known;
	bool closed;
	struct mutex reset_mutex;	/* serialises resets */
	unsigned int irqs;
	int irq[MAILBOX_MAX_IRQS];
	struct rcu_head rcu;
	unsigned int channels;
	struct mailbox_channel channel[];
};

/**
 * struct mailbox_said - what the link's node says of the controller
 * @payload: an enum mailbox_payload, -1 if it does not say
 * @tx_done: an enum mailbox_tx_done, -1 if it does not say
 * @rx_ack: whether it says that messages have to be acknowledged
 */
struct mailbox_said {
	int payload;
	int tx_done;
	bool rx_ack;
};

static bool mailbox_client_reports(const struct mailbox *mb)
{
	return mb->style.tx_done == TX_DONE_CLIENT;
}

/* Return the message in the form that the controller expects. */
static void *mailbox_payload(struct mailbox_channel *ch)
{
	switch (ch->mb->style.payload) {
	case PAYLOAD_U32_VALUE:
		return (void *)(unsigned long)ch->message.words[0];
	case PAYLOAD_ZYNQMP:
		return &ch->message;
	case PAYLOAD_BUFFER:
		return &ch->buffer;
	case PAYLOAD_U32_POINTER:
	case PAYLOAD_NONE:
	default:
		return ch->message.words;
	}
}

/* Report that messages were sent, to a framework that waits for the client to do so. */
static void mailbox_report(struct mailbox_channel *ch)
{
	/* Reports an accepted message, or has a refused one tried again. */
	mbox_client_txdone(ch->tx, 0);
	/* Reports it if it was accepted this time. */
	if (READ_ONCE(ch->busy))
		mbox_client_txdone(ch->tx, 0);
	if (READ_ONCE(ch->busy))
		schedule_delayed_work(&ch->retry, msecs_to_jiffies(MAILBOX_RETRY_MS));
}

/* Whether the controller would take a message, also after an earlier client of the channel. */
static bool mailbox_idle(struct mailbox_channel *ch)
{
	const struct mbox_chan_ops *ops = ch->tx->mbox->ops;

	return !ch->refuses || !ops->last_tx_done || ops->last_tx_done(ch->tx);
}

/* Whether a message can be sent. */
static bool mailbox_ready(struct mailbox_channel *ch)
{
	lockdep_assert_held(&ch->lock);
	return ch->open && !ch->busy && !READ_ONCE(ch->looks);
}

/* Claim the channel for a message with these vectors. The caller sends it. */
static void mailbox_claim(struct mailbox_channel *ch, u32 mask)
{
	lockdep_assert_held(&ch->lock);
	ch->busy = true;
	if (!ch->since)
		ch->since = ktime_get();
	ch->pending = 0;
	ch->message.words[0] = mask;
}

/* Send the message of a channel that the caller has claimed. */
static void mailbox_send(struct mailbox_channel *ch)
{
	unsigned long flags;

	if (mbox_send_message(ch->tx, mailbox_payload(ch)) >= 0) {
		if (mailbox_client_reports(ch->mb))
			mailbox_report(ch);
		return;
	}
	/* Only this message is in the framework's queue, so it was not full. */
	spin_lock_irqsave(&ch->lock, flags);
	ch->busy = false;
	ch->pending |= ch->message.words[0];
	spin_unlock_irqrestore(&ch->lock, flags);
	schedule_delayed_work(&ch->retry, msecs_to_jiffies(MAILBOX_RETRY_MS));
}

/* Kick some vectors. Returns those whose kick coalesced with one that waits already. */
static u32 mailbox_kick_channel(struct mailbox_channel *ch, u32 mask)
{
	bool claimed = false, again = false;
	unsigned long flags;
	u32 coalesced;

	spin_lock_irqsave(&ch->lock, flags);
	coalesced = mask & ch->pending;
	if (mailbox_ready(ch)) {
		mailbox_claim(ch, mask | ch->pending);
		claimed = true;
	} else {
		ch->pending |= mask;
		if (!ch->since)
			ch->since = ktime_get();
		else if (ch->busy && !ch->pending_since)
			ch->pending_since = ktime_get();
		/* It may be refused, and accepted now. */
		again = ch->open && mailbox_client_reports(ch->mb);
	}
	spin_unlock_irqrestore(&ch->lock, flags);

	if (claimed)
		mailbox_send(ch);
	else if (again)
		mailbox_report(ch);
	return coalesced;
}

static u32 mailbox_kick(struct rsl_mbox *link, u32 mask)
{
	struct mailbox *mb = link->transport_data;
	u32 coalesced = 0;
	unsigned int n;

	for (n = 0; n < mb->channels; n++)
		if (mask & mb->channel[n].vectors)
			coalesced |= mailbox_kick_channel(&mb->channel[n],
							  mask & mb->channel[n].vectors);
	return coalesced;
}

/* Send what waits for the channel, or try a refused message again. */
static void mailbox_flush(struct mailbox_channel *ch)
{
	bool claimed = false, again;
	unsigned long flags;

	rcu_read_lock();
	spin_lock_irqsave(&ch->lock, flags);
	again = ch->open && ch->busy && mailbox_client_reports(ch->mb);
	if (mailbox_ready(ch) && ch->pending) {
		mailbox_claim(ch, ch->pending);
		claimed = true;
	}
	spin_unlock_irqrestore(&ch->lock, flags);

	if (claimed)
		mailbox_send(ch);
	else if (again)
		mailbox_report(ch);
	rcu_read_unlock();
}

static void mailbox_retry(struct work_struct *work)
{
	struct mailbox_channel *ch =
		container_of(to_delayed_work(work), struct mailbox_channel, retry);

	if (ch->looks && mailbox_idle(ch))
		WRITE_ONCE(ch->looks, ch->looks - 1);
	if (ch->looks)
		schedule_delayed_work(&ch->retry, msecs_to_jiffies(MAILBOX_RETRY_MS));
	else
		mailbox_flush(ch);
}

/* May be called with a lock held that the controller's send_data() takes. */
static void mailbox_tx_done(struct mbox_client *client, void *message, int result)
{
	struct mailbox_channel *ch =
		container_of(client, struct mailbox_channel, tx_client);
	unsigned long flags;
	bool more;

	/* An acknowledgment on a channel that has both directions. */
	if (message == &mailbox_empty)
		return;
	rcu_read_lock();
	spin_lock_irqsave(&ch->lock, flags);
	ch->busy = false;
	more = ch->open && ch->pending;
	ch->since = ch->pending_since;
	ch->pending_since = 0;
	spin_unlock_irqrestore(&ch->lock, flags);
	if (more)
		irq_work_queue(&ch->work);
	rcu_read_unlock();
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
			word = ((struct mailbox_message *)message)->words[0];
		break;
	case PAYLOAD_BUFFER:
		if (message)
			word = *((struct mailbox_buffer *)message)->data;
		break;
	case PAYLOAD_NONE:
	default:
		break;
	}
	/* A word without a vector of this channel notifies all of them. */
	return word & ch->vectors ?: ch->vectors;
}

/* Acknowledge a received message, so that the controller lets the next one in. */
static void mailbox_ack(struct mailbox_channel *ch)
{
	bool value = ch->mb->style.payload == PAYLOAD_U32_VALUE;

	/* The first message may come before mailbox_open() has @rx, which looks then. */
	set_bit(MAILBOX_ACK_OWED, &ch->flags);
	smp_mb__after_atomic();	/* pairs with that of mailbox_open() */
	if (!READ_ONCE(ch->open) || !test_and_clear_bit(MAILBOX_ACK_OWED, &ch->flags))
		return;
	if (mbox_send_message(ch->rx, value ? (void *)1UL : &mailbox_empty) >= 0)
		mbox_client_txdone(ch->rx, 0);
}

static void mailbox_notify(struct mailbox_channel *ch, u32 mask)
{
	struct rsl_mbox *link = ch->mb->link;
	ktime_t since = ktime_get();

	if (!ch->mb->style.rx_ack) {
		rsl_mbox_notify(link, mask, since);
		return;
	}
	/*
	 * Acknowledge first: the remote may answer as soon as user space is notified, and
	 * an acknowledgment may clear what has come before it.
	 */
	if (!rsl_mbox_all_masked(link, ch->vectors)) {
		mailbox_ack(ch);
		rsl_mbox_notify(link, mask, since);
		return;
	}
	/*
	 * A masked vector costs one interrupt: no other one comes without an
	 * acknowledgment. It is latched, and delivered after the acknowledgment.
	 */
	set_bit(MAILBOX_ACK_WITHHELD, &ch->flags);
	smp_mb__after_atomic();	/* pairs with the atomic operation of mailbox_unmasked() */
	rsl_mbox_notify(link, mask, since);
	/* Unmasked in the meantime. */
	if (!rsl_mbox_all_masked(link, ch->vectors) &&
	    test_and_clear_bit(MAILBOX_ACK_WITHHELD, &ch->flags)) {
		mailbox_ack(ch);
		rsl_mbox_repeat(link, mask);
	}
}

static void mailbox_unmasked(struct rsl_mbox *link)
{
	struct mailbox *mb = link->transport_data;
	unsigned int n;

	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];

		if (!rsl_mbox_all_masked(link, ch->vectors) &&
		    test_and_clear_bit(MAILBOX_ACK_WITHHELD, &ch->flags))
			mailbox_ack(ch);
	}
}

static void mailbox_work(struct irq_work *work)
{
	struct mailbox_channel *ch = container_of(work, struct mailbox_channel, work);
	u32 mask = atomic_xchg(&ch->received, 0);

	rcu_read_lock();
	if (mask && !READ_ONCE(ch->mb->closed))
		mailbox_notify(ch, mask);
	rcu_read_unlock();
	mailbox_flush(ch);
}

static void mailbox_rx(struct mailbox_channel *ch, void *message)
{
	/* The handler may be a thread, for which only this makes mailbox_close_all() wait. */
	rcu_read_lock();
	if (READ_ONCE(ch->mb->closed)) {
		rcu_read_unlock();
		return;
	}
	if (ch->mb->style.rx_locked || rsl_in_rt_hardirq()) {
		atomic_or(mailbox_received(ch, message), &ch->received);
		irq_work_queue(&ch->work);
	} else {
		mailbox_notify(ch, mailbox_received(ch, message));
	}
	rcu_read_unlock();
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

	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];

		spin_lock_irq(&ch->lock);
		if (ch->since && (!since || ktime_before(ch->since, since)))
			since = ch->since;
		spin_unlock_irq(&ch->lock);
	}
	return since;
}

static void mailbox_hold_irqs(struct mailbox *mb, bool hold)
{
	unsigned int n;

	for (n = 0; n < mb->irqs; n++) {
		if (hold)
			disable_irq(mb->irq[n]);
		else
			enable_irq(mb->irq[n]);
	}
}

/* Have kicks wait. Returns false if there is no channel to free. */
static bool mailbox_stop(struct mailbox_channel *ch)
{
	unsigned long flags;
	bool open;

	spin_lock_irqsave(&ch->lock, flags);
	open = ch->open;
	ch->open = false;
	spin_unlock_irqrestore(&ch->lock, flags);
	return open;
}

/* Give the remote time to take the last message of a channel. */
static void mailbox_wait(struct mailbox_channel *ch, ktime_t until)
{
	if (mailbox_client_reports(ch->mb))
		return;
	while (READ_ONCE(ch->busy) && ktime_before(ktime_get(), until))
		usleep_range(500, 1000);
}

/* Free a channel that nobody uses any more. */
static void mailbox_free(struct mailbox_channel *ch)
{
	unsigned long flags;

	irq_work_sync(&ch->work);
	cancel_delayed_work_sync(&ch->retry);
	if (ch->rx != ch->tx)
		mbox_free_channel(ch->rx);
	mbox_free_channel(ch->tx);

	/* The vectors of an unfinished message wait, too. */
	spin_lock_irqsave(&ch->lock, flags);
	if (ch->busy)
		ch->pending |= ch->message.words[0];
	ch->busy = false;
	spin_unlock_irqrestore(&ch->lock, flags);
}

/* Free all channels. The interrupts of the controller are held off when this returns. */
static void mailbox_free_all(struct mailbox *mb)
{
	ktime_t until = ktime_add_ms(ktime_get(), MAILBOX_LAST_MS);
	DECLARE_BITMAP(open, RSL_MBOX_MAX_VECTORS) = {};
	unsigned int n;

	for (n = 0; n < mb->channels; n++)
		if (mailbox_stop(&mb->channel[n]))
			__set_bit(n, open);
	for_each_set_bit(n, open, RSL_MBOX_MAX_VECTORS)
		mailbox_wait(&mb->channel[n], until);
	mailbox_hold_irqs(mb, true);
	/* Nobody sends any more, and nobody receives in our callbacks. */
	synchronize_rcu();
	for_each_set_bit(n, open, RSL_MBOX_MAX_VECTORS)
		mailbox_free(&mb->channel[n]);
}

static int mailbox_open(struct mailbox_channel *ch)
{
	struct device *dev = ch->mb->link->dev.parent;
	struct mbox_chan *tx, *rx;
	unsigned long flags;

	tx = mbox_request_channel(&ch->tx_client, ch->tx_index);
	if (IS_ERR(tx))
		return dev_err_probe(dev, PTR_ERR(tx),
				     "%pOF: mboxes: channel %u cannot be had\n",
				     dev->of_node, ch->tx_index);
	rx = tx;
	if (ch->rx_index != ch->tx_index)
		rx = mbox_request_channel(&ch->rx_client, ch->rx_index);
	if (IS_ERR(rx)) {
		mbox_free_channel(tx);
		return dev_err_probe(dev, PTR_ERR(rx),
				     "%pOF: mboxes: channel %u cannot be had\n",
				     dev->of_node, ch->rx_index);
	}

	spin_lock_irqsave(&ch->lock, flags);
	ch->tx = tx;
	ch->rx = rx;
	WRITE_ONCE(ch->looks, mailbox_idle(ch) ? 0 : MAILBOX_LOOKS);
	ch->since = 0;
	/* Readers without the lock find the channels. */
	smp_store_release(&ch->open, true);
	spin_unlock_irqrestore(&ch->lock, flags);

	smp_mb();	/* pairs with that of mailbox_ack() */
	if (test_bit(MAILBOX_ACK_OWED, &ch->flags))
		mailbox_ack(ch);
	if (ch->looks)
		schedule_delayed_work(&ch->retry, msecs_to_jiffies(MAILBOX_RETRY_MS));
	mailbox_flush(ch);
	return 0;
}

static void mailbox_close_all(void *data)
{
	struct mailbox *mb = data;

	WRITE_ONCE(mb->closed, true);
	mailbox_free_all(mb);
	mailbox_hold_irqs(mb, false);
}

static int mailbox_reset(struct rsl_mbox *link)
{
	struct mailbox *mb = link->transport_data;
	unsigned int n;
	int ret = 0;

	/*
	 * A timer of the framework, or a handler, would meet channels that are freed. Or
	 * the controller would run out of them.
	 */
	if (!mb->known || !mb->irqs || !mailbox_client_reports(mb) || mb->style.used_up)
		return -EOPNOTSUPP;
	mutex_lock(&mb->reset_mutex);
	mailbox_free_all(mb);
	for (n = 0; n < mb->channels; n++) {
		clear_bit(MAILBOX_ACK_OWED, &mb->channel[n].flags);
		clear_bit(MAILBOX_ACK_WITHHELD, &mb->channel[n].flags);
		ret = mailbox_open(&mb->channel[n]) ?: ret;
	}
	mailbox_hold_irqs(mb, false);
	mutex_unlock(&mb->reset_mutex);
	return ret;
}

static const struct rsl_mbox_transport mailbox_transport = {
	.name = "mailbox",
	.kick = mailbox_kick,
	.unmasked = mailbox_unmasked,
	.stalled_since = mailbox_stalled_since,
	.reset = mailbox_reset,
};

/* Read a property whose values have @names. Sets @value to -1 if it is missing. */
static int mailbox_option(struct device *dev, const char *property,
			  const char * const *names, int *value)
{
	const char *name;

	*value = -1;
	if (of_property_read_string(dev->of_node, property, &name))
		return 0;
	*value = match_string(names, -1, name);
	if (*value < 0)
		return dev_err_probe(dev, -EINVAL, "%pOF: %s: \"%s\" is not known\n",
				     dev->of_node, property, name);
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

/*
 * Remember the interrupts of a controller that have a handler, to hold them off. If one is
 * @needed, as something is received, having none is an error. Without, a controller whose
 * node has interrupts may be polled (arm_mhuv2.c before version 2.1).
 */
static int mailbox_irqs_add(struct device *dev, struct mailbox *mb, struct device_node *np,
			    bool needed)
{
	struct device *controller = mailbox_controller_get(np);
	bool held = false, has;
	unsigned int have;
	int n, irq;

	if (!controller)
		return -EPROBE_DEFER;
	for (n = 0; (irq = of_irq_get(controller->of_node, n)) > 0; n++) {
		if (!rsl_irq_has_action(irq))
			continue;
		for (have = 0; have < mb->irqs && mb->irq[have] != irq; have++)
			;
		/* disable_irq() does not hold off an interrupt of each core. */
		if (rsl_irq_is_percpu(irq) || have == MAILBOX_MAX_IRQS)
			break;
		mb->irq[have] = irq;
		mb->irqs = max(mb->irqs, have + 1);
		held = true;
	}
	has = of_find_property(controller->of_node, "interrupts", NULL) ||
	      of_find_property(controller->of_node, "interrupts-extended", NULL);
	put_device(controller);
	if (irq > 0)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: mboxes: %pOF: %s\n", dev->of_node, np,
				     rsl_irq_is_percpu(irq) ?
				     "has an interrupt of each core, which cannot be held off" :
				     "has more than " __stringify(MAILBOX_MAX_IRQS) " interrupts");
	if (irq == -EPROBE_DEFER)
		return irq;
	/* The driver has its interrupt otherwise, as zynqmp-ipi-mailbox.c has an SGI. */
	if (needed && has && !held)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: mboxes: %pOF: has no interrupt that can be held off\n",
				     dev->of_node, np);
	return 0;
}

/* Check what the node says against what the table knows of a channel. */
static int mailbox_agrees(struct device *dev, const struct mailbox_said *said,
			  const struct of_phandle_args *args, enum mailbox_way way,
			  const struct mailbox_style *style)
{
	if (said->payload >= 0 && style->payload && said->payload != style->payload)
		return dev_err_probe(dev, -EINVAL, "%pOF: rsl,payload: %pOF takes \"%s\"\n",
				     dev->of_node, args->np,
				     mailbox_payload_names[style->payload]);
	/*
	 * The framework writes to the log when a client reports beside the controller, and
	 * waits for ever when nobody reports.
	 */
	if (way != ONLY_NOTIFICATIONS && said->tx_done >= 0 && !style->polls &&
	    said->tx_done != style->tx_done)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,tx-done: has to be \"%s\" with %pOF\n",
				     dev->of_node, mailbox_tx_done_names[style->tx_done],
				     args->np);
	if (way != ONLY_KICKS && said->rx_ack && !style->rx_ack)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,rx-ack: %pOF takes no acknowledgment\n",
				     dev->of_node, args->np);
	return 0;
}

/*
 * Get the style of the channel at @index of "mboxes", which the link uses in @way. Sets
 * *@known to false if the table does not have it.
 */
static int mailbox_channel_style(struct device *dev, struct mailbox *mb,
				 const struct mailbox_said *said, unsigned int index,
				 enum mailbox_way way, struct mailbox_style *style,
				 bool *known)
{
	struct of_phandle_args args;
	int ret;

	ret = of_parse_phandle_with_args(dev->of_node, "mboxes", "#mbox-cells", index, &args);
	if (ret)
		return dev_err_probe(dev, -EINVAL, "%pOF: mboxes: is missing or wrong\n",
				     dev->of_node);
	ret = mailbox_style_get(dev, &args, style);
	*known = ret != -ENOENT;
	if (!*known) {
		/*
		 * As unkind as any that is known, but for a message of an earlier client:
		 * its last_tx_done() may not be there to be called by us.
		 */
		*style = (struct mailbox_style){ .hold_irq = true, .rx_locked = true };
		ret = 0;
	}
	if (!ret && style->way != way &&
	    (style->way == ONE_WAY ? way == BOTH_WAYS : style->way != BOTH_WAYS))
		ret = dev_err_probe(dev, -EINVAL,
				    "%pOF: mboxes: %pOF: channel %u can only be used for %s\n",
				    dev->of_node, args.np, index, mailbox_way_names[style->way]);
	if (!ret && *known)
		ret = mailbox_agrees(dev, said, &args, way, style);
	if (!ret && style->hold_irq)
		ret = mailbox_irqs_add(dev, mb, args.np, *known && way != ONLY_KICKS);
	of_node_put(args.np);
	return ret;
}

/*
 * Set the style of the link. That of its first channel for kicks counts, and the others
 * have to be like it. A channel without a payload takes messages of any form.
 */
static int mailbox_channels_style(struct device *dev, struct mailbox *mb,
				  const struct mailbox_said *said)
{
	struct mailbox_style *style = &mb->style;
	struct mailbox_style each;
	unsigned int n;
	bool known;
	int ret;

	mb->known = true;
	for (n = 0; n < 2 * mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n / 2];
		bool both = ch->rx_index == ch->tx_index;
		bool rx = n % 2;

		if (rx && both)
			continue;
		ret = mailbox_channel_style(dev, mb, said, rx ? ch->rx_index : ch->tx_index,
					    both ? BOTH_WAYS :
					    rx ? ONLY_NOTIFICATIONS : ONLY_KICKS, &each,
					    &known);
		if (ret)
			return ret;
		style->rx_ack |= each.rx_ack;
		style->hold_irq |= each.hold_irq;
		style->rx_locked |= each.rx_locked;
		style->used_up |= each.used_up;
		if (!rx)
			ch->refuses = each.refuses;
		mb->known = mb->known && known;
		if (!mb->known)
			continue;
		if (!n)
			*style = each;
		if ((!rx && each.tx_done != style->tx_done) ||
		    (each.payload && style->payload && each.payload != style->payload))
			return dev_err_probe(dev, -EINVAL,
					     "%pOF: mboxes: has channels that take messages of different forms\n",
					     dev->of_node);
		if (!rx && !style->payload)
			style->payload = each.payload;
	}
	if (mb->known && said->payload >= 0 && said->payload != style->payload)
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: rsl,payload: the controller takes \"%s\"\n",
				     dev->of_node, mailbox_payload_names[style->payload]);
	return 0;
}

/* Set the style of the link from its channels, and from the node's properties. */
static int mailbox_style_init(struct device *dev, struct mailbox *mb)
{
	struct mailbox_said said = {
		.rx_ack = of_property_read_bool(dev->of_node, "rsl,rx-ack"),
	};
	int ret;

	ret = mailbox_option(dev, "rsl,payload", mailbox_payload_names, &said.payload);
	if (!ret)
		ret = mailbox_option(dev, "rsl,tx-done", mailbox_tx_done_names,
				     &said.tx_done);
	if (!ret)
		ret = mailbox_channels_style(dev, mb, &said);
	if (ret)
		return ret;
	if (!mb->known && (said.payload < 0 || said.tx_done < 0))
		return dev_err_probe(dev, -EINVAL,
				     "%pOF: %s: is missing, and the module does not know the controller\n",
				     dev->of_node,
				     said.payload < 0 ? "rsl,payload" : "rsl,tx-done");
	if (said.payload >= 0)
		mb->style.payload = said.payload;
	if (said.tx_done >= 0)
		mb->style.tx_done = said.tx_done;
	mb->style.rx_ack |= said.rx_ack;
	return 0;
}

/* Check that the channels can do what the link needs. */
static int mailbox_check(struct device *dev, const struct mailbox *mb)
{
	unsigned int n;

	for (n = 0; n < mb->channels; n++) {
		const struct mailbox_channel *ch = &mb->channel[n];

		/* The next message would overwrite one that the remote has not read. */
		if (mailbox_client_reports(mb) && hweight32(ch->vectors) > 1)
			return dev_err_probe(dev, -EINVAL,
					     "%pOF: rsl,vectors: %u in one message, but nobody tells when the remote took one\n",
					     dev->of_node, hweight32(ch->vectors));
		/* An acknowledgment would wait behind a kick that the remote does not take. */
		if (mb->style.rx_ack && ch->rx_index == ch->tx_index &&
		    !mailbox_client_reports(mb))
			return dev_err_probe(dev, -EINVAL,
					     "%pOF: rsl,rx-ack: needs a channel of its own beside the one for kicks\n",
					     dev->of_node);
	}
	return 0;
}

static int mailbox_vectors_init(struct device *dev, struct mailbox *mb, u32 *vectors)
{
	unsigned int most = mb->channels;
	unsigned int n;

	if (mb->channels == 1 && mb->style.payload != PAYLOAD_NONE)
		most = RSL_MBOX_MAX_VECTORS;
	/*
	 * The controller may use the last bit itself, and the framework reserves a pointer
	 * with all bits set.
	 */
	if (mb->channels == 1 && mb->style.payload == PAYLOAD_U32_VALUE)
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
	if (*vectors > mb->channels && mb->style.polls &&
	    !of_property_present(dev->of_node, "rsl,tx-done"))
		mb->style.tx_done = TX_DONE_CONTROLLER;
	for (n = 0; n < mb->channels; n++)
		mb->channel[n].vectors = BIT(n);
	if (mb->channels == 1)
		mb->channel[0].vectors = GENMASK(*vectors - 1, 0);
	return mailbox_check(dev, mb);
}

static void mailbox_channels_init(struct device *dev, struct mailbox *mb)
{
	unsigned int n, vector;

	for (n = 0; n < mb->channels; n++) {
		struct mailbox_channel *ch = &mb->channel[n];

		ch->mb = mb;
		spin_lock_init(&ch->lock);
		init_irq_work(&ch->work, mailbox_work);
		INIT_DELAYED_WORK(&ch->retry, mailbox_retry);
		ch->message.len = sizeof(ch->message.words[0]);
		ch->buffer.data = ch->message.words;
		ch->buffer.size = ch->message.len;
		ch->tx_client.dev = dev;
		ch->tx_client.tx_done = mailbox_tx_done;
		ch->tx_client.knows_txdone = mailbox_client_reports(mb);
		ch->rx_client.dev = dev;
		ch->rx_client.knows_txdone = true;
		ch->rx_client.rx_callback = mailbox_rx_callback;
		if (ch->rx_index == ch->tx_index)
			ch->tx_client.rx_callback = mailbox_rx_tx_callback;
		/* One acknowledgment is withheld for all vectors of a message. */
		for (vector = 0; vector < mb->link->vectors && mb->style.rx_ack; vector++)
			if (ch->vectors & BIT(vector))
				mb->link->vector[vector].group = ch->vectors;
	}
	mb->link->mask_irqs = mb->style.rx_ack && mb->channels == mb->link->vectors;
}

static void mailbox_free_rcu(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct mailbox, rcu));
}

static void mailbox_free_later(void *data)
{
	struct mailbox *mb = data;

	call_rcu_tasks(&mb->rcu, mailbox_free_rcu);
}

static int mailbox_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct mailbox *mb;
	struct rsl_mbox *link;
	unsigned int n;
	u32 vectors;
	int ret;

	mb = kzalloc(struct_size(mb, channel, RSL_MBOX_MAX_VECTORS), GFP_KERNEL);
	if (!mb)
		return -ENOMEM;
	ret = devm_add_action_or_reset(dev, mailbox_free_later, mb);
	if (ret)
		return ret;
	mutex_init(&mb->reset_mutex);
	ret = mailbox_names_init(dev, mb);
	if (ret)
		return ret;
	ret = mailbox_style_init(dev, mb);
	if (ret)
		return ret;
	ret = mailbox_vectors_init(dev, mb, &vectors);
	if (ret)
		return ret;

	link = devm_rsl_mbox_alloc_of_node(dev, &mailbox_transport, vectors);
	if (IS_ERR(link))
		return PTR_ERR(link);
	link->transport_data = mb;
	mb->link = link;
	mailbox_channels_init(dev, mb);

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
