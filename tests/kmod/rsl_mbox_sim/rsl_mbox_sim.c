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
 *		client has not taken, or not acknowledged, the one before. A struct
 *		rsl_mbox_sim_burst is messages that a timer's interrupt delivers.
 *	ioctl	RSL_MBOX_SIM_STAMP: CLOCK_MONOTONIC at the last of these interrupts.
 *
 * Both read and write raise the controller's interrupt on the core that they run on,
 * and return when its handler has run. They do not wait while the interrupt is
 * disabled, or the channel closed. Then the message waits.
 *
 * The interrupt is a level, from an interrupt controller of the simulator's own. Its
 * node is that of the mailbox controller: "interrupt-controller", #interrupt-cells 1,
 * interrupts-extended that names the node itself and 0. So a client finds the
 * interrupt in the controller's node, and can disable it. An interrupt 1 beside it has
 * no handler, as most of those of tegra-hsp.c: tegra_hsp_request_shared_irq().
 *
 * Device tree: #mbox-cells 1 (the channel), or 2 (type and number; imx-mailbox.c:
 * imx_mu_xlate()), "channels", "payload" ("none", "u32-pointer", "u32-value",
 * "zynqmp", "buffer"), and what follows. Each is named with the driver and function of Linux
 * 6.12 that it plays.
 *
 *	tx-done	"irq": by the interrupt (imx-mailbox.c: imx_mu_isr()).
 *		"poll": the framework asks (arm_mhu.c: mhu_last_tx_done()).
 *		"client": nobody but the client knows (qcom-ipcc.c:
 *		qcom_ipcc_setup_mbox()).
 *		"channel": the client by what the channel says, though the controller
 *		could (omap-mailbox.c: omap_mbox_startup(), ti,mbox-send-noirq).
 *		"work": at once, from a work item (imx-mailbox.c:
 *		imx_mu_txdb_work()).
 *	tx-done-locked
 *		tx-done is reported under a lock that send_data takes, too
 *		(arm_mhuv2.c: mhuv2_sender_interrupt() and doorbell_pending_lock; what
 *		is received has a device of its own there).
 *	rx-locked
 *		what is received is reported under a lock that send_data takes, too
 *		(tegra-hsp.c: tegra_hsp_doorbell_irq(), tegra_hsp_doorbell_send_data();
 *		the second one takes no lock there, but its kind may).
 *	rx-ack	a message on a channel that received is the acknowledgment, before
 *		which nothing more is received (zynqmp-ipi-mailbox.c:
 *		zynqmp_ipi_send_data()).
 *	refuse	a message that finds one on its way is refused, and nobody tells when
 *		it no longer would be (omap-mailbox.c: omap_mbox_chan_send_noirq(); its
 *		queue is longer).
 *	no-sync	the interrupt is requested for all the controller's life, and shutdown
 *		does not wait for its handler (zynqmp-ipi-mailbox.c:
 *		zynqmp_ipi_interrupt(), zynqmp_ipi_shutdown()). Without it, shutdown
 *		frees the channel's interrupt, which waits (imx-mailbox.c:
 *		imx_mu_startup(), imx_mu_shutdown()).
 *	no-thread
 *		the handler is in hard-interrupt context on PREEMPT_RT, too
 *		(zynqmp-ipi-mailbox.c: zynqmp_sgi_interrupt(); without an interrupt
 *		per core, which disable_irq() would not hold off). Goes with no-sync,
 *		and not with tx-done "irq", which takes locks that sleep there.
 *	threaded
 *		the handler is in a thread (arm_mhuv2.c: mhuv2_sender_interrupt();
 *		stm32-ipcc.c: stm32_ipcc_rx_irq()).
 *	a node below
 *		has the channels, and a device without a driver of its own
 *		(zynqmp-ipi-mailbox.c: zynqmp_ipi_mbox_probe()).
 *
 * All of them write a register relaxed in send_data, without a barrier of their own
 * (stm32-ipcc.c: stm32_ipcc_send_data()); it is a word of memory that nobody reads.
 *
 * Parameter "window": microseconds between what a handler sees of a message and its
 * call of mbox_chan_received_data(), where real ones copy the message. Parameter
 * "monitor": microseconds of an acknowledgment of no-sync ones, which is a call to the
 * secure monitor (zynqmp-ipi-mailbox.c: zynqmp_ipi_send_data()).
 */
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/irq_work.h>
#include <linux/irqdomain.h>
#include <linux/lockdep.h>
#include <linux/mailbox_client.h>
#include <linux/mailbox_controller.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/percpu.h>
#include <linux/platform_device.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/mailbox/zynqmp-ipi-message.h>

