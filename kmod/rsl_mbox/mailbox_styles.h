/* SPDX-License-Identifier: GPL-2.0-only */
/* What a mailbox controller expects of its client. */
#ifndef _RSL_MBOX_MAILBOX_STYLES_H
#define _RSL_MBOX_MAILBOX_STYLES_H

#include <linux/stddef.h>
#include <linux/types.h>

/*
 * Some drivers read more than a word behind the pointer to a message. A message of
 * PAYLOAD_U32_POINTER has this many words; all but the first are 0.
 */
#define MAILBOX_MESSAGE_WORDS	16

/**
 * enum mailbox_payload - what the controller expects as the message pointer
 * @PAYLOAD_NONE: any pointer; the controller sends no data and does not follow it
 * @PAYLOAD_U32_POINTER: the address of MAILBOX_MESSAGE_WORDS words
 * @PAYLOAD_U32_VALUE: the value of a u32, not 0, of which the controller may use the
 *	most significant bit itself
 * @PAYLOAD_ZYNQMP: the address of a struct zynqmp_ipi_message
 * @PAYLOAD_BUFFER: the address of a struct mailbox_buffer
 */
enum mailbox_payload {
	PAYLOAD_NONE,
	PAYLOAD_U32_POINTER,
	PAYLOAD_U32_VALUE,
	PAYLOAD_ZYNQMP,
	PAYLOAD_BUFFER,
};

/**
 * struct mailbox_buffer - a message of PAYLOAD_BUFFER
 * @data: the words of the message
 * @size: size of @data in bytes
 *
 * struct arm_mhuv2_mbox_msg is the same. In struct mchp_ipc_msg @size has 16 bits. On
 * a little-endian machine these are the first 16 bits of @size.
 */
struct mailbox_buffer {
	u32 *data;
	size_t size;
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

/**
 * enum mailbox_way - the ways in which a channel can be used
 * @BOTH_WAYS: for kicks and for notifications
 * @ONLY_KICKS: for kicks
 * @ONLY_NOTIFICATIONS: for notifications; the controller warns in the log when the
 *	client sends
 * @ONE_WAY: for kicks or for notifications, and then not for the other
 */
enum mailbox_way {
	BOTH_WAYS,
	ONLY_KICKS,
	ONLY_NOTIFICATIONS,
	ONE_WAY,
};

/**
 * struct mailbox_style - what a controller expects of its client
 * @payload: form of messages
 * @tx_done: who reports that a message was sent
 * @way: the ways in which the channel can be used
 * @rx_ack: the client has to acknowledge a received message by a message on the same
 *	channel
 * @hold_irq: the controller's driver does not wait for its interrupt handler when a
 *	channel is freed, and the handler may call the client. The interrupts are those
 *	of the controller's device.
 * @rx_locked: the controller's driver reports a received message with a lock held that
 *	its send_data() takes, too
 * @refuses: the controller refuses a message while the remote has not taken the one
 *	before, also that of an earlier client, and its last_tx_done() tells whether it does
 * @used_up: each request of a channel takes something that the controller's driver does not
 *	get back
 * @polls: the controller reports only if it is asked, by polling, so the node's
 *	rsl,tx-done can choose
 */
struct mailbox_style {
	enum mailbox_payload payload;
	enum mailbox_tx_done tx_done;
	enum mailbox_way way;
	bool rx_ack:1;
	bool hold_irq:1;
	bool rx_locked:1;
	bool refuses:1;
	bool used_up:1;
	bool polls:1;
};

#endif /* _RSL_MBOX_MAILBOX_STYLES_H */
