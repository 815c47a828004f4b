/* A power cut, seen from a process: what was not synced is gone.
 *
 * Loaded by LD_PRELOAD. Whenever a file of the folder ONLY_SYNCED_FROM is synced, it is copied as it then is to the folder
 * ONLY_SYNCED_TO; when the folder itself is synced, what was removed from it is removed there too. After the process was
 * killed, that folder holds what a disk holds after a power cut that lost every write since the last sync of its file: the
 * least that a disk may keep.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* The folder was synced: what is gone from it is gone. */
static void forget(const char *from, const char *to)
{
    char there[PATH_MAX], kept[PATH_MAX];
    DIR *folder = opendir(to);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (snprintf(there, sizeof there, "%s/%s", from, entry->d_name) < (int)sizeof there
            && snprintf(kept, sizeof kept, "%s/%s", to, entry->d_name) < (int)sizeof kept && access(there, F_OK) != 0)
            unlink(kept);
    }
    if (folder != NULL)
        closedir(folder);
}

static void keep(int fd)
{
    const char *from = getenv("ONLY_SYNCED_FROM"), *to = getenv("ONLY_SYNCED_TO");
    char link[64], path[PATH_MAX], draft[PATH_MAX], kept[PATH_MAX], block[65536];
    if (from == NULL || to == NULL)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    size_t prefix = strlen(from);
    if (strcmp(path, from) == 0) {
        pthread_mutex_lock(&one_at_a_time);
        forget(from, to);
        pthread_mutex_unlock(&one_at_a_time);
        return;
    }
    if (strncmp(path, from, prefix) != 0 || path[prefix] != '/' || strchr(path + prefix + 1, '/') != NULL)
        return;
    if (snprintf(draft, sizeof draft, "%s/draft", to) >= (int)sizeof draft
        || snprintf(kept, sizeof kept, "%s/%s", to, path + prefix + 1) >= (int)sizeof kept)
        return;
    pthread_mutex_lock(&one_at_a_time);
    int in = open(path, O_RDONLY), out = open(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t got; in >= 0 && out >= 0 && (got = read(in, block, sizeof block)) > 0;)
        if (write(out, block, (size_t)got) != got)
            abort();
    if (in >= 0)
        close(in);
    if (out >= 0) {
        close(out);
        rename(draft, kept);
    }
    pthread_mutex_unlock(&one_at_a_time);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    keep(fd);
    return real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    keep(fd);
    return real(fd);
}
