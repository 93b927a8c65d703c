// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailbox controllers for tests, in every payload style and way to tell that a
 * message was sent. A program plays the remote through /dev/rsl_mbox_sim-<node>:
 *
 *	read	takes the message of one channel: struct rsl_mbox_sim_message.
 *		Until then the message is on its way, and what the controller
 *		calls "done" has not happened. Blocks; poll tells when there is
 *		one.
 *	write	a message for Linux, received as if by interrupt. EAGAIN: the
 *		client has not acknowledged the one before. A struct
 *		rsl_mbox_sim_burst is messages that a timer's interrupt delivers.
 *	ioctl	RSL_MBOX_SIM_STAMP: CLOCK_MONOTONIC at the last of these interrupts.
 *
 * Device tree: compatible "rsl,mbox-sim", #mbox-cells 1 (the channel), "channels",
 * "payload" ("none", "u32-pointer", "u32-value", "zynqmp"), "tx-done" ("irq", "poll",
 * "client", "channel": the client by what the channel says, though the controller
 * could), "rx-ack", "refuse" (a message that finds one on its way), "no-sync" (callbacks
 * may run while the channel is freed, as with the ZynqMP's driver).
 */
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/mailbox_client.h>
#include <linux/mailbox_controller.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/mailbox/zynqmp-ipi-message.h>

#include "compat.h"

#define SIM_CHANNELS	64

/**
 * struct rsl_mbox_sim_message - what read returns and write takes
 * @channel: number of the channel
 * @word: payload; 0 where the style has none
 * @coalesced: read: kicks on this channel that found the same one on its way,
 *	which only a controller that is always done lets happen; write: lose the
 *	acknowledgment of this message
 */
struct rsl_mbox_sim_message {
	u32 channel;
	u32 word;
	u64 coalesced;
};

/**
 * struct rsl_mbox_sim_burst - what write takes, too, and returns before it happens
 * @delay: nanoseconds until the first interrupt, and between two of them
 * @interrupts: how many there are, at least 1
 * @messages: that each delivers one after the other, at least 1
 * @channel: number of the channel
 * @word: of the first message; a bit further to the left in each one after it
 */
struct rsl_mbox_sim_burst {
	u64 delay;
	u32 interrupts;
	u32 messages;
	u32 channel;
	u32 word;
};

#define RSL_MBOX_SIM_STAMP	_IOR('S', 0, u64)

struct sim_channel {
	bool open;
	bool raised;
	bool unacknowledged;
	bool lose_acknowledgment;
	u32 word;
	u64 coalesced;
};

struct sim {
	struct mbox_controller controller;
	struct miscdevice misc;
	const char *payload;
	bool rx_ack;
	bool irq;	/* tells by interrupt that a message was taken */
	bool refuse;
	bool no_sync;
	atomic_t receiving;
	spinlock_t lock;	/* guards channel */
	wait_queue_head_t wait;
	struct sim_channel channel[SIM_CHANNELS];
	struct mbox_chan chans[SIM_CHANNELS];
	struct hrtimer timer;
	struct rsl_mbox_sim_burst burst;	/* the timer's while it is active */
	u64 stamp;				/* so is this */
};

static struct sim *to_sim(struct mbox_chan *chan)
{
	return container_of(chan->mbox, struct sim, controller);
}

static struct sim_channel *to_channel(struct mbox_chan *chan)
{
	return &to_sim(chan)->channel[chan - chan->mbox->chans];
}

static u32 sim_decode(struct sim *sim, void *data)
{
	struct zynqmp_ipi_message *message = data;
	u32 word = 0;

	/* A NULL message crashes the real drivers of these styles, too. */
	if (!strcmp(sim->payload, "u32-pointer"))
		return *(u32 *)data;
	if (!strcmp(sim->payload, "u32-value"))
		return (unsigned long)data;
	if (!strcmp(sim->payload, "zynqmp") && message && message->len)
		memcpy(&word, message->data, sizeof(word));
	return word;
}

static int sim_send_data(struct mbox_chan *chan, void *data)
{
	struct sim_channel *channel = to_channel(chan);
	struct sim *sim = to_sim(chan);
	unsigned long flags;
	int ret = 0;
	u32 word;

	/* The ZynqMP's acknowledgment is a call to the secure monitor. */
	if (channel->unacknowledged && sim->no_sync)
		ndelay(15 * NSEC_PER_USEC);
	spin_lock_irqsave(&sim->lock, flags);
	if (channel->unacknowledged) {
		/* What is sent on a channel that received is the acknowledgment. */
		channel->unacknowledged = channel->lose_acknowledgment;
	} else if (!channel->raised) {
		channel->raised = true;
		channel->word = sim_decode(sim, data);
	} else if (sim->irq || sim->refuse) {
		ret = -EBUSY;
	} else {
		/* The message before it is overwritten. */
		word = sim_decode(sim, data);
		channel->coalesced += word ? hweight32(channel->word) : 1;
		channel->word = word;
	}
	spin_unlock_irqrestore(&sim->lock, flags);
	wake_up_interruptible(&sim->wait);
	return ret;
}

static bool sim_last_tx_done(struct mbox_chan *chan)
{
	return !READ_ONCE(to_channel(chan)->raised);
}

static int sim_startup(struct mbox_chan *chan)
{
	to_channel(chan)->unacknowledged = false;
	WRITE_ONCE(to_channel(chan)->open, true);
	return 0;
}

static void sim_shutdown(struct mbox_chan *chan)
{
	struct sim *sim = to_sim(chan);

	/* As a driver that frees its interrupt here. */
	WRITE_ONCE(to_channel(chan)->open, false);
	smp_mb();	/* pairs with that of sim_write() */
	while (!sim->no_sync && atomic_read(&sim->receiving))
		cpu_relax();
}

/* As that of an i.MX MU, one of whose types of channels the client has to tick. */
static struct mbox_chan *sim_xlate_client(struct mbox_controller *controller,
					  const struct of_phandle_args *args)
{
	if (args->args[0] >= controller->num_chans)
		return ERR_PTR(-EINVAL);
	controller->chans[args->args[0]].txdone_method = BIT(2);	/* by ACK */
	return &controller->chans[args->args[0]];
}

static const struct mbox_chan_ops sim_ops = {
	.send_data = sim_send_data,
	.last_tx_done = sim_last_tx_done,
	.startup = sim_startup,
	.shutdown = sim_shutdown,
};

static bool sim_take(struct sim *sim, struct rsl_mbox_sim_message *message)
{
	unsigned long flags;
	int n, found = -1;

	spin_lock_irqsave(&sim->lock, flags);
	for (n = 0; n < sim->controller.num_chans && found < 0; n++)
		if (sim->channel[n].raised)
			found = n;
	if (found >= 0) {
		message->channel = found;
		message->word = sim->channel[found].word;
		message->coalesced = sim->channel[found].coalesced;
		sim->channel[found].raised = false;
	}
	spin_unlock_irqrestore(&sim->lock, flags);
	if (found < 0)
		return false;
	if (sim->irq) {
		local_irq_save(flags);
		mbox_chan_txdone(&sim->chans[found], 0);
		local_irq_restore(flags);
	}
	return true;
}

static bool sim_has_message(struct sim *sim)
{
	int n;

	for (n = 0; n < sim->controller.num_chans; n++)
		if (READ_ONCE(sim->channel[n].raised))
			return true;
	return false;
}

static struct sim *file_to_sim(struct file *file)
{
	return container_of(file->private_data, struct sim, misc);
}

static ssize_t sim_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct sim *sim = file_to_sim(file);
	struct rsl_mbox_sim_message message = {};
	int ret;

	if (count < sizeof(message))
		return -EINVAL;
	while (!sim_take(sim, &message)) {
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		ret = wait_event_interruptible(sim->wait, sim_has_message(sim));
		if (ret)
			return ret;
	}
	return copy_to_user(buf, &message, sizeof(message)) ? -EFAULT : sizeof(message);
}

