/* The physical ceiling of starting programs: vfork + exec + wait in a loop. spawn SECONDS PROGRAM [ARG…] prints starts per second. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    double begun = now(), end = begun + atof(argv[1]);
    long count = 0;
    while (now() < end) {
        pid_t pid = vfork();
        if (pid == 0) {
            execv(argv[2], argv + 2);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid) return 1;
        count++;
    }
    printf("%.1f\n", count / (now() - begun));
    return 0;
}