#include "compat.h"

#define SIM_CHANNELS	64

static unsigned int window;
module_param(window, uint, 0644);
MODULE_PARM_DESC(window, "Microseconds between a message and its callback");

static unsigned int monitor = 15;
module_param(monitor, uint, 0644);
MODULE_PARM_DESC(monitor, "Microseconds of an acknowledgment by the secure monitor");

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

/**
 * struct sim_channel - a channel's state
 * @open: between startup and shutdown
 * @raised: a message of Linux is on its way
 * @done: the interrupt has to report that the remote took it
 * @latched: a message for Linux waits for the interrupt
 * @unacknowledged: Linux has not acknowledged the last one
 * @lose_acknowledgment: of the message in @received
 * @word: of Linux's message
 * @received: word of the message for Linux
 * @coalesced: messages of Linux that overwrote one on its way
 * @number: of the channel
 * @work: reports tx-done "work"
 */
struct sim_channel {
	bool open;
	bool raised;
	bool done;
	bool latched;
	bool unacknowledged;
	bool lose_acknowledgment;
	u32 word;
	u32 received;
	u64 coalesced;
	unsigned int number;
	struct work_struct work;
};

/**
 * struct sim_line - what raises the interrupt on one core
 * @work: calls sim_fire() in hard-interrupt context
 * @sim: the controller
 */
struct sim_line {
	struct irq_work work;
	struct sim *sim;
};

struct sim {
	struct mbox_controller controller;
	struct miscdevice misc;
	const char *payload;
	bool rx_ack;
	bool done_irq;	/* tells by interrupt that a message was taken */
	bool done_work;	/* tells by a work item that a message was sent */
	bool done_channel;
	bool done_locked;
	bool rx_locked;
	bool refuse;
	bool no_sync;
	bool no_thread;
	bool threaded;
	struct irq_domain *domain;
	unsigned int irq;
	struct sim_line __percpu *line;
	unsigned long page;	/* a register is in it */
	spinlock_t doorbell_lock;	/* of send_data, done_locked and rx_locked */
	raw_spinlock_t lock;	/* guards what follows */
	bool enabled;
	bool masked;
	bool burst_due;
	struct sim_channel channel[SIM_CHANNELS];
	wait_queue_head_t wait;
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

/* struct arm_mhuv2_mbox_msg of include/linux/mailbox/arm_mhuv2_message.h */
struct sim_buffer {
	u32 *data;
	size_t len;
};

static u32 sim_decode(struct sim *sim, void *data)
{
	struct zynqmp_ipi_message *message = data;
	u32 word = 0;

	/* A NULL message crashes the real drivers of these styles, too. */
	if (!strcmp(sim->payload, "u32-pointer"))
		return *(u32 *)data;
	if (!strcmp(sim->payload, "u32-value"))
		return (unsigned long)data;
	if (!strcmp(sim->payload, "buffer"))
		return *((struct sim_buffer *)data)->data;
	if (!strcmp(sim->payload, "zynqmp") && message && message->len)
		memcpy(&word, message->data, sizeof(word));
	return word;
}

/* Whether the interrupt's line is up. */
static bool sim_asserted(struct sim *sim)
{
	int n;

	lockdep_assert_held(&sim->lock);
	if (sim->burst_due && sim->channel[sim->burst.channel].open)
		return true;
	for (n = 0; n < sim->controller.num_chans; n++)
		if (sim->channel[n].open && (sim->channel[n].done || sim->channel[n].latched))
			return true;
	return false;
}

/* In hard-interrupt context, as an interrupt controller that sees its line. */
static void sim_fire(struct sim *sim)
{
	unsigned long flags;
	bool fire;

	raw_spin_lock_irqsave(&sim->lock, flags);
	fire = sim->enabled && !sim->masked && sim_asserted(sim);
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	if (fire)
		generic_handle_irq(sim->irq);
}

static void sim_line_work(struct irq_work *work)
{
	sim_fire(container_of(work, struct sim_line, work)->sim);
}

/* Have this core see the line. Returns what does. */
static struct irq_work *sim_raise(struct sim *sim)
{
	struct irq_work *work;

