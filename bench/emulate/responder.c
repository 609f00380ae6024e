/* SPDX-License-Identifier: Apache-2.0
 * The same work as one emulated IOMMU_GET_HW_INFO, in C: wait for the notification and receive it, find the open file by its
 * lock in fdinfo, open its memory and ask whether it still waits, read the argument, write the answer and the argument back,
 * send. For comparison only.
 *
 * Usage: responder COUNT [PROGRAM ARGUMENT]; prints microseconds for one call, the best of some rounds. PROGRAM answers in place
 * of this one; its second argument is the number of the listener.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif
/* By number, as the emulator does: headers older than the kernel (6.6, 5.17) lack them or have another. */
#define SET_FLAGS 0x40082104
#define SYNC_WAKE_UP 1ULL
#define ID_VALID 0x40082102
#define TOKEN 0x123456789abcULL

static int install(void)
{
	struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GET_HW_INFO, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(lines) / sizeof(*lines), lines };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("prctl");
	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void send_fd(int link, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(link, &message, 0) < 0)
		die("sendmsg");
}

static int receive_fd(int link)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(link, &message, 0) <= 0)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

static void program(int link, int count)
{
	int file = open("/dev/zero", O_RDWR);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = TOKEN, .l_len = 1 };

	if (fcntl(file, F_OFD_SETLK, &lock))
		die("lock");
	send_fd(link, install());
	printf("%f\n", measure(file, 1, count));
	fflush(stdout);
	_exit(0);
}

/* The file of fdinfo stays open, as with the emulator: each reading shows what has the number at that moment. */
static int is_ours(int pid, int fd)
{
	static int file = -1, its_pid, its_fd;
	char path[64], text[4096];
	int length;

	if (file < 0 || pid != its_pid || fd != its_fd) {
		close(file);
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
		file = open(path, O_RDONLY | O_CLOEXEC);
		its_pid = pid;
		its_fd = fd;
	}
	length = pread(file, text, sizeof(text) - 1, 0);
	text[length > 0 ? length : 0] = 0;
	return strstr(text, "OFDLCK") != NULL;
}

static int handle(int listener, struct seccomp_notif *call)
{
	char path[32];
	struct hw_info info;
	uint8_t answer[64] = { 0 };
	int memory, error = 0;

	if (!is_ours(call->pid, call->data.args[0]))
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/%d/mem", call->pid);
	memory = open(path, O_RDWR | O_CLOEXEC);
	if (ioctl(listener, ID_VALID, &call->id))
		error = -EFAULT;
	if (!error && pread(memory, &info, sizeof(info), call->data.args[2]) != sizeof(info))
		error = -EFAULT;
	info.type = 2;
	if (!error && pwrite(memory, answer, info.data_len, info.data_uptr) != info.data_len)
		error = -EFAULT;
	info.data_len = 40;
	if (!error && pwrite(memory, &info, sizeof(info), call->data.args[2]) != sizeof(info))
		error = -EFAULT;
	close(memory);
	return error;
}

int main(int argc, char **argv)
{
	int link[2], listener, count = argc > 1 ? atoi(argv[1]) : 2000;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, link))
		die("socketpair");
	child = fork();
	if (!child)
		program(link[1], count);
	listener = receive_fd(link[0]);
	ioctl(listener, SET_FLAGS, SYNC_WAKE_UP);
	if (argc > 3) {
		char number[16];

		snprintf(number, sizeof(number), "%d", listener);
		fcntl(listener, F_SETFD, 0);
		execl(argv[2], argv[2], argv[3], number, NULL);
		die(argv[2]);
	}
	for (int i = 0; i < ROUNDS * count; i++) {
		struct pollfd ready = { .fd = listener, .events = POLLIN };
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp response = { 0 };

		/* RECV alone would wait for ever if the program ended. */
		if (poll(&ready, 1, -1) != 1 || !(ready.revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
			break;
		response.id = call.id;
		response.error = handle(listener, &call);
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
	waitpid(child, NULL, 0);
	return 0;
}
