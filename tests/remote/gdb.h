/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stub of GDB's remote protocol (Debugging with GDB, appendix E) by which a debugger
 * looks at a program that goes on: its registers are 0, and its memory is as it is.
 */
#ifndef GDB_H
#define GDB_H

#include <stdbool.h>
#include <stdint.h>

#define GDB_PACKET		64	/* of what it understands */
/* An answer, of which memory takes two digits a byte. */
#define GDB_ANSWER		1200
#define GDB_MEMORY		512
/* x0 to x30, sp and pc of 64 bits, and cpsr of 32, in digits. */
#define GDB_REGISTERS		(33 * 16 + 8)

struct gdb {
	char packet[GDB_PACKET];
	uint32_t size;		/* of the packet */
	uint32_t left;		/* digits of its checksum that are to come */
	bool within;		/* a packet */
};

static char gdb_digit(unsigned int value)
{
	return value < 10 ? '0' + value : 'a' + value - 10;
}

/* The number at @at, in hexadecimal digits, and behind it. */
static uint64_t gdb_number(const char **at)
{
	uint64_t number = 0;

	for (;; (*at)++) {
		char digit = **at;

		if (digit >= '0' && digit <= '9')
			number = number << 4 | (digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			number = number << 4 | (digit - 'a' + 10);
		else
			return number;
	}
}

static uint32_t gdb_copy(char *to, const char *text)
{
	uint32_t size = 0;

	for (; *text; text++)
		to[size++] = *text;
	return size;
}

/* The answer to m ADDRESS,LENGTH; @readable tells which memory there is. */
static uint32_t gdb_memory(const char *words, char *to, bool (*readable)(uint64_t, uint64_t))
{
	uint64_t address = gdb_number(&words), length, n;

	words += *words == ',';
	length = gdb_number(&words);
	if (length > GDB_MEMORY)
		length = GDB_MEMORY;	/* a part will do, says the protocol */
	if (!readable(address, length))
		return gdb_copy(to, "E0e");
	for (n = 0; n < length; n++) {
		uint8_t byte = *(volatile uint8_t *)(uintptr_t)(address + n);

		to[2 * n] = gdb_digit(byte >> 4);
		to[2 * n + 1] = gdb_digit(byte & 15);
	}
	return 2 * length;
}

static bool gdb_begins(const char *packet, const char *word)
{
	while (*word && *packet == *word) {
		packet++;
		word++;
	}
	return !*word;
}

static uint32_t gdb_answer(const char *packet, char *to, bool (*readable)(uint64_t, uint64_t))
{
	uint32_t n;

	switch (packet[0]) {
	case '?':
		return gdb_copy(to, "S05");
	case 'g':
		for (n = 0; n < GDB_REGISTERS; n++)
			to[n] = '0';
		return n;
	case 'm':
		return gdb_memory(packet + 1, to, readable);
	case 'H':
	case 'D':
		return gdb_copy(to, "OK");
	}
	if (gdb_begins(packet, "qSupported"))
		return gdb_copy(to, "PacketSize=40");
	if (gdb_begins(packet, "qAttached"))
		return gdb_copy(to, "1");
	return 0;	/* what it does not know */
}

/* Take a byte; the size of what there is to say then in @out, which has GDB_ANSWER bytes. */
static uint32_t gdb_take(struct gdb *gdb, char byte, char *out,
			 bool (*readable)(uint64_t, uint64_t))
{
	uint32_t n, size;
	uint8_t sum = 0;

	if (gdb->left) {
		if (--gdb->left)
			return 0;
		gdb->packet[gdb->size] = '\0';
		out[0] = '+';
		out[1] = '$';
		size = 2 + gdb_answer(gdb->packet, out + 2, readable);
		for (n = 2; n < size; n++)
			sum += out[n];
		out[size++] = '#';
		out[size++] = gdb_digit(sum >> 4);
		out[size++] = gdb_digit(sum & 15);
		return size;
	}
	if (byte == '$') {
		gdb->within = true;
		gdb->size = 0;
	} else if (byte == '#' && gdb->within) {
		gdb->within = false;
		gdb->left = 2;
	} else if (gdb->within && gdb->size < GDB_PACKET - 1) {
		gdb->packet[gdb->size++] = byte;
	}
	return 0;
}

#endif