/* What mbox_chan_received_data() does, to a client that may be about to leave. */
static void sim_received(struct mbox_chan *chan, void *message)
{
	struct mbox_client *client = READ_ONCE(chan->cl);

	if (client && client->rx_callback)
		client->rx_callback(client, message);
}

static void sim_deliver(struct sim *sim, struct mbox_chan *chan, u32 word)
{
	u8 space[sizeof(struct zynqmp_ipi_message) + sizeof(word)]
		__aligned(__alignof__(struct zynqmp_ipi_message));
	struct zynqmp_ipi_message *ipi = (void *)space;

	if (!strcmp(sim->payload, "u32-pointer")) {
		sim_received(chan, &word);
	} else if (!strcmp(sim->payload, "u32-value")) {
		sim_received(chan, (void *)(unsigned long)word);
	} else if (!strcmp(sim->payload, "zynqmp")) {
		ipi->len = sizeof(word);
		memcpy(ipi->data, &word, sizeof(word));
		sim_received(chan, ipi);
	} else {
		sim_received(chan, NULL);
	}
}

static enum hrtimer_restart sim_interrupt(struct hrtimer *timer)
{
	struct sim *sim = container_of(timer, struct sim, timer);
	struct rsl_mbox_sim_burst *burst = &sim->burst;
	struct mbox_chan *chan = &sim->chans[burst->channel];
	u32 n;

	sim->stamp = ktime_get_ns();
	for (n = 0; n < burst->messages; n++) {
		sim_deliver(sim, chan, burst->word);
		burst->word = rol32(burst->word, 1);
	}
	if (!--burst->interrupts)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(burst->delay));
	return HRTIMER_RESTART;
}

static ssize_t sim_write_burst(struct sim *sim, const char __user *buf)
{
	struct rsl_mbox_sim_burst burst;

	if (copy_from_user(&burst, buf, sizeof(burst)))
		return -EFAULT;
	if (burst.channel >= sim->controller.num_chans || !burst.interrupts ||
	    !burst.messages || !burst.delay || sim->rx_ack)
		return -EINVAL;
	hrtimer_cancel(&sim->timer);
	sim->burst = burst;
	hrtimer_start(&sim->timer, ns_to_ktime(burst.delay), HRTIMER_MODE_REL);
	return sizeof(burst);
}

