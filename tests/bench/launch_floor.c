/* The floor: what one launch of runwright costs when C makes its system calls, everything made per launch.
 *
 *     launch_floor RUN_DIR CGROUP USER_NAMESPACE_FD HOST_BASE SECCOMP_FILE PROGRAM STAGE [b SOURCE TARGET | l TARGET LINK]...
 *
 * A claim, a log and an exit record; a cgroup of version 1 with limits; pid, mount, net, ipc, uts, user and cgroup
 * namespaces; a root of its own with the usual masks; no rights; seccomp; a process 1 that stays and reaps. It closes
 * standard output when the end is on record, and cleans up after that. Written for the benchmark: any failure ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(call) check((long)(call), #call)
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define INERT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static const char *run_dir, *cgroup, *seccomp_file, *program;
static int user_namespace, host_base;
static char **wanted;

static long check(long result, const char *call) {
    if (result < 0) {
        dprintf(2, "%s: %s\n", call, strerror(errno));
        _exit(99);
    }
    return result;
}

static void put(const char *path, const char *text, int flags) {
    int fd = CHECK(open(path, O_WRONLY | O_CLOEXEC | flags, 0644));
    CHECK(write(fd, text, strlen(text)));
    close(fd);
}

/* Cgroups of version 1 */

static const char *const controllers[] = {"memory", "cpu", "cpuacct", "pids", "freezer"};
static const char *const limits[][3] = {
    {"memory", "memory.limit_in_bytes", "268435456"},
    {"memory", "memory.memsw.limit_in_bytes", "268435456"},
    {"pids", "pids.max", "200"},
};
static int join_fds[COUNT(controllers)], usage_fds[4], oom_fd, oom_control_fd;

static void make_cgroup(void) {
    char path[512], text[64];
    for (size_t i = 0; i < COUNT(controllers); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", controllers[i], cgroup);
        CHECK(mkdir(path, 0755));
    }
    for (size_t i = 0; i < COUNT(limits); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s/%s", limits[i][0], cgroup, limits[i][1]);
        if (access(path, F_OK) == 0)
            put(path, limits[i][2], 0);
    }
    for (size_t i = 0; i < COUNT(controllers); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s/tasks", controllers[i], cgroup);
        join_fds[i] = CHECK(open(path, O_WRONLY | O_CLOEXEC));
    }
    snprintf(path, sizeof path, "/sys/fs/cgroup/memory/%s/memory.oom_control", cgroup);
    oom_control_fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
    oom_fd = CHECK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    snprintf(text, sizeof text, "%d %d", oom_fd, oom_control_fd);
    snprintf(path, sizeof path, "/sys/fs/cgroup/memory/%s/cgroup.event_control", cgroup);
    put(path, text, 0);
    static const char *const usage[COUNT(usage_fds)][2] = {{"memory", "memory.max_usage_in_bytes"},
        {"memory", "memory.failcnt"}, {"cpuacct", "cpuacct.usage"}, {"cpu", "cpu.stat"}};
    for (size_t i = 0; i < COUNT(usage); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s/%s", usage[i][0], cgroup, usage[i][1]);
        usage_fds[i] = CHECK(open(path, O_RDONLY | O_CLOEXEC));
    }
}

static void remove_cgroup(void) {
    char path[512];
    for (size_t i = 0; i < COUNT(controllers); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", controllers[i], cgroup);
        CHECK(rmdir(path));
    }
}

/* The sandbox */