	preempt_disable();
	work = &this_cpu_ptr(sim->line)->work;
	irq_work_queue(work);
	preempt_enable();
	return work;
}

/* Raise the interrupt and wait until its handler has cleared @cause, if it can run. */
static void sim_settle(struct sim *sim, struct sim_channel *channel, bool *cause)
{
	irq_work_sync(sim_raise(sim));
	synchronize_irq(sim->irq);
	/* A handler that was running on another core is still to be called again. */
	while (READ_ONCE(*cause) && READ_ONCE(channel->open) && READ_ONCE(sim->enabled) &&
	       !fatal_signal_pending(current)) {
		usleep_range(10, 50);
		synchronize_irq(sim->irq);
	}
}

static void sim_irq_set(struct irq_data *data, bool enabled, bool masked)
{
	struct sim *sim = irq_data_get_irq_chip_data(data);
	unsigned long flags;

	raw_spin_lock_irqsave(&sim->lock, flags);
	sim->enabled = enabled;
	sim->masked = masked;
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	/* A level that is still there comes again. */
	if (enabled && !masked)
		sim_raise(sim);
}

static void sim_irq_enable(struct irq_data *data)
{
	sim_irq_set(data, true, false);
}

static void sim_irq_disable(struct irq_data *data)
{
	sim_irq_set(data, false, true);
}

static void sim_irq_mask(struct irq_data *data)
{
	struct sim *sim = irq_data_get_irq_chip_data(data);

	sim_irq_set(data, sim->enabled, true);
}

static void sim_irq_unmask(struct irq_data *data)
{
	struct sim *sim = irq_data_get_irq_chip_data(data);

	sim_irq_set(data, sim->enabled, false);
}

static struct irq_chip sim_irq_chip = {
	.name = "rsl_mbox_sim",
	.irq_enable = sim_irq_enable,
	.irq_disable = sim_irq_disable,
	.irq_mask = sim_irq_mask,
	.irq_unmask = sim_irq_unmask,
};

static int sim_domain_map(struct irq_domain *domain, unsigned int irq, irq_hw_number_t number)
{
	irq_set_chip_and_handler(irq, &sim_irq_chip, handle_level_irq);
	irq_set_chip_data(irq, domain->host_data);
	irq_set_status_flags(irq, IRQ_LEVEL);
	return 0;
}

static const struct irq_domain_ops sim_domain_ops = {
	.map = sim_domain_map,
	.xlate = irq_domain_xlate_onecell,
};

/* Take a message of Linux. Returns -EBUSY if it is refused. */
static int sim_accept(struct sim *sim, struct sim_channel *channel, void *data)
{
	unsigned long flags;
	int ret = 0;
	u32 word;

	raw_spin_lock_irqsave(&sim->lock, flags);
	if (!channel->raised) {
		channel->raised = true;
		channel->word = sim_decode(sim, data);
	} else if (sim->done_irq || sim->refuse) {
		ret = -EBUSY;
	} else {
		/* The message before it is overwritten. */
		word = sim_decode(sim, data);
		channel->coalesced += word ? hweight32(channel->word) : 1;
		channel->word = word;
	}
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	return ret;
}

/* True if what is sent on a channel is the acknowledgment of what it received. */
static bool sim_acknowledge(struct sim *sim, struct sim_channel *channel)
{
	unsigned long flags;
	bool owed;

	if (READ_ONCE(channel->unacknowledged) && sim->no_sync)
		udelay(READ_ONCE(monitor));
	raw_spin_lock_irqsave(&sim->lock, flags);
	owed = channel->unacknowledged;
	if (owed)
		channel->unacknowledged = channel->lose_acknowledgment;
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	return owed;
}

/*
 * Not for lockdep: the framework holds the channel's lock here, and takes it in
 * mbox_chan_txdone() behind this one. That is arm_mhuv2.c's fault, and no harm while its
 * client sends nothing on a channel before tx_done, also of a message that another client
 * of the channel has left.
 */
static int sim_accept_locked(struct sim *sim, struct sim_channel *channel, void *data)
{
	unsigned long flags;
	int ret;

	lockdep_off();
	spin_lock_irqsave(&sim->doorbell_lock, flags);
	ret = sim_accept(sim, channel, data);
	spin_unlock_irqrestore(&sim->doorbell_lock, flags);
	lockdep_on();
	return ret;
}

static int sim_send_data(struct mbox_chan *chan, void *data)
{
	struct sim_channel *channel = to_channel(chan);
	struct sim *sim = to_sim(chan);
	int ret;

	if (sim_acknowledge(sim, channel))
		return 0;
	writel_relaxed(BIT((chan - sim->chans) % 32), (void __force __iomem *)sim->page);
	ret = sim->done_locked || sim->rx_locked ? sim_accept_locked(sim, channel, data) :
						   sim_accept(sim, channel, data);
	wake_up_interruptible(&sim->wait);
	if (!ret && sim->done_work)
		schedule_work(&channel->work);
	return ret;
}

static void sim_done_work(struct work_struct *work)
{
	struct sim_channel *channel = container_of(work, struct sim_channel, work);
	struct sim *sim = container_of(channel - channel->number, struct sim, channel[0]);

	mbox_chan_txdone(&sim->chans[channel->number], 0);
}

static bool sim_last_tx_done(struct mbox_chan *chan)
{
	return !READ_ONCE(to_channel(chan)->raised);
}

/* Hand a message to the client, which the framework does not check for being there. */
static void sim_deliver(struct sim *sim, struct mbox_chan *chan, u32 word)
{
	u8 space[sizeof(struct zynqmp_ipi_message) + sizeof(word)]
		__aligned(__alignof__(struct zynqmp_ipi_message));
	struct zynqmp_ipi_message *ipi = (void *)space;
	struct sim_buffer buffer = { &word, sizeof(word) };

	if (!strcmp(sim->payload, "u32-pointer")) {
		mbox_chan_received_data(chan, &word);
	} else if (!strcmp(sim->payload, "u32-value")) {
		mbox_chan_received_data(chan, (void *)(unsigned long)word);
	} else if (!strcmp(sim->payload, "zynqmp")) {
		ipi->len = sizeof(word);
		memcpy(ipi->data, &word, sizeof(word));
		mbox_chan_received_data(chan, ipi);
	} else if (!strcmp(sim->payload, "buffer")) {
		mbox_chan_received_data(chan, &buffer);
	} else {
		mbox_chan_received_data(chan, NULL);
	}
}

static void sim_deliver_burst(struct sim *sim, struct mbox_chan *chan)
{
	struct rsl_mbox_sim_burst *burst = &sim->burst;
	u32 n;

	WRITE_ONCE(sim->stamp, ktime_get_ns());
	for (n = 0; n < burst->messages; n++) {
		sim_deliver(sim, chan, burst->word);
		burst->word = rol32(burst->word, 1);
	}
}

static void sim_deliver_locked(struct sim *sim, struct mbox_chan *chan, u32 word)
{
	unsigned long flags;

	spin_lock_irqsave(&sim->doorbell_lock, flags);
	sim_deliver(sim, chan, word);
	spin_unlock_irqrestore(&sim->doorbell_lock, flags);
}

static void sim_wait_window(void)
{
	unsigned int us = READ_ONCE(window);

	mdelay(us / USEC_PER_MSEC);
	udelay(us % USEC_PER_MSEC);
}

/* The interrupt's handler for one channel. */
static irqreturn_t sim_serve(struct sim *sim, struct mbox_chan *chan)
{
	struct sim_channel *channel = to_channel(chan);
	bool done, latched, burst;
	unsigned long flags;
	u32 word;

	raw_spin_lock_irqsave(&sim->lock, flags);
	done = channel->open && channel->done;
	latched = channel->open && channel->latched;
	burst = channel->open && sim->burst_due && chan == &sim->chans[sim->burst.channel];
	word = channel->received;
	if (done)
		channel->done = false;
	if (latched) {
		channel->latched = false;
		channel->unacknowledged = sim->rx_ack;
	}
	if (burst)
		sim->burst_due = false;
	raw_spin_unlock_irqrestore(&sim->lock, flags);

	if (done && sim->done_locked) {
		spin_lock_irqsave(&sim->doorbell_lock, flags);
		mbox_chan_txdone(chan, 0);
		spin_unlock_irqrestore(&sim->doorbell_lock, flags);
	} else if (done) {
		mbox_chan_txdone(chan, 0);
	}
	if (latched) {
		sim_wait_window();
		if (sim->rx_locked)
			sim_deliver_locked(sim, chan, word);
		else
			sim_deliver(sim, chan, word);
	}
	if (burst)
		sim_deliver_burst(sim, chan);
	return done || latched || burst ? IRQ_HANDLED : IRQ_NONE;
}

static irqreturn_t sim_channel_interrupt(int irq, void *data)
{
	struct mbox_chan *chan = data;

	return sim_serve(to_sim(chan), chan);
}

static irqreturn_t sim_interrupt(int irq, void *data)
{
	irqreturn_t ret = IRQ_NONE;
	struct sim *sim = data;
	int n;

	for (n = 0; n < sim->controller.num_chans; n++)
		ret |= sim_serve(sim, &sim->chans[n]);
	return ret;
}

static int sim_request_irq(struct sim *sim, irq_handler_t handler, unsigned long flags,
			   const char *name, void *data)
{
	if (sim->threaded)
		return request_threaded_irq(sim->irq, NULL, handler, flags | IRQF_ONESHOT,
					    name, data);
	return request_irq(sim->irq, handler, flags, name, data);
}

static int sim_startup(struct mbox_chan *chan)
{
	struct sim_channel *channel = to_channel(chan);
	struct sim *sim = to_sim(chan);
	unsigned long flags;
	int ret = 0;

	if (!sim->no_sync)
		ret = sim_request_irq(sim, sim_channel_interrupt, IRQF_SHARED,
				      sim->misc.name, chan);
	if (ret)
		return ret;
	if (sim->done_channel)
		chan->txdone_method = BIT(2);	/* by ACK */
	raw_spin_lock_irqsave(&sim->lock, flags);
	channel->unacknowledged = false;
	channel->done = false;
	WRITE_ONCE(channel->open, true);
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	/* What came before is still there. */
	sim_raise(sim);
	return 0;
}

static void sim_shutdown(struct mbox_chan *chan)
{
	struct sim_channel *channel = to_channel(chan);
	struct sim *sim = to_sim(chan);
	unsigned long flags;

	/* The framework calls this after a failed startup, too. */
	if (!channel->open)
		return;
	raw_spin_lock_irqsave(&sim->lock, flags);
	WRITE_ONCE(channel->open, false);
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	cancel_work_sync(&channel->work);
	if (!sim->no_sync)
		free_irq(sim->irq, chan);
}

static struct mbox_chan *sim_xlate(struct mbox_controller *controller,
				   const struct of_phandle_args *args)
{
	unsigned int n = args->args[0];

	/* Four channels of each type, as an i.MX MU has them. */
	if (args->args_count == 2)
		n = n * 4 + args->args[1];
	if (n >= controller->num_chans)
		return ERR_PTR(-EINVAL);
	return &controller->chans[n];
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

	raw_spin_lock_irqsave(&sim->lock, flags);
	for (n = 0; n < sim->controller.num_chans && found < 0; n++)
		if (sim->channel[n].raised)
			found = n;
	if (found >= 0) {
		message->channel = found;
		message->word = sim->channel[found].word;
		message->coalesced = sim->channel[found].coalesced;
		sim->channel[found].raised = false;
		sim->channel[found].done = sim->done_irq;
	}
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	if (found < 0)
		return false;
	if (sim->done_irq)
		sim_settle(sim, &sim->channel[found], &sim->channel[found].done);
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

static enum hrtimer_restart sim_timer(struct hrtimer *timer)
{
	struct sim *sim = container_of(timer, struct sim, timer);
	unsigned long flags;

	raw_spin_lock_irqsave(&sim->lock, flags);
	sim->burst_due = true;
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	sim_fire(sim);
	if (!--sim->burst.interrupts)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(sim->burst.delay));
	return HRTIMER_RESTART;
}

static ssize_t sim_write_burst(struct sim *sim, const char __user *buf)
{
	struct rsl_mbox_sim_burst burst;
	unsigned long flags;

	if (copy_from_user(&burst, buf, sizeof(burst)))
		return -EFAULT;
	if (burst.channel >= sim->controller.num_chans || !burst.interrupts ||
	    !burst.messages || !burst.delay || sim->rx_ack)
		return -EINVAL;
	hrtimer_cancel(&sim->timer);
	raw_spin_lock_irqsave(&sim->lock, flags);
	sim->burst_due = false;
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	synchronize_irq(sim->irq);
	sim->burst = burst;
	hrtimer_start(&sim->timer, ns_to_ktime(burst.delay), HRTIMER_MODE_REL_HARD);
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
	struct sim_channel *channel;
	unsigned long flags;
	bool full;

	if (count == sizeof(struct rsl_mbox_sim_burst))
		return sim_write_burst(sim, buf);
	if (count != sizeof(message))
		return -EINVAL;
	if (copy_from_user(&message, buf, sizeof(message)))
		return -EFAULT;
	if (message.channel >= sim->controller.num_chans)
		return -EINVAL;
	channel = &sim->channel[message.channel];

	raw_spin_lock_irqsave(&sim->lock, flags);
	full = channel->latched || channel->unacknowledged;
	if (!full) {
		channel->received = message.word;
		channel->lose_acknowledgment = message.coalesced;
		channel->latched = true;
	}
	raw_spin_unlock_irqrestore(&sim->lock, flags);
	if (full)
		return -EAGAIN;
	sim_settle(sim, channel, &channel->latched);
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

static void sim_remove_domain(void *data)
{
	struct sim *sim = data;
	int cpu;

	irq_dispose_mapping(sim->irq);
	irq_dispose_mapping(irq_find_mapping(sim->domain, 1));
	irq_domain_remove(sim->domain);
	for_each_possible_cpu(cpu)
		irq_work_sync(&per_cpu_ptr(sim->line, cpu)->work);
}

static int sim_create_domain(struct sim *sim, struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	int cpu, irq;

	sim->line = devm_alloc_percpu(dev, struct sim_line);
	if (!sim->line)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		struct sim_line *line = per_cpu_ptr(sim->line, cpu);

		line->sim = sim;
		rsl_irq_work_init_hard(&line->work, sim_line_work);
	}
	sim->domain = irq_domain_create_linear(dev_fwnode(dev), 2, &sim_domain_ops, sim);
	if (!sim->domain)
		return -ENOMEM;
	irq = irq_create_mapping(sim->domain, 0);
	if (!irq) {
		irq_domain_remove(sim->domain);
		return -EINVAL;
	}
	sim->irq = irq;
	return devm_add_action_or_reset(dev, sim_remove_domain, sim);
}

static void sim_free_irq(void *data)
{
	struct sim *sim = data;

	free_irq(sim->irq, sim);
}

static void sim_child_release(struct device *child)
{
	of_node_put(child->of_node);
	kfree(child);
}

static void sim_remove_child(void *data)
{
	struct device *child = data;

	child->driver = NULL;
	device_unregister(child);
}

/* The device that has the channels: that of the node, or one of a node below. */
static struct device *sim_channels_device(struct device *dev)
{
	struct device_node *np = of_get_next_available_child(dev->of_node, NULL);
	struct device *child;
	int ret;

