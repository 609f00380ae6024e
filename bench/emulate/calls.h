/* SPDX-License-Identifier: Apache-2.0
 * The trapped call of both programs, and how long one takes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#define GET_HW_INFO 0x3b8a
#define ROUNDS 3

struct hw_info {
	uint32_t size, flags, dev_id, data_len;
	uint64_t data_uptr;
	uint32_t type;
	uint8_t pasid, reserved[3];
	uint64_t capabilities;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Microseconds for one call, in the best of some rounds. */
static double measure(int file, uint32_t device, int count)
{
	uint8_t buffer[64];
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now();

		for (int i = 0; i < count; i++) {
			struct hw_info info = { .size = 40, .dev_id = device, .data_len = 64, .data_uptr = (uintptr_t)buffer };

			if (ioctl(file, GET_HW_INFO, &info) || info.type != 2)
				die("IOMMU_GET_HW_INFO");
		}
		if ((now() - began) / count < best)
			best = (now() - began) / count;
	}
	return best * 1e6;
}
