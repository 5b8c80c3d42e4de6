/* The fast path of a launcher (launcher.py): jobs that start in the cgroup in which the launcher
   is, while no other job of it runs, and end soon. messages.py explains requests and answers.

   It has no rules and no words of its own. A request that is another one, or whose start fails,
   goes back to the launcher, which works on it from its beginning. Where this file could not be
   compiled, nothing but speed is lost.

   Why: each program that starts empties the caches, and then a request costs the interpreter some
   100 us, nearly all of them to fetch its own code again. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "requests and answers are little-endian"
#endif

enum { SPAWN = 1, BEHIND = 8, ENDED = 2 }; /* of messages.py */
enum { HEAD_BYTES = 13, ANSWER_BYTES = 41, MOST_DESCRIPTORS = 4, MOST_WORDS = 2048 };

struct request {
    int kind;
    uint64_t number;
    const char *cgroup, *folder, *path, *umask;
    char **argv, **environment; /* of static memory: until the next request */
    int streams[MOST_DESCRIPTORS], stream_count;
};

/* Takes a message apart; the request then points into it. Returns 0 if it is not for this path. */
static int parse(char *message, ssize_t size, struct request *request) {
    static char pairs[128 << 10], *argv[MOST_WORDS + 1], *environment[MOST_WORDS + 1];
    char *words[MOST_WORDS], *at = message + HEAD_BYTES, *end = message + size, *pair = pairs;
    uint16_t arguments, names_and_values;
    int count = 0;
    if (size <= HEAD_BYTES || size > (ssize_t)sizeof pairs || end[-1]) return 0;
    request->kind = message[0];
    memcpy(&request->number, message + 1, 8);
    memcpy(&arguments, message + 9, 2);
    memcpy(&names_and_values, message + 11, 2);
    for (; at < end && count < MOST_WORDS; at += strlen(at) + 1) words[count++] = at;
    int known = 3 + arguments + names_and_values;
    if (request->kind & ~(SPAWN | BEHIND) || at < end || count < known) return 0;
    if (!arguments || names_and_values % 2) return 0;
    memcpy(argv, words + 3, arguments * sizeof *words);
    argv[arguments] = NULL;
    char **next = environment;
    for (char **one = words + 3 + arguments; one < words + known; one += 2) {
        *next++ = pair;
        pair = stpcpy(stpcpy(stpcpy(pair, one[0]), "="), one[1]) + 1;
    }
    *next = NULL;
    request->cgroup = words[0], request->folder = words[1], request->path = words[2];
    request->umask = count > known ? words[known] : "";
    request->argv = argv, request->environment = environment;
    return 1;
}

/* Searches the program as execvp(3) does. Returns NULL if there is none. */
static const char *search(const struct request *request) {
    static char candidate[8192];
    const char *name = request->argv[0];
    struct stat about;
    if (strchr(name, '/')) return name;
    for (const char *folder = request->path;; folder++) {
        int length = (int)strcspn(folder, ":");
        int size = snprintf(candidate, sizeof candidate, "%.*s/%s", length ? length : 1,
                            length ? folder : ".", name);
        if (size >= (int)sizeof candidate) return NULL;
        if (!access(candidate, X_OK) && !stat(candidate, &about) && S_ISREG(about.st_mode))
            return candidate;
        folder += length;
        if (!*folder) return NULL;
    }
}

struct birth {
    const struct request *request;
    const char *program;
    int error;
};

/* The child, which runs in the launcher's memory while the launcher waits. It comes with all
   signals blocked. One that is sent to it before it is another program is lost, but for SIGKILL
   and SIGSTOP: nobody knows this process yet. */
static int become(void *given) {
    struct birth *birth = given;
    const struct request *request = birth->request;
    sigset_t none;
    setsid();
    for (int n = 0; n < request->stream_count; n++)
        dup2(request->streams[n], 3 - request->stream_count + n);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(birth->program, request->argv, request->environment);
    birth->error = errno;
    _exit(127);
}