	if (!np)
		return dev;
	child = kzalloc(sizeof(*child), GFP_KERNEL);
	if (!child) {
		of_node_put(np);
		return ERR_PTR(-ENOMEM);
	}
	child->parent = dev;
	child->release = sim_child_release;
	child->of_node = np;
	child->fwnode = of_fwnode_handle(np);
	dev_set_name(child, "%s:%s", dev_name(dev), np->name);
	ret = device_register(child);
	if (ret) {
		put_device(child);
		return ERR_PTR(ret);
	}
	child->driver = dev->driver;
	ret = devm_add_action_or_reset(dev, sim_remove_child, child);
	return ret ? ERR_PTR(ret) : child;
}

static void sim_read_properties(struct sim *sim, struct device_node *np)
{
	const char *done = "irq";

	sim->payload = "none";
	of_property_read_string(np, "payload", &sim->payload);
	of_property_read_string(np, "tx-done", &done);
	sim->rx_ack = of_property_read_bool(np, "rx-ack");
	sim->refuse = of_property_read_bool(np, "refuse");
	sim->no_sync = of_property_read_bool(np, "no-sync");
	sim->no_thread = of_property_read_bool(np, "no-thread");
	sim->threaded = of_property_read_bool(np, "threaded");
	sim->done_locked = of_property_read_bool(np, "tx-done-locked");
	sim->rx_locked = of_property_read_bool(np, "rx-locked");
	sim->done_irq = !strcmp(done, "irq");
	sim->done_work = !strcmp(done, "work");
	sim->done_channel = !strcmp(done, "channel");
	sim->controller.txdone_irq = sim->done_irq || sim->done_work || sim->done_channel;
	sim->controller.txdone_poll = !strcmp(done, "poll");
	sim->controller.txpoll_period = 1;
}

static int sim_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct sim *sim;
	u32 channels = 2;
	int ret, n;