static long sim_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sim *sim = file_to_sim(file);

	if (cmd != RSL_MBOX_SIM_STAMP)
		return -ENOTTY;
	return put_user(READ_ONCE(sim->stamp), (u64 __user *)arg);
}

static ssize_t sim_write(struct file *file, const char __user *buf, size_t count,
			 loff_t *pos)
{
	struct sim *sim = file_to_sim(file);
	struct rsl_mbox_sim_message message;
	struct mbox_chan *chan;
	unsigned long flags;
	bool masked;

	if (count == sizeof(struct rsl_mbox_sim_burst))
		return sim_write_burst(sim, buf);
	if (count != sizeof(message))
		return -EINVAL;
	if (copy_from_user(&message, buf, sizeof(message)))
		return -EFAULT;
	if (message.channel >= sim->controller.num_chans)
		return -EINVAL;
	chan = &sim->chans[message.channel];

	spin_lock_irqsave(&sim->lock, flags);
	masked = sim->channel[message.channel].unacknowledged;
	if (!masked) {
		sim->channel[message.channel].unacknowledged = sim->rx_ack;
		sim->channel[message.channel].lose_acknowledgment = message.coalesced;
	}
	spin_unlock_irqrestore(&sim->lock, flags);
	if (masked)
		return -EAGAIN;

	/* As in an interrupt. */
	local_irq_save(flags);
	atomic_inc(&sim->receiving);
	smp_mb__after_atomic();	/* pairs with that of sim_shutdown() */
	if (sim->no_sync || READ_ONCE(sim->channel[message.channel].open))
		sim_deliver(sim, chan, message.word);
	atomic_dec(&sim->receiving);
	local_irq_restore(flags);
	return sizeof(message);
}

static __poll_t sim_poll(struct file *file, poll_table *wait)
{
	struct sim *sim = file_to_sim(file);

	poll_wait(file, &sim->wait, wait);
	return EPOLLOUT | EPOLLWRNORM | (sim_has_message(sim) ? EPOLLIN | EPOLLRDNORM : 0);
}

static const struct file_operations sim_fops = {
	.owner = THIS_MODULE,
	.read = sim_read,
	.write = sim_write,
	.poll = sim_poll,
	.unlocked_ioctl = sim_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static void sim_deregister(void *data)
{
	struct sim *sim = data;

	misc_deregister(&sim->misc);
	hrtimer_cancel(&sim->timer);
}

static int sim_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	const char *done = "irq";
	struct sim *sim;
	u32 channels = 2;
	int ret;

	sim = devm_kzalloc(dev, sizeof(*sim), GFP_KERNEL);
	if (!sim)
		return -ENOMEM;
	spin_lock_init(&sim->lock);
	init_waitqueue_head(&sim->wait);
	rsl_hrtimer_setup(&sim->timer, sim_interrupt);
	sim->payload = "none";
	of_property_read_string(dev->of_node, "payload", &sim->payload);
	of_property_read_string(dev->of_node, "tx-done", &done);
	of_property_read_u32(dev->of_node, "channels", &channels);
	sim->rx_ack = of_property_read_bool(dev->of_node, "rx-ack");
	if (channels < 1 || channels > SIM_CHANNELS)
		return -EINVAL;

	sim->controller.dev = dev;
	sim->controller.ops = &sim_ops;
	sim->controller.chans = sim->chans;
	sim->controller.num_chans = channels;
	sim->refuse = of_property_read_bool(dev->of_node, "refuse");
	sim->no_sync = of_property_read_bool(dev->of_node, "no-sync");
	sim->irq = !strcmp(done, "irq");
	sim->controller.txdone_irq = sim->irq || !strcmp(done, "channel");
	if (!strcmp(done, "channel"))
		sim->controller.of_xlate = sim_xlate_client;
	sim->controller.txdone_poll = !strcmp(done, "poll");
	sim->controller.txpoll_period = 1;
	ret = devm_mbox_controller_register(dev, &sim->controller);
	if (ret)
		return ret;

	sim->misc.minor = MISC_DYNAMIC_MINOR;
	sim->misc.fops = &sim_fops;
	sim->misc.name = devm_kasprintf(dev, GFP_KERNEL, "rsl_mbox_sim-%pOFn", dev->of_node);
	if (!sim->misc.name)
		return -ENOMEM;
	ret = misc_register(&sim->misc);
	if (ret)
		return ret;
	return devm_add_action_or_reset(dev, sim_deregister, sim);
}

static const struct of_device_id sim_of_match[] = {
	{ .compatible = "rsl,mbox-sim" },
	{ }
};
MODULE_DEVICE_TABLE(of, sim_of_match);

static struct platform_driver sim_driver = {
	.probe = sim_probe,
	.driver = {
		.name = "rsl_mbox_sim",
		.of_match_table = sim_of_match,
		/* Files stay valid only because nobody can unbind by hand. */
		.suppress_bind_attrs = true,
	},
};
module_platform_driver(sim_driver);

MODULE_DESCRIPTION("Mailbox controllers for the tests of rsl_mbox");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