/* Returns the process id, or 0 if the program was not started. */
static pid_t start(const struct request *request, mode_t own_umask) {
    static char stack[64 << 10] __attribute__((aligned(64)));
    struct birth birth = {.request = request};
    sigset_t all, before;
    pid_t pid = 0;
    umask(*request->umask ? (mode_t)strtol(request->umask, NULL, 8) : own_umask);
    if (chdir(request->folder)) return 0;
    if ((birth.program = search(request))) {
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = clone(become, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &birth);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    int left = chdir("/");
    if (pid <= 0 || left) return pid > 0 ? pid : 0;
    if (!birth.error) return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return 0;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Waits up to `hold_s` for the end of the process. */
static int has_ended(pid_t pid, double hold_s, int *status, struct rusage *usage) {
    sigset_t child_ended;
    int64_t until = now_ns() + (int64_t)(1e9 * hold_s), left_ns;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    while ((left_ns = until - now_ns()) > 0) {
        struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};
        sigtimedwait(&child_ended, NULL, &left);
        if (wait4(pid, status, WNOHANG, usage) == pid) return 1;
    }
    return 0;
}

/* Whether a process of a job is in the cgroup, or in one below it, or may be. -1: no cgroup. */
static int finds_others(int folder, int processes) {
    char alone[16], found[64];
    struct stat about;
    if (folder < 0) return 1;
    int length = snprintf(alone, sizeof alone, "%d\n", (int)getpid());
    return pread(processes, found, sizeof found, 0) != length ||
           memcmp(found, alone, (size_t)length) || fstat(folder, &about) || about.st_nlink > 2;
}

/* Tells of a start and its end in one answer. */
static void tell(int link, uint64_t number, pid_t pid, int status, const struct rusage *usage,
                 int is_empty) {
    char answer[ANSWER_BYTES + 1] = {ENDED};
    int32_t how[2] = {pid, status};
    uint64_t used[3] = {
        (uint64_t)usage->ru_maxrss,
        (uint64_t)usage->ru_utime.tv_sec * 1000000 + (uint64_t)usage->ru_utime.tv_usec,
        (uint64_t)usage->ru_stime.tv_sec * 1000000 + (uint64_t)usage->ru_stime.tv_usec,
    };
    memcpy(answer + 1, &number, sizeof number);
    memcpy(answer + 9, how, sizeof how);
    memcpy(answer + 17, used, sizeof used);
    answer[ANSWER_BYTES] = 1;
    while (send(link, answer, ANSWER_BYTES + !!is_empty, 0) < 0 && errno == EINTR) continue;
}

static ssize_t receive(int link, const Py_buffer *room, struct request *request) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {room->buf, (size_t)room->len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *with = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    request->stream_count = with ? (int)((with->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
    if (with) memcpy(request->streams, CMSG_DATA(with), with->cmsg_len - CMSG_LEN(0));
    return size;
}

static PyObject *serve(PyObject *self, PyObject *given) {
    (void)self;
    int link, folder, processes, occupied, own_umask, status;
    const char *cgroup;
    double hold_s;
    Py_buffer message;
    struct request request = {0};
    struct rusage usage;
    ssize_t size;
    pid_t pid = 0;
    if (!PyArg_ParseTuple(given, "iw*(yii)pid", &link, &message, &cgroup, &folder, &processes,
                          &occupied, &own_umask, &hold_s))
        return NULL;
    for (;; pid = 0) {
        while ((size = receive(link, &message, &request)) < 0 && errno == EINTR)
            if (PyErr_CheckSignals()) break;
        if (size <= 0 || !parse(message.buf, size, &request)) break;
        if (strcmp(request.cgroup, cgroup) || (occupied && request.kind & BEHIND)) break;
        if (!(pid = start(&request, (mode_t)own_umask))) break;
        while (request.stream_count) close(request.streams[--request.stream_count]);
        occupied = 1;
        if (!has_ended(pid, hold_s, &status, &usage)) break;
        occupied = finds_others(folder, processes);
        tell(link, request.number, pid, status, &usage, !occupied);
    }
    PyBuffer_Release(&message);
    if (size < 0) return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    /* Without "y#": what is compiled with 3.13 would fail in Pythons before it by that. */
    PyObject *descriptors = PyBytes_FromStringAndSize(
        (char *)request.streams, (Py_ssize_t)sizeof(int) * request.stream_count);
    return Py_BuildValue("nNKiO", (Py_ssize_t)size, descriptors,
                         (unsigned long long)request.number, (int)pid,
                         occupied ? Py_True : Py_False);
}

PyDoc_STRVAR(about_serve,
"serve(link, message, (cgroup, folder, processes), occupied, umask, hold_s)\n\
\n\
Serves requests until one is not for this path. `message` is the buffer for them; `folder` and\n\
`processes` are descriptors of the cgroup, or -1. Returns (size, descriptors, number, pid, occupied).\n\
With a pid: the process that request `number` started goes on, which has not been told. Else\n\
`message` has a request to work on, of this size, with these descriptors (integers, packed).\n\
Size 0: the supervisor is dead. OSError if requests cannot be read.");

static PyMethodDef methods[] = {{"serve", serve, METH_VARARGS, about_serve}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "fast_path", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_fast_path(void) { return PyModule_Create(&module); }