static int new_filesystem(const char *type, const char *const *options, unsigned attributes) {
    int context = CHECK(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
    for (; *options; options += 2)
        CHECK(syscall(SYS_fsconfig, context, *options[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[0],
                      *options[1] ? options[1] : NULL, 0));
    CHECK(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int tree = CHECK(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
    close(context);
    return tree;
}

static void attach(int tree, int directory, const char *path) {
    CHECK(syscall(SYS_move_mount, tree, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH));
    close(tree);
}

static void set_attributes(int fd, const char *path, uint64_t set, unsigned flags) {
    struct mount_attr attributes = {.attr_set = set};
    CHECK(syscall(SYS_mount_setattr, fd, path, flags, &attributes, sizeof attributes));
}

static void bind_at(int from, const char *source, int root, const char *target, uint64_t attributes) {
    int tree = CHECK(syscall(SYS_open_tree, from, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    set_attributes(tree, "", attributes, AT_EMPTY_PATH | AT_RECURSIVE);
    attach(tree, root, target);
}

static void tmpfs_at(int root, const char *target, const char *size, const char *mode) {
    char owner[16];
    snprintf(owner, sizeof owner, "%d", host_base);
    const char *options[] = {"size", size, "mode", mode, "uid", owner, "gid", owner, NULL};
    if (mkdirat(root, target, 0755) < 0 && errno != EEXIST)
        CHECK(-1);
    attach(new_filesystem("tmpfs", options, QUIET), root, target);
}

static void bring_up_loopback(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void make_devices(int root) {
    static const struct { const char *path; int major, minor; } devices[] = {{"dev/null", 1, 3}, {"dev/zero", 1, 5},
        {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    static const char *const links[][2] = {{"dev/fd", "/proc/self/fd"}, {"dev/stdin", "/proc/self/fd/0"},
        {"dev/stdout", "/proc/self/fd/1"}, {"dev/stderr", "/proc/self/fd/2"}, {"dev/ptmx", "pts/ptmx"}};
    CHECK(mkdirat(root, "dev", 0755));
    CHECK(mkdirat(root, "dev/pts", 0755));
    for (size_t i = 0; i < COUNT(devices); i++) {
        CHECK(mknodat(root, devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
        CHECK(fchmodat(root, devices[i].path, 0666, 0));
    }
    for (size_t i = 0; i < COUNT(links); i++)
        CHECK(symlinkat(links[i][1], root, links[i][0]));
    char group[16];
    snprintf(group, sizeof group, "%d", host_base + 5);
    const char *options[] = {"newinstance", "", "ptmxmode", "0666", "mode", "0620", "gid", group, NULL};
    attach(new_filesystem("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), root, "dev/pts");
}

static void make_proc(int root) {
    static const char *const masked[] = {"acpi", "asound", "kcore", "keys", "kmsg", "latency_stats", "sched_debug",
        "scsi", "sysrq-trigger", "timer_list", "timer_stats"};
    static const char *const read_only[] = {"bus", "fs", "irq", "sys"};
    const char *options[] = {"hidepid", "invisible", NULL};
    CHECK(mkdirat(root, "proc", 0755));
    attach(new_filesystem("proc", options, INERT), root, "proc");
    int proc = CHECK(openat(root, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (size_t i = 0; i < COUNT(masked); i++) {
        struct stat found;
        if (fstatat(proc, masked[i], &found, 0) < 0)
            continue;
        const char *small[] = {"size", "4096", "mode", "555", NULL};
        if (S_ISDIR(found.st_mode))
            attach(new_filesystem("tmpfs", small, INERT | MOUNT_ATTR_RDONLY), proc, masked[i]);
        else
            bind_at(root, "dev/null", proc, masked[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    }
    for (size_t i = 0; i < COUNT(read_only); i++)
        if (faccessat(proc, read_only[i], F_OK, 0) == 0)
            bind_at(proc, read_only[i], proc, read_only[i], INERT | MOUNT_ATTR_RDONLY);
    close(proc);
}

static void make_parents(int root, const char *path) {
    char copy[512];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = copy; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = 0;
        mkdirat(root, copy, 0755);
    }
}

static void make_wanted(int root, int host_root) {
    for (char **word = wanted; *word; word += 3) {
        const char *target = (word[0][0] == 'b' ? word[2] : word[1]) + 1;
        make_parents(root, target);
        if (word[0][0] == 'l') {
            CHECK(symlinkat(word[2], root, target));
            continue;
        }
        struct stat found;
        CHECK(stat(word[1], &found));
        if (S_ISDIR(found.st_mode))
            mkdirat(root, target, 0755);
        else if (mknodat(root, target, S_IFREG | 0644, 0) < 0 && errno != EEXIST)
            CHECK(-1);
        bind_at(host_root, word[1] + 1, root, target, QUIET | MOUNT_ATTR_RDONLY);
    }
}

static void put_at(int root, const char *path, const char *text) {
    int fd = CHECK(openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    CHECK(write(fd, text, strlen(text)));
    close(fd);
}

static void make_sandbox(const char *stage) {
    const char *options[] = {"size", "8388608", "mode", "755", NULL};
    CHECK(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
    struct mount_attr private = {.propagation = 1 << 18};
    CHECK(syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof private));
    bring_up_loopback();
    int host_root = CHECK(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int tree = new_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID);
    CHECK(syscall(SYS_move_mount, tree, "", AT_FDCWD, stage, MOVE_MOUNT_F_EMPTY_PATH));
    make_devices(tree);
    make_proc(tree);
    CHECK(mkdirat(tree, "etc", 0755));
    put_at(tree, "etc/passwd", "root:x:0:0:root:/work:/bin/sh\n");
    put_at(tree, "etc/group", "root:x:0:\n");
    put_at(tree, "etc/nsswitch.conf", "passwd: files\n");
    put_at(tree, "etc/hosts", "127.0.0.1 localhost\n");
    put_at(tree, "etc/hostname", "sandbox\n");
    CHECK(mkdirat(tree, "run", 0755));
    tmpfs_at(tree, "tmp", "67108864", "1777");
    tmpfs_at(tree, "dev/shm", "67108864", "1777");
    tmpfs_at(tree, "work", "67108864", "755");
    make_wanted(tree, host_root);
    CHECK(sethostname("sandbox", 7));
    CHECK(fchdir(tree));
    CHECK(syscall(SYS_pivot_root, ".", "."));
    CHECK(syscall(SYS_umount2, ".", 2));
    CHECK(chdir("/"));
    set_attributes(AT_FDCWD, "/", MOUNT_ATTR_RDONLY, 0);
    close(tree);
    close(host_root);
}

/* Rights */

static void become(int id) {
    CHECK(setns(user_namespace, CLONE_NEWUSER));
    CHECK(setgroups(0, NULL));
    CHECK(setresgid(id, id, id));
    CHECK(prctl(PR_SET_SECUREBITS, 1 << 2, 0, 0, 0));
    CHECK(setresuid(id, id, id));
}

static void give_up_rights(unsigned kept) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{kept, kept, 0}, {0, 0, 0}};
    for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
        CHECK(prctl(PR_CAPBSET_DROP, number, 0, 0, 0));
    CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    CHECK(syscall(SYS_capset, &head, data));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void be_the_job(int out, int err, struct sock_fprog *filter) {
    struct rlimit none = {0, 0}, files = {1024, 524288}, allowed;
    CHECK(setsid());
    CHECK(setrlimit(RLIMIT_CORE, &none));
    CHECK(getrlimit(RLIMIT_NOFILE, &allowed));
    if (files.rlim_max > allowed.rlim_max)
        files.rlim_max = allowed.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files));
    for (size_t i = 0; i < COUNT(join_fds); i++)
        CHECK(write(join_fds[i], "0", 1));
    become(0);
    int null = CHECK(open("/dev/null", O_RDONLY));
    dup2(null, 0);
    dup2(out, 1);
    dup2(err, 2);
    CHECK(syscall(SYS_close_range, 3, ~0U, 0));
    CHECK(unshare(CLONE_NEWCGROUP));
    give_up_rights(0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter));
    char *const argv[] = {(char *)program, NULL}, *const env[] = {"PATH=/usr/bin:/bin", NULL};
    CHECK(chdir("/work"));
    execve(program, argv, env);
    _exit(127);
}

/* The run */

static void record_end(int run_fd, int exit_fd, int status) {
    char text[4096], usage[512];
    for (size_t i = 0; i < COUNT(usage_fds); i++)
        CHECK(pread(usage_fds[i], usage, sizeof usage, 0));
    memset(text, ' ', sizeof text);
    snprintf(text, sizeof text, "{\"wait_status\": %d}", status);
    CHECK(pwrite(exit_fd, text, sizeof text, 0));
    CHECK(renameat(run_fd, "exit.json.new", run_fd, "exit.json"));
}

static int supervise(const char *stage, struct sock_fprog *filter) {
    char claim[] = "{\"run_id\": \"floor\", \"boot_id\": \"\", \"pid\": 1, \"start_time\": 1, \"control\": \"\"}", room[4096];
    int run_fd = CHECK(open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), status = 0;
    int claim_fd = CHECK(openat(run_fd, "claim.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    CHECK(write(claim_fd, claim, sizeof claim - 1));
    CHECK(linkat(run_fd, "claim.new", run_fd, "claim.json", 0));
    CHECK(unlinkat(run_fd, "claim.new", 0));
    close(claim_fd);
    int log_fd = CHECK(openat(run_fd, "0.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    int exit_fd = CHECK(openat(run_fd, "exit.json.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    memset(room, ' ', sizeof room);
    CHECK(write(exit_fd, room, sizeof room));
    int out[2], err[2];
    CHECK(pipe2(out, O_CLOEXEC));
    CHECK(pipe2(err, O_CLOEXEC));
    make_cgroup();
    make_sandbox(stage);
    pid_t job = CHECK(fork());
    if (job == 0)
        be_the_job(out[1], err[1], filter);
    close(out[1]);
    close(err[1]);
    CHECK(fchown(run_fd, host_base + 65534, host_base + 65534));
    become(65534);
    give_up_rights(1 << CAP_KILL);
    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    struct pollfd polled[] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}, {oom_fd, POLLIN, 0}};
    char chunk[65536];
    while (polled[0].fd >= 0 || polled[1].fd >= 0) {
        CHECK(poll(polled, COUNT(polled), -1));
        for (int i = 0; i < 2; i++)
            if (polled[i].revents) {
                long count = read(polled[i].fd, chunk, sizeof chunk);
                if (count <= 0 || write(log_fd, chunk, count) < 0)
                    polled[i].fd = -1;
            }
    }
    CHECK(waitpid(job, &status, 0));
    kill(-1, SIGKILL);
    CHECK(pread(oom_control_fd, chunk, sizeof chunk, 0));
    record_end(run_fd, exit_fd, status);
    close(1);
    fsync(exit_fd);
    return status != 0;
}

int main(int argc, char **argv) {
    if (argc < 8)
        return 2;
    run_dir = argv[1], cgroup = argv[2], user_namespace = atoi(argv[3]), host_base = atoi(argv[4]);
    seccomp_file = argv[5], program = argv[6], wanted = argv + 8;
    struct sock_filter instructions[4096];
    int fd = CHECK(open(seccomp_file, O_RDONLY | O_CLOEXEC)), status;
    struct sock_fprog filter = {CHECK(read(fd, instructions, sizeof instructions)) / sizeof *instructions, instructions};
    close(fd);
    CHECK(unshare(CLONE_NEWPID));
    pid_t supervisor = CHECK(fork());
    if (supervisor == 0)
        _exit(supervise(argv[7], &filter));
    close(1);
    CHECK(waitpid(supervisor, &status, 0));
    remove_cgroup();
    return status != 0;
}