	sim = devm_kzalloc(dev, sizeof(*sim), GFP_KERNEL);
	if (!sim)
		return -ENOMEM;
	sim_read_properties(sim, dev->of_node);
	of_property_read_u32(dev->of_node, "channels", &channels);
	if (channels < 1 || channels > SIM_CHANNELS ||
	    (sim->no_thread && (!sim->no_sync || sim->threaded || sim->done_irq)))
		return -EINVAL;
	raw_spin_lock_init(&sim->lock);
	spin_lock_init(&sim->doorbell_lock);
	init_waitqueue_head(&sim->wait);
	rsl_hrtimer_setup(&sim->timer, sim_timer);
	for (n = 0; n < SIM_CHANNELS; n++) {
		sim->channel[n].number = n;
		INIT_WORK(&sim->channel[n].work, sim_done_work);
	}
	sim->page = devm_get_free_pages(dev, GFP_KERNEL | __GFP_ZERO, 0);
	sim->misc.name = devm_kasprintf(dev, GFP_KERNEL, "rsl_mbox_sim-%pOFn", dev->of_node);
	if (!sim->page || !sim->misc.name)
		return -ENOMEM;

	sim->controller.dev = sim_channels_device(dev);
	if (IS_ERR(sim->controller.dev))
		return PTR_ERR(sim->controller.dev);
	sim->controller.ops = &sim_ops;
	sim->controller.chans = sim->chans;
	sim->controller.num_chans = channels;
	sim->controller.of_xlate = sim_xlate;
	ret = sim_create_domain(sim, pdev);
	if (ret)
		return ret;
	if (sim->no_sync) {
		ret = sim_request_irq(sim, sim_interrupt,
				      sim->no_thread ? IRQF_NO_THREAD : 0,
				      sim->misc.name, sim) ?:
		      devm_add_action_or_reset(dev, sim_free_irq, sim);
		if (ret)
			return ret;
	}

	ret = devm_mbox_controller_register(dev, &sim->controller);
	if (ret)
		return ret;

	sim->misc.minor = MISC_DYNAMIC_MINOR;
	sim->misc.fops = &sim_fops;
	ret = misc_register(&sim->misc);
	if (ret)
		return ret;
	return devm_add_action_or_reset(dev, sim_deregister, sim);
}

/* The first are those whose drivers a node plays; each node has the last, too. */
static const struct of_device_id sim_of_match[] = {
	{ .compatible = "allwinner,sun6i-a31-msgbox" },
	{ .compatible = "altr,mailbox-1.0" },
	{ .compatible = "amlogic,meson-gxbb-mhu" },
	{ .compatible = "apple,asc-mailbox-v4" },
	{ .compatible = "apple,m3-mailbox-v2" },
	{ .compatible = "arm,mhu" },
	{ .compatible = "arm,mhu-doorbell" },
	{ .compatible = "arm,mhuv2-rx" },
	{ .compatible = "arm,mhuv2-tx" },
	{ .compatible = "arm,mhuv3" },
	{ .compatible = "aspeed,ast2700-mailbox" },
	{ .compatible = "brcm,bcm2835-mbox" },
	{ .compatible = "fsl,imx6sx-mu" },
	{ .compatible = "fsl,imx7ulp-mu" },
	{ .compatible = "fsl,imx8ulp-mu" },
	{ .compatible = "fsl,imx95-mu" },
	{ .compatible = "hisilicon,hi6220-mbox" },
	{ .compatible = "mediatek,mt8186-adsp-mbox" },
	{ .compatible = "mediatek,mt8195-adsp-mbox" },
	{ .compatible = "microchip,sbi-ipc" },
	{ .compatible = "sophgo,cv1800b-mailbox" },
	{ .compatible = "sprd,sc9860-mailbox" },
	{ .compatible = "sprd,sc9863a-mailbox" },
	{ .compatible = "sprd,ums9230-mailbox" },
	{ .compatible = "st,stih407-mailbox" },
	{ .compatible = "st,stm32mp1-ipcc" },
	{ .compatible = "thead,th1520-mbox" },
	{ .compatible = "ti,am64-mailbox" },
	{ .compatible = "ti,am654-mailbox" },
	{ .compatible = "ti,omap2-mailbox" },
	{ .compatible = "ti,omap3-mailbox" },
	{ .compatible = "ti,omap4-mailbox" },
	{ .compatible = "xlnx,versal-ipi-mailbox" },
	{ .compatible = "xlnx,zynqmp-ipi-mailbox" },
	{ .compatible = "rsl,mbox-sim" },
	{ }
};
MODULE_DEVICE_TABLE(of, sim_of_match);

static struct platform_driver sim_driver = {
	.probe = sim_probe,
	.driver = {
		.name = "rsl_mbox_sim",
		/* A test that unbinds a controller has none of its files open. */
		.of_match_table = sim_of_match,
	},
};
module_platform_driver(sim_driver);

MODULE_DESCRIPTION("Mailbox controllers for the tests of rsl_mbox");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
